"""Objects grouped into messages."""

from __future__ import annotations

from transfer.listing.cursor import ListingCursor
from transfer.model import ObjectMeta, TransferRequest
from transfer.ports import RequestPublisher

MAX_BATCH_OBJECTS = 64
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""A message is the unit of lease and retry: this keeps one to seconds of work."""
ALONE_BYTES = 8 * 1024 * 1024
"""Larger objects travel alone: their message is theirs to lose."""
MESSAGES_PER_STEP = 8
"""The first messages hold one object, the next eight two, and so on: small runs spread over all threads at once."""


class Batches:
    """Groups objects into requests and hands these to the publisher. Use from one thread."""

    def __init__(
        self,
        publisher: RequestPublisher,
        *,
        run_id: str,
        listing: str,
        attempt: int = 1,
        start: ListingCursor | None = None,
    ) -> None:
        start = start or ListingCursor(listing=listing)
        self._publisher = publisher
        self._run_id = run_id
        self._listing = listing
        self._attempt = attempt
        self._pending: list[ObjectMeta] = []
        self._pending_bytes = 0
        self.next_number = start.next_number
        self.skipped_numbers = start.skipped_numbers
        self.messages = start.messages
        self.objects = start.objects
        self.bytes = start.bytes

    def cursor(
        self,
        *,
        after: str,
        before: str,
        began_at_s: float,
        shards: int,
        listed: int,
        listed_bytes: int,
        skipped: int,
        left_out: int,
        passed_over: int,
    ) -> ListingCursor:
        """Of a listing that has come so far, once everything handed over is stored."""
        return ListingCursor(
            listing=self._listing,
            after=after,
            before=before,
            began_at_s=began_at_s,
            shards=shards,
            next_number=self.next_number,
            skipped_numbers=self.skipped_numbers,
            messages=self.messages,
            objects=self.objects,
            bytes=self.bytes,
            listed=listed,
            listed_bytes=listed_bytes,
            skipped=skipped,
            left_out=left_out,
            passed_over=passed_over,
        )

    def add(self, item: ObjectMeta, *, is_alone: bool = False) -> None:
        """Publish it with others of its size, or in a message of its own."""
        self.objects += 1
        self.bytes += item.size_bytes
        if is_alone or item.size_bytes > ALONE_BYTES:
            self._publish((item,))
            return
        self._pending.append(item)
        self._pending_bytes += item.size_bytes
        limit = min(MAX_BATCH_OBJECTS, 1 + self.messages // MESSAGES_PER_STEP)
        if len(self._pending) >= limit or self._pending_bytes >= MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what is still being grouped."""
        if self._pending:
            self._publish(tuple(self._pending))
            self._pending = []
            self._pending_bytes = 0

    def _publish(self, objects: tuple[ObjectMeta, ...]) -> None:
        self._publisher.publish(
            TransferRequest(
                run_id=self._run_id,
                listing=self._listing,
                number=self.next_number,
                objects=objects,
                attempt=self._attempt,
            )
        )
        self.next_number += 1
        self.messages += 1
