"""Group commit: outcomes become durable first, and only then are their messages acked.

    1. failures to the error topic      2. a ledger shard      3. ack

A crash between any two of these only means that a message comes again; what it asks for is then found done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from transfer.model import Failed, TransferOutcome
from transfer.ports import FailureSink, RequestQueue
from transfer.records.ledger import Ledger
from transfer.worker.leases import LeaseKeeper, in_batches

MAX_GROUP_MESSAGES = 150
"""Of 64 objects at most: what waits for a commit takes a few MiB. Their numbers must fit the ledger shard's metadata, too:
8 KiB an object (Cloud Storage, "Quotas and limits")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
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
        on_settled: Callable[[Iterable[int]], None] = lambda numbers: None,
    ) -> None:
        self._queue = queue
        self._failures = failures
        self._ledger = ledger
        self._leases = leases
        self._on_settled = on_settled
        self._pending: list[_Settled] = []
        self._unsettled: dict[str, list[TransferOutcome]] = {}
        """Outcomes of messages that are not finished, by their ack id."""
        self._lock = threading.Lock()
        self.is_due = threading.Event()
        """Set when a group is full."""

    def begin(self, ack_id: str) -> list[TransferOutcome]:
        """A message is begun. The list takes its outcomes, so that none is lost if the message does not come to its end."""
        with self._lock:
            return self._unsettled.setdefault(ack_id, [])

    def add(self, ack_id: str, outcomes: Sequence[TransferOutcome], *, number: int | None) -> None:
        """A message whose objects have all reached their end; `number` is None for one that is no request."""
        with self._lock:
            self._unsettled.pop(ack_id, None)
            self._pending.append(_Settled(ack_id=ack_id, number=number, outcomes=tuple(outcomes)))
            if len(self._pending) >= MAX_GROUP_MESSAGES:
                self.is_due.set()

    @property
    def has_pending(self) -> bool:
        """Whether something waits for a commit."""
        return bool(self._pending)

    def commit(self) -> None:
        """Make everything collected so far durable and ack it. After an error the rest waits for the next commit."""
        self.is_due.clear()
        while group := self._next_group():
            try:
                self._commit_group(group)
            except BaseException:
                with self._lock:
                    self._pending = group + self._pending
                raise

    def commit_successes(self) -> None:
        """Commit what succeeded and leave messages with a failure unsettled: a wrong key must not fill the error topic."""
        with self._lock:
            for item in self._pending:
                if item.has_failure:
                    self._unsettled[item.ack_id] = list(item.outcomes)
            self._pending = [item for item in self._pending if not item.has_failure]
        self.commit()

    def write_unsettled(self) -> None:
        """Put on record what succeeded of messages that are not settled and come again: it was done all the same."""
        with self._lock:
            outcomes = [outcome for done in self._unsettled.values() for outcome in done]
            self._unsettled.clear()
        if succeeded := [outcome for outcome in outcomes if not isinstance(outcome, Failed)]:
            self._ledger.write(succeeded, ())

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
            self._ledger.write(outcomes, numbers)
        ack_ids = [item.ack_id for item in group]
        for ids in in_batches(ack_ids):
            self._queue.ack(ids)
        self._leases.release(ack_ids)
        self._on_settled(numbers)
