"""Pulls requests within a budget of messages and bytes, and notes them before they are started.

Messages that a crashed worker had in flight are suspects: they are worked on alone, after all others, so that a crash has one
cause.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from transfer.accounting.pacing import Pacer
from transfer.copying.containment import failure_of
from transfer.errors import InvalidMessage, Stage
from transfer.model import Failed, TransferRequest
from transfer.ports import Delivery, RequestQueue
from transfer.records.in_flight import InFlightMessages, poison_failures
from transfer.records.messages import LISTING, RUN, decode_request
from transfer.worker.assignment import Assignment
from transfer.worker.leases import LeaseKeeper
from transfer.worker.settlement import Settlement
from transfer.worker.share import Share

ROOM_WAIT_S = 1.0
"""Seconds to wait for a message to end before looking again whether there is room for more."""


@dataclass(frozen=True, slots=True)
class Work:
    """One message to work on, and the id by which it is acknowledged."""

    ack_id: str
    request: TransferRequest


class Intake:
    """Pulls the messages of one listing and hands them to the lanes.

    `pull` is called from one thread, `take` and `done` from any.

    Args:
        assignment: the messages to take. Those of other runs or listings, and those that were published again under other
            numbers, are acknowledged at once.
        in_flight: the notes of the messages in flight; None where none are kept.
        workers: how many workers share the messages of the assignment.
        on_failed: called for each object, or invalid message, that fails without an attempt to copy it.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        queue: RequestQueue,
        leases: LeaseKeeper,
        settlement: Settlement,
        in_flight: InFlightMessages | None,
        pacer: Pacer,
        workers: int = 1,
        on_failed: Callable[[Failed], None],
    ) -> None:
        self._mine = (assignment.run_id, assignment.listing)
        self._messages = assignment.messages
        self._numbers = assignment.numbers
        self._skipped_numbers = assignment.skipped_numbers
        self._queue = queue
        self._leases = leases
        self._settlement = settlement
        self._in_flight = in_flight
        self._pacer = pacer
        self._share = Share(assignment, workers=workers, lanes=pacer.threads)
        self._on_failed = on_failed
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._accepted: list[Work] = []
        self._suspects: deque[Work] = deque()
        self._is_alone = False
        self._changed = threading.Condition()
        self._held_messages = 0
        self._held_bytes = 0
        self._was_empty = False
        """Whether the last pull brought nothing."""
        self._requests = 0
        """Requests that were delivered here. One that is delivered twice only delays the next pull a little."""

    @property
    def is_empty(self) -> bool:
        """Whether no message is in flight."""
        return not self._held_messages

    def take(self) -> Work | None:
        """The next message to work on, if there is one. The caller passes it to `done` in the end."""
        try:
            return self._work.get_nowait()
        except Empty:
            return None

    def done(self, work: Work) -> None:
        """Make room for another message: all objects of this one have been worked on."""
        with self._changed:
            self._held_messages -= 1
            self._held_bytes -= work.request.size_bytes
            self._changed.notify()

    def pull(self, wait_s: float) -> bool:
        """Pull as many messages as the budget has room for. Returns False when none came and the worker may be idle.

        `wait_s` is how many seconds a pull waits for the first message.
        """
        if self._suspects or self._is_alone:
            return self._work_on_suspects()
        room = 2 * self._pacer.limit - self._held_messages
        has_all = self._requests >= self._messages
        if (has_all or self._was_empty) and not self._held_messages and self._settlement.has_pending:
            return False  # probably no more will come, and other workers wait for what was done here: settle at once
        if room <= 0 or self._share.is_full(self._held_bytes) or (has_all and self._held_messages):
            with self._changed:
                self._changed.wait(timeout=ROOM_WAIT_S)
            return True
        deliveries = self._queue.pull(self._share.messages(room, self._held_bytes), wait_s)
        self._was_empty = not deliveries
        self._leases.hold([delivery.ack_id for delivery in deliveries])
        for delivery in deliveries:
            self._accept(delivery)
        self._share.pulled([work.request.size_bytes for work in self._accepted])
        self._give_back_excess()
        self._start_accepted()
        return bool(deliveries)

    def _accept(self, delivery: Delivery) -> None:
        """Accept a request; settle at once a message of another run or listing, or one that is not a request."""
        run_and_listing = (delivery.attributes.get(RUN), delivery.attributes.get(LISTING))
        if None not in run_and_listing and run_and_listing != self._mine:
            # Another run receives it on its own subscription; nobody waits for a message of an older listing.
            self._settlement.add(delivery.ack_id, (), number=None)
            return
        try:
            request = decode_request(delivery.body, delivery.attributes)
            if request.number not in self._numbers:
                raise InvalidMessage(
                    f"it is not a transfer request of this listing, whose {len(self._numbers):,} messages are numbered from 0:"
                    f" its number is {request.number}",
                    stage=Stage.MESSAGE,
                )
        except InvalidMessage as error:
            outcome = Failed(failure=failure_of(error, key="", attempts=1))
            self._on_failed(outcome)
            self._settlement.add(delivery.ack_id, (outcome,), number=None)
            return
        if any(request.number in numbers for numbers in self._skipped_numbers):
            self._settlement.add(delivery.ack_id, (), number=None)
            return
        self._accepted.append(Work(delivery.ack_id, request))

    def _give_back_excess(self) -> None:
        """Give the messages back that exceed this worker's share: another worker, or this one later, starts them sooner."""
        kept: list[Work] = []
        held_bytes = self._held_bytes
        for work in self._accepted:
            if self._share.is_full(held_bytes):
                break
            kept.append(work)
            held_bytes += work.request.size_bytes
        self._leases.give_back([work.ack_id for work in self._accepted[len(kept) :]])
        self._accepted = kept
        self._requests += len(kept)

    def _start_accepted(self) -> None:
        """Note the accepted messages and hand them to the lanes; suspects wait until they can be worked on alone."""
        accepted, self._accepted = self._accepted, []
        suspects = self._in_flight.suspects if self._in_flight else frozenset()
        self._suspects.extend(work for work in accepted if work.request.number in suspects)
        others = [work for work in accepted if work.request.number not in suspects]
        if others and self._in_flight:
            self._in_flight.begin(work.request.number for work in others)
        for work in others:
            self._put(work)

    def _put(self, work: Work) -> None:
        with self._changed:
            self._held_messages += 1
            self._held_bytes += work.request.size_bytes
        self._work.put(work)

    def _work_on_suspects(self) -> bool:
        """Hand over one suspect while no other message is in flight, and settle it before the next: so a crash has one cause."""
        with self._changed:
            if self._held_messages:
                self._changed.wait(timeout=ROOM_WAIT_S)
                return True
        self._settlement.commit()
        self._is_alone = False
        if self._suspects and self._in_flight:
            work = self._suspects.popleft()
            if self._in_flight.is_poison(work.request.number):
                outcomes = poison_failures(work.request)
                for outcome in outcomes:
                    self._on_failed(outcome)
                self._settlement.add(work.ack_id, outcomes, number=work.request.number)
            else:
                self._in_flight.start_alone(work.request.number)
                self._is_alone = True
                self._put(work)
        return True
