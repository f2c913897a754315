"""A queue and an error topic in memory, which note what is asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transfer.errors import SinkUnavailable, Stage
from transfer.model import TransferFailure
from transfer.ports import Delivery


class MemoryQueue:
    """A `RequestQueue`. It raises SinkUnavailable while `is_down`."""

    def __init__(self, *, ack_deadline_s: int = 60) -> None:
        self.ack_deadline_s = ack_deadline_s
        self.acknowledged: list[str] = []
        self.extended: list[tuple[tuple[str, ...], int]] = []
        self.is_down = False

    def pull(self, max_messages: int, wait_s: float) -> Sequence[Delivery]:
        return ()

    def ack(self, ack_ids: Sequence[str]) -> None:
        self._check()
        self.acknowledged += ack_ids

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        self._check()
        self.extended.append((tuple(sorted(ack_ids)), seconds))

    def _check(self) -> None:
        if self.is_down:
            raise SinkUnavailable("the queue is down", stage=Stage.SETTLE)


class MemoryFailures:
    """A `FailureSink`."""

    def __init__(self) -> None:
        self.published: list[TransferFailure] = []

    def publish(self, failures: Iterable[TransferFailure]) -> None:
        self.published += failures
