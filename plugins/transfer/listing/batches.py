"""Groups objects into messages of limited size."""

from __future__ import annotations

from transfer.model import ObjectMeta, TransferRequest
from transfer.ports import RequestPublisher
from transfer.records.listing_record import ListingCounts

MAX_BATCH_OBJECTS = 64
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""A message is the unit of lease and retry: this limit keeps one message to a few seconds of work."""
ALONE_BYTES = 8 * 1024 * 1024
"""A larger object gets a separate message, so that a failed lease makes no other object be copied again."""
MESSAGES_PER_STEP = 8
"""The first eight messages hold one object each, the next eight two, and so on: small runs spread over all threads at once."""


class Batches:
    """Groups objects into requests and hands these to the publisher. Use from one thread.

    Args:
        attempt: which pass of the run publishes them, from 1.
        counts: counts messages and objects; continues from its present values, which decide how large messages are.
        next_number: the number of the next message.
    """

    def __init__(
        self,
        publisher: RequestPublisher,
        *,
        run_id: str,
        listing: str,
        attempt: int = 1,
        counts: ListingCounts | None = None,
        next_number: int = 0,
    ) -> None:
        self.counts = ListingCounts() if counts is None else counts
        self.next_number = next_number
        self._publisher = publisher
        self._run_id = run_id
        self._listing = listing
        self._attempt = attempt
        self._pending: list[ObjectMeta] = []
        self._pending_bytes = 0

    def add(self, item: ObjectMeta, *, is_alone: bool = False) -> None:
        """Add an object to the current message; one that is large or `is_alone` is published at once in a separate message."""
        counts, size_bytes = self.counts, item.size_bytes
        counts.objects += 1
        counts.size_bytes += size_bytes
        if is_alone or size_bytes > ALONE_BYTES:
            self._publish((item,))
            return
        self._pending.append(item)
        self._pending_bytes += size_bytes
        limit = min(MAX_BATCH_OBJECTS, 1 + counts.messages // MESSAGES_PER_STEP)
        if len(self._pending) >= limit or self._pending_bytes >= MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Publish the objects that have not been published yet."""
        if self._pending:
            self._publish(tuple(self._pending))
            self._pending = []
            self._pending_bytes = 0

    def _publish(self, objects: tuple[ObjectMeta, ...]) -> None:
        self.counts.message_bytes += self._publisher.publish(
            TransferRequest(
                run_id=self._run_id,
                listing=self._listing,
                number=self.next_number,
                objects=objects,
                attempt=self._attempt,
            )
        )
        self.next_number += 1
        self.counts.messages += 1
