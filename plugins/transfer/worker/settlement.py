"""Group commit: outcomes are stored first, and only then are their messages acknowledged.

    1. failures to the error topic      2. a ledger shard      3. ack

A crash between any two of these only causes a message to be delivered again, and its objects are then found copied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from transfer.accounting.traffic import TrafficMeter
from transfer.model import Failed, TransferOutcome
from transfer.ports import FailureSink, RequestQueue
from transfer.records.ledger import Ledger
from transfer.worker.leases import LeaseKeeper, in_batches

MAX_GROUP_MESSAGES = 150
"""Messages in one commit. Each has at most 64 objects, so their outcomes take a few MiB of memory. Their numbers have to fit
into the ledger shard's metadata of at most 8 KiB (Cloud Storage, "Quotas and limits")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """A finished message that waits for its commit."""

    ack_id: str
    number: int | None
    outcomes: tuple[TransferOutcome, ...]

    @property
    def has_failure(self) -> bool:
        return any(isinstance(outcome, Failed) for outcome in self.outcomes)


class Settlement:
    """Collects finished messages and commits them in groups. `add` is thread-safe; `commit` is called from one thread."""

    def __init__(
        self,
        queue: RequestQueue,
        failures: FailureSink,
        ledger: Ledger,
        leases: LeaseKeeper,
        *,
        traffic: TrafficMeter | None = None,
        on_settled: Callable[[Iterable[int]], None] = lambda numbers: None,
    ) -> None:
        self._queue = queue
        self._failures = failures
        self._ledger = ledger
        self._leases = leases
        self._traffic = traffic or TrafficMeter()
        self._on_settled = on_settled
        self._pending: list[_Settled] = []
        self._unsettled: dict[str, list[TransferOutcome]] = {}
        """Outcomes of messages that are not finished, by ack id."""
        self._lock = threading.Lock()
        self.is_due = threading.Event()
        """Set when a group is full."""

    def begin(self, ack_id: str) -> list[TransferOutcome]:
        """Start a message. The list collects its outcomes, so that they are recorded even if the message is never finished."""
        with self._lock:
            return self._unsettled.setdefault(ack_id, [])

    def add(self, ack_id: str, outcomes: Sequence[TransferOutcome], *, number: int | None) -> None:
        """Add a message whose objects all have an outcome; `number` is None for one that needs no record of being settled."""
        with self._lock:
            self._unsettled.pop(ack_id, None)
            self._pending.append(_Settled(ack_id=ack_id, number=number, outcomes=tuple(outcomes)))
            if len(self._pending) >= MAX_GROUP_MESSAGES:
                self.is_due.set()

    @property
    def has_pending(self) -> bool:
        """Whether a message waits for a commit."""
        return bool(self._pending)

    def commit(self) -> None:
        """Store all outcomes collected so far and acknowledge their messages. After an error the rest waits for the next call."""
        self.is_due.clear()
        while group := self._next_group():
            try:
                self._commit_group(group)
            except BaseException:
                with self._lock:
                    self._pending = group + self._pending
                raise

    def commit_successes(self) -> None:
        """Commit messages without a failure, and leave the others unsettled: a revoked key must not fill the error topic."""
        with self._lock:
            for item in self._pending:
                if item.has_failure:
                    self._unsettled[item.ack_id] = list(item.outcomes)
            self._pending = [item for item in self._pending if not item.has_failure]
        self.commit()

    def write_unsettled(self) -> None:
        """Record the successful outcomes of messages that are not settled and will be delivered again, and the last traffic."""
        with self._lock:
            outcomes = [outcome for done in self._unsettled.values() for outcome in done]
            self._unsettled.clear()
        succeeded = [outcome for outcome in outcomes if not isinstance(outcome, Failed)]
        if succeeded or self._traffic.untaken().is_some:
            self._write(succeeded, ())

    def _next_group(self) -> list[_Settled]:
        with self._lock:
            group, self._pending = self._pending[:MAX_GROUP_MESSAGES], self._pending[MAX_GROUP_MESSAGES:]
        return group

    def _commit_group(self, group: list[_Settled]) -> None:
        outcomes = [outcome for item in group for outcome in item.outcomes]
        numbers = [item.number for item in group if item.number is not None]
        failures = [outcome.failure for outcome in outcomes if isinstance(outcome, Failed)]
        if failures:
            self._failures.publish(failures)
        if outcomes:
            self._write(outcomes, numbers)
        ack_ids = [item.ack_id for item in group]
        for ids in in_batches(ack_ids):
            self._queue.ack(ids)
        self._leases.release(ack_ids)
        self._on_settled(numbers)

    def _write(self, outcomes: Sequence[TransferOutcome], numbers: Sequence[int]) -> None:
        """Store a shard, which also counts the requests and bytes since the one before it."""
        traffic = self._traffic.untaken()
        self._ledger.write(outcomes, numbers, traffic=traffic)
        self._traffic.take(traffic)
