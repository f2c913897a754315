"""What a worker takes in: requests within a budget of messages and bytes, on record before they are begun, suspects alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from transfer.accounting.pacing import Pacer
from transfer.copying.containment import failure_of
from transfer.errors import InvalidMessage, Stage
from transfer.model import Failed, TransferRequest
from transfer.ports import Delivery, RequestQueue
from transfer.records.in_flight import InFlightMessages, poison_failures
from transfer.records.messages import LISTING, RUN, decode_request
from transfer.worker.leases import LeaseKeeper
from transfer.worker.settlement import Settlement

BUSY_PULL_WAIT_S = 0.5
"""While work is in hand its end must not wait for an empty pull."""
ROOM_WAIT_S = 1.0
MAX_HELD_BYTES = 1024**3
"""Bytes of objects held leased beyond the first message: a worker must not keep from others what it cannot start."""


@dataclass(frozen=True, slots=True)
class Work:
    """One message to work on."""

    ack_id: str
    request: TransferRequest


def numbers_of(messages: int, skipped_numbers: Sequence[range]) -> range:
    """The numbers that a listing's messages may have, and those of what a lister published before it counted it."""
    return range(max([messages + sum(map(len, skipped_numbers)), *(numbers.stop for numbers in skipped_numbers)]))


class Intake:
    """Pulls the messages of one listing and hands them to the lanes. `pull` from one thread, `take` and `done` from any.

    Args:
        run_id, listing: whose messages are taken; what is another's is settled at once.
        messages: how many the listing published.
        skipped_numbers: numbers of what a lister published and then died before it counted it: published again under others.
        begun: the notes of what is begun; None where none are kept.
        on_failed: told of what failed without having been begun.
    """

    def __init__(
        self,
        run_id: str,
        listing: str,
        messages: int,
        *,
        skipped_numbers: Sequence[range] = (),
        queue: RequestQueue,
        leases: LeaseKeeper,
        settlement: Settlement,
        begun: InFlightMessages | None,
        pacer: Pacer,
        on_failed: Callable[[Failed], None],
    ) -> None:
        self._mine = (run_id, listing)
        self._messages = messages
        self._numbers = numbers_of(messages, skipped_numbers)
        self._strays = skipped_numbers
        self._queue = queue
        self._leases = leases
        self._settlement = settlement
        self._begun = begun
        self._pacer = pacer
        self._on_failed = on_failed
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._accepted: list[Work] = []
        self._suspects: deque[Work] = deque()
        self._is_alone = False
        self._changed = threading.Condition()
        self._held_messages = 0
        self._held_bytes = 0
        self._requests = 0
        """Requests that came here. One that came twice only makes the worker ask for more a little later than it might."""

    @property
    def is_empty(self) -> bool:
        """Whether no message is in hand."""
        return not self._held_messages

    def take(self) -> Work | None:
        """The next message to work on, if there is one. To be told `done` with it."""
        try:
            return self._work.get_nowait()
        except Empty:
            return None

    def done(self, work: Work) -> None:
        """A message has been worked on."""
        with self._changed:
            self._held_messages -= 1
            self._held_bytes -= work.request.size_bytes
            self._changed.notify()

    def pull(self, idle_wait_s: float) -> bool:
        """Take in what the budget has room for; whether anything came or there is enough to do.

        `idle_wait_s` is how long to wait for something when nothing is in hand.
        """
        if self._suspects or self._is_alone:
            return self._work_on_suspects()
        room = 2 * self._pacer.limit - self._held_messages
        has_all = self._requests >= self._messages
        if has_all and not self._held_messages and self._settlement.has_pending:
            return False  # nothing more will come: settle at once
        if room <= 0 or self._held_bytes > MAX_HELD_BYTES or (has_all and self._held_messages):
            with self._changed:
                self._changed.wait(timeout=ROOM_WAIT_S)
            return True
        deliveries = self._queue.pull(room, BUSY_PULL_WAIT_S if self._held_messages else idle_wait_s)
        self._leases.hold([delivery.ack_id for delivery in deliveries])
        for delivery in deliveries:
            self._accept(delivery)
        self._begin()
        return bool(deliveries)

    def _accept(self, delivery: Delivery) -> None:
        """Take the request in, or settle at once what is not for this run or no request at all."""
        theirs = (delivery.attributes.get(RUN), delivery.attributes.get(LISTING))
        if None not in theirs and theirs != self._mine:
            # Their run has its own copy; an older listing has none to wait for it.
            self._settlement.add(delivery.ack_id, (), number=None)
            return
        try:
            request = decode_request(delivery.body, delivery.attributes)
            if request.number not in self._numbers:
                raise InvalidMessage(
                    f"not a transfer request of this listing, which has {len(self._numbers):,} numbers: it has the number"
                    f" {request.number}",
                    stage=Stage.MESSAGE,
                )
        except InvalidMessage as error:
            outcome = Failed(failure=failure_of(error, key="", attempts=1))
            self._on_failed(outcome)
            self._settlement.add(delivery.ack_id, (outcome,), number=None)
            return
        if any(request.number in skipped_numbers for skipped_numbers in self._strays):
            self._settlement.add(delivery.ack_id, (), number=None)
            return
        self._requests += 1
        self._accepted.append(Work(delivery.ack_id, request))

    def _begin(self) -> None:
        """Put what was accepted to work, on record; what a dead worker had in hand waits until it can be worked on alone."""
        accepted, self._accepted = self._accepted, []
        suspects = self._begun.suspects if self._begun else frozenset()
        self._suspects.extend(work for work in accepted if work.request.number in suspects)
        innocent = [work for work in accepted if work.request.number not in suspects]
        if innocent and self._begun:
            self._begun.begin(work.request.number for work in innocent)
        for work in innocent:
            self._put(work)

    def _put(self, work: Work) -> None:
        with self._changed:
            self._held_messages += 1
            self._held_bytes += work.request.size_bytes
        self._work.put(work)

    def _work_on_suspects(self) -> bool:
        """One message while no other is in hand, and settled before the next: so a death has one cause."""
        with self._changed:
            if self._held_messages:
                self._changed.wait(timeout=ROOM_WAIT_S)
                return True
        self._settlement.commit()
        self._is_alone = False
        if self._suspects and self._begun:
            work = self._suspects.popleft()
            if self._begun.is_poison(work.request.number):
                outcomes = poison_failures(work.request)
                for outcome in outcomes:
                    self._on_failed(outcome)
                self._settlement.add(work.ack_id, outcomes, number=work.request.number)
            else:
                self._begun.start_alone(work.request.number)
                self._is_alone = True
                self._put(work)
        return True
