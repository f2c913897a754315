"""How much of a listing one worker holds at a time, so that the others have something to do.

Pub/Sub promises no fairness: one pull may bring all messages that there are to the worker that pulls first.
"""

from __future__ import annotations

from collections.abc import Sequence

from transfer.listing.batches import MAX_BATCH_BYTES
from transfer.worker.assignment import Assignment

LANE_BYTES = 64 * 1024**2
"""Bytes of objects that keep one lane at work: a larger object is shared by several lanes (`TransferConfig.parallel_bytes`).
A worker that holds as much for each of its lanes pulls no more messages: others could start them."""


class Share:
    """One worker's share of an assignment. For use from one thread.

    Args:
        workers: how many workers share the messages of the assignment.
        lanes: how many objects this worker copies at a time.
    """

    def __init__(self, assignment: Assignment, *, workers: int, lanes: int) -> None:
        self._is_alone = workers == 1
        self._most_bytes = max(MAX_BATCH_BYTES, min(lanes * LANE_BYTES, -(-assignment.size_bytes // workers)))
        """A worker that holds as many bytes takes no more messages. The last one that it takes may exceed them."""
        self._message_bytes = max(1, assignment.size_bytes // max(1, assignment.messages))
        """The expected size of a message: that of the last ones, as objects of a size are often neighbours."""

    def is_full(self, held_bytes: int) -> bool:
        """Whether a worker that holds these bytes has its share; the only worker never has."""
        return not self._is_alone and held_bytes >= self._most_bytes

    def messages(self, room: int, held_bytes: int) -> int:
        """How many messages to pull: `room`, or fewer where as many are expected to exceed the share. At least one."""
        if self._is_alone:
            return room
        return max(1, min(room, -(-(self._most_bytes - held_bytes) // self._message_bytes)))

    def pulled(self, sizes_bytes: Sequence[int]) -> None:
        """Note the sizes of the messages that a pull has brought."""
        if sizes_bytes:
            self._message_bytes = max(1, sum(sizes_bytes) // len(sizes_bytes))
