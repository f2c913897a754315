"""A publisher for tests without Pub/Sub."""

from __future__ import annotations

from transfer.model import TransferRequest
from transfer.records.messages import billed_bytes, encode_request


class CountingPublisher:
    """A `RequestPublisher` that encodes each request as the real one does, and keeps only counts."""

    def __init__(self) -> None:
        self.messages = self.objects = 0

    def publish(self, request: TransferRequest) -> int:
        self.messages += 1
        self.objects += len(request.objects)
        return billed_bytes(*encode_request(request))

    def flush(self) -> None:
        pass
