"""A worker: pulls requests within a budget, moves their objects on many lanes, settles them in groups.

    intake (the calling thread) ──▶ lanes, driven by few threads ──▶ settlement ──▶ ack
         ▲ leases are extended until settled

The worker is done when the ledger of the whole run settles every message of the listing, not when its queue is empty:
an empty queue may only mean that another worker holds the rest, or held it when it was killed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress, ProgressReporter, TransferStats
from transfer.config import TransferConfig
from transfer.copying.parts import PartsBoard
from transfer.copying.whole import ObjectCopier, WorkerContext
from transfer.errors import FatalError, Stopped, TransferError
from transfer.event_log import EventLog
from transfer.model import Failed, TransferFailure, TransferOutcome, TransferRequest
from transfer.ports import FailureSink, RequestQueue, TransferLoop
from transfer.records.in_flight import InFlightMessages
from transfer.records.ledger import Ledger
from transfer.steps import Pause, Step
from transfer.stopping import StopRequest
from transfer.worker.control import Control, Refusals
from transfer.worker.intake import Intake, numbers_of
from transfer.worker.leases import LeaseKeeper
from transfer.worker.settlement import Settlement

log = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 3.0
PULL_WAIT_S = 1.0
"""Short enough to stop within Airflow's 5 s between SIGTERM and SIGKILL: a pull cannot be broken off."""
STOP_GRACE_S = 1.5
"""For lanes to end: they do so within POLL_S, unless their thread waits for a token or a name."""
LARGE_AVERAGE_BYTES = 1024**2
"""From this average size on, two threads drive the lanes, so that checksums (which free the interpreter) use two cores.
For small objects a second thread only makes both wait for the interpreter: 10 % slower, measured, at 30 % more CPU."""
IDLE_S = 0.02
"""How soon an idle lane looks for work again."""
MAX_LOGGED_FAILURES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a worker is to work on: one listing of one run."""

    run_id: str
    listing: str
    source_bucket: str
    destination_bucket: str
    messages: int
    """How many messages the listing published."""
    skipped_numbers: tuple[range, ...] = ()
    """Numbers of what a lister published and then died before it could count it; its objects were published again."""
    objects: int
    bytes: int


class Worker:
    """Drains one run's subscription. `run` is called once; `stop` may be set from any thread or signal handler.

    `config.threads` objects are on their way at a time, each on a lane of its own with the mover that `new_mover` gives it.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        queue: RequestQueue,
        failures: FailureSink,
        ledger: Ledger,
        new_mover: Callable[[WorkerContext], ObjectCopier],
        new_loop: Callable[[], TransferLoop],
        config: TransferConfig,
        events: EventLog,
        stop: threading.Event,
        begun: InFlightMessages | None = None,
        on_report: Callable[[TransferStats], None] = lambda stats: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._assignment = assignment
        self._queue = queue
        self._ledger = ledger
        self._new_mover = new_mover
        self._new_loop = new_loop
        self._config = config
        self._events = events
        self._stop = stop
        self._clock = clock
        self._leases = LeaseKeeper(queue)
        self._begun = begun
        self._settlement = Settlement(
            queue, failures, ledger, self._leases, on_settled=begun.settled if begun else lambda numbers: None
        )
        self._pacer = Pacer(config, clock=clock)
        self._progress = Progress(
            objects_total=assignment.objects, bytes_total=assignment.bytes, pacer=self._pacer, clock=clock
        )
        self._share = WorkerContext(progress=self._progress, pacer=self._pacer, board=PartsBoard())
        self._reporter = ProgressReporter(self._progress, on_report, clock=clock)
        self._intake = Intake(
            assignment.run_id,
            assignment.listing,
            assignment.messages,
            skipped_numbers=assignment.skipped_numbers,
            queue=queue,
            leases=self._leases,
            settlement=self._settlement,
            begun=begun,
            pacer=self._pacer,
            on_failed=self._failed_at_once,
        )
        self._numbers = len(numbers_of(assignment.messages, assignment.skipped_numbers))
        self._is_over = False
        self._lock = threading.Lock()
        self._refusals = Refusals()
        self._control = Control(
            self._refusals,
            state=ledger.state,
            listing=assignment.listing,
            mover=lambda: new_mover(self._share),
            run=lambda step: new_loop().run([step]),
            on_acquittal=lambda is_so: self._pacer.forgiven(is_so=is_so),
        )
        self._fatal: BaseException | None = None
        self._told = 0

    def run(self) -> TransferStats:
        """Work until the listing is settled. Raises Stopped after a stop, or the error that ended the work.

        Whatever is not settled then is given back to the queue at once.
        """
        threads = [
            threading.Thread(target=self._transfer_thread, args=(lanes,), name=f"transfer-{index}", daemon=True)
            for index, lanes in enumerate(shares(self._config.threads, self._loops()))
        ]
        with self._leases:
            for thread in threads:
                thread.start()
            try:
                if self._assignment.messages:
                    if self._begun:
                        self._begun.open()
                    self._drain()
            except BaseException as error:  # noqa: BLE001 - the worker's outermost frame: raised again below
                self._abort(error)
            finally:
                self._wind_down(threads)
        self._reporter.report(force=True)
        if self._fatal is not None:
            raise self._fatal
        return self._progress.stats()

    def _drain(self) -> None:
        settled_before = -1
        idle_since = last_commit = self._clock()
        stall_s = 2 * self._queue.ack_deadline_s + 10
        while not self._stop.is_set():
            pulled = self._intake.pull(PULL_WAIT_S)
            self._control.settle_doubt()
            idle = not pulled and self._intake.is_empty
            if idle or self._settlement.is_due.is_set() or self._clock() - last_commit >= COMMIT_INTERVAL_S:
                self._settlement.commit()
                last_commit = self._clock()
            self._reporter.report()
            if not idle:
                idle_since = self._clock()
                continue
            settled = len(self._ledger.settled(below=self._numbers))
            if settled >= self._assignment.messages:
                return
            if settled != settled_before:
                settled_before, idle_since = settled, self._clock()
            elif self._clock() - idle_since > stall_s:
                log.warning(
                    "%d of %d messages are not settled and have not come here for %.0f s; leaving them to the"
                    " reconciliation",
                    self._assignment.messages - settled,
                    self._assignment.messages,
                    stall_s,
                )
                return
        raise Stopped

    def _transfer_thread(self, lanes: int) -> None:
        try:
            self._new_loop().run([self._lane(self._new_mover(self._share)) for _ in range(lanes)])
        except BaseException as error:  # noqa: BLE001 - the thread's outermost frame: `run` raises it again
            self._abort(error)

    def _loops(self) -> int:
        return 2 if self._assignment.bytes >= self._assignment.objects * LARGE_AVERAGE_BYTES else 1

    def _lane(self, mover: ObjectCopier) -> Step[None]:
        """One object at a time, message after message, until the work is over."""
        while not self._is_over:
            has_worked = False
            if self._pacer.enter():
                has_worked = yield from self._work_once(mover)
                self._pacer.leave()
            if not has_worked:
                yield Pause(IDLE_S)

    def _work_once(self, mover: ObjectCopier) -> Step[bool]:
        """One message, or a hand with a large object of another lane; whether there was either."""
        work = self._intake.take()
        if work is None:
            return (yield from mover.help())
        outcomes = self._settlement.begin(work.ack_id)
        yield from self._copy_all(mover, work.request, outcomes)
        self._settlement.add(work.ack_id, outcomes, number=work.request.number)
        self._intake.done(work)
        return True

    def _copy_all(self, mover: ObjectCopier, request: TransferRequest, outcomes: list[TransferOutcome]) -> Step[None]:
        for item in request.objects:
            while self._refusals.doubtful and not (self._is_over or self._stop.is_set()):
                yield Pause(IDLE_S)  # until the control has been asked: nothing more is to fail by name meanwhile
            self._events.object_initiated(item.key, self._assignment.source_bucket, self._assignment.destination_bucket)
            outcome = yield from mover.move(item)
            if isinstance(outcome, Failed):
                self._log_failure(outcome.failure)
            self._refusals.note(item, outcome)
            outcomes.append(outcome)

    def _failed_at_once(self, outcome: Failed) -> None:
        self._log_failure(outcome.failure)
        self._progress.settled(outcome)

    def _log_failure(self, failure: TransferFailure) -> None:
        source, destination = self._assignment.source_bucket, self._assignment.destination_bucket
        self._events.failure(
            failure.stage, failure.key, source, destination, f"{failure.error_code}: {failure.message}"
        )
        self._told += 1
        if self._told <= MAX_LOGGED_FAILURES:
            key, code, message = failure.key or "(no object)", failure.error_code, failure.message
            log.warning("failed: %r: %s at %s after %d tries: %s", key, code, failure.stage, failure.attempts, message)
        if self._told == MAX_LOGGED_FAILURES:
            log.warning("further failures are counted here and told in the report and the error topic only")

    def _abort(self, error: BaseException) -> None:
        """Stop everything; the first error that is more than a stop request is the one to raise."""
        with self._lock:
            if self._fatal is None or isinstance(self._fatal, Stopped):
                self._fatal = error
        if isinstance(self._stop, StopRequest):
            self._stop.end()
        else:
            self._stop.set()

    def _wind_down(self, threads: Sequence[threading.Thread]) -> None:
        """End the threads, commit what is finished, give the rest back."""
        self._is_over = True
        deadline = self._clock() + STOP_GRACE_S
        for thread in threads:
            thread.join(timeout=max(0.0, deadline - self._clock()) if self._stop.is_set() else None)
        is_orderly = self._fatal is None or isinstance(self._fatal, Stopped)
        self._attempt(self._settlement.commit if is_orderly else self._settlement.commit_successes)
        self._attempt(self._settlement.write_unsettled)
        self._attempt(self._leases.give_back)
        self._attempt(self._note_end)

    def _attempt(self, step: Callable[[], None]) -> None:
        """One step of the end; what goes wrong with it must not keep the others from being made."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - `run` raises it, unless something else came first
            self._abort(error)

    def _note_end(self) -> None:
        """Note whether this try ends in order, or is dead: then what it has in hand may be to blame."""
        if self._begun is None:
            return
        try:
            if isinstance(self._fatal, FatalError):
                self._begun.close(fatal=f"{self._fatal.code}: {self._fatal.message}")
            elif isinstance(self._fatal, Exception) and not isinstance(self._fatal, TransferError | Stopped):
                self._begun.died(f"{type(self._fatal).__name__}: {self._fatal}")
            else:
                self._begun.close()
        except TransferError as error:
            log.info("the end of this worker could not be noted; what it held may be suspected: %s", error)


def shares(lanes: int, loops: int) -> list[int]:
    """So many lanes, spread evenly over at most so many loops."""
    used = min(lanes, loops)
    return [lanes // used + (index < lanes % used) for index in range(used)]
