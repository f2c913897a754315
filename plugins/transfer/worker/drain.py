"""A worker: pulls requests within a budget, copies their objects on many lanes, and settles them in groups.

    intake (the calling thread) ──▶ lanes, driven by one or two threads ──▶ settlement ──▶ ack
         ▲ leases are extended until a message is settled

The worker is done when the ledger of the whole run settles every message of the listing, and not when its queue is empty:
the rest may be leased by another worker, or have been leased by one that was killed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress, TransferStats
from transfer.accounting.progress_reporter import ProgressReporter
from transfer.accounting.traffic import TrafficMeter
from transfer.config import TransferConfig
from transfer.copying.parts import PartsBoard
from transfer.copying.whole import ObjectCopier, WorkerContext
from transfer.errors import FatalError, Stopped, TransferError
from transfer.event_log import EventLog
from transfer.model import Failed
from transfer.ports import FailureSink, RequestQueue, TransferLoop
from transfer.records.in_flight import InFlightMessages
from transfer.records.ledger import Ledger
from transfer.stopping import StopRequest
from transfer.worker.assignment import Assignment
from transfer.worker.intake import Intake
from transfer.worker.lanes import Lanes, lanes_per_thread
from transfer.worker.leases import LeaseKeeper
from transfer.worker.object_log import ObjectLog
from transfer.worker.refusal_check import RefusalCheck
from transfer.worker.refusals import Refusals
from transfer.worker.settlement import Settlement

log = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 3.0
PULL_WAIT_S = 0.5
"""Seconds that a pull may wait. A pull cannot be interrupted: the worker must not be in an empty one when its last message ends
or another worker settles the last one, and Airflow leaves 5 s between SIGTERM and SIGKILL."""
STOP_GRACE_S = 1.5
"""Seconds for the lanes to end after a stop. They end within POLL_S, unless their thread waits for a token or for DNS."""


class Worker:
    """Drains one run's subscription. `run` is called once; `stop` may be set from any thread or signal handler.

    `config.threads` objects are copied at a time, each on a lane with a copier from `new_copier`.

    Args:
        ledger: the outcomes of this worker; its state also holds the records of the other workers of the run.
        in_flight: the notes of the messages in flight; None where none are kept, so that no crash is attributed to a message.
        new_loop: makes the event loop that drives the lanes of one thread.
        on_report: called about once a second with the progress so far.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        queue: RequestQueue,
        failures: FailureSink,
        ledger: Ledger,
        new_copier: Callable[[WorkerContext], ObjectCopier],
        new_loop: Callable[[], TransferLoop],
        config: TransferConfig,
        events: EventLog,
        stop: threading.Event,
        in_flight: InFlightMessages | None = None,
        on_report: Callable[[TransferStats], None] = lambda stats: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._assignment = assignment
        self._queue = queue
        self._ledger = ledger
        self._new_copier = new_copier
        self._new_loop = new_loop
        self._config = config
        self._stop = stop
        self._clock = clock
        self._leases = LeaseKeeper(queue)
        self._in_flight = in_flight
        traffic = TrafficMeter()
        on_settled = in_flight.settled if in_flight else lambda numbers: None
        self._settlement = Settlement(queue, failures, ledger, self._leases, traffic=traffic, on_settled=on_settled)
        pacer = Pacer(config, clock=clock)
        self._progress = self._new_progress(pacer, traffic)
        self._context = WorkerContext(progress=self._progress, pacer=pacer, board=PartsBoard(), traffic=traffic)
        self._reporter = ProgressReporter(self._progress, on_report, clock=clock)
        self._object_log = ObjectLog(
            events, source_bucket=assignment.source_bucket, destination_bucket=assignment.destination_bucket
        )
        self._intake = Intake(
            assignment,
            queue=queue,
            leases=self._leases,
            settlement=self._settlement,
            in_flight=in_flight,
            pacer=pacer,
            workers=config.workers,
            on_failed=self._failed_without_copying,
        )
        refusals = Refusals()
        self._lanes = Lanes(
            intake=self._intake,
            settlement=self._settlement,
            pacer=pacer,
            refusals=refusals,
            object_log=self._object_log,
            stop=stop,
        )
        self._refusal_check = self._new_refusal_check(refusals, pacer)
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def _new_progress(self, pacer: Pacer, traffic: TrafficMeter) -> Progress:
        return Progress(
            objects_total=self._assignment.objects,
            bytes_total=self._assignment.size_bytes,
            is_alone=self._assignment.is_alone,
            pacer=pacer,
            traffic=traffic,
            clock=self._clock,
        )

    def _new_refusal_check(self, refusals: Refusals, pacer: Pacer) -> RefusalCheck:
        return RefusalCheck(
            refusals,
            state=self._ledger.state,
            listing=self._assignment.listing,
            new_copier=lambda: self._new_copier(self._context),
            run=lambda step: self._new_loop().run([step]),
            on_isolated=pacer.set_refusals_isolated,
        )

    def run(self) -> TransferStats:
        """Work until the listing is settled. Raises Stopped after a stop, or the error that ended the work.

        Messages that are not settled then are given back to the queue at once.
        """
        counts = lanes_per_thread(
            self._config.threads, objects=self._assignment.objects, size_bytes=self._assignment.size_bytes
        )
        threads = [
            threading.Thread(target=self._run_lanes, args=(count,), name=f"transfer-{index}", daemon=True)
            for index, count in enumerate(counts)
        ]
        with self._leases:
            for thread in threads:
                thread.start()
            try:
                if self._assignment.messages:
                    if self._in_flight:
                        self._in_flight.open()
                    self._drain()
            except BaseException as error:  # noqa: BLE001 - the worker's outermost frame: raised again below
                self._abort(error)
            finally:
                self._wind_down(threads)
        self._reporter.report(is_last=True)
        if self._error is not None:
            raise self._error
        return self._progress.stats()

    def _run_lanes(self, count: int) -> None:
        try:
            self._new_loop().run([self._lanes.lane(self._new_copier(self._context)) for _ in range(count)])
        except BaseException as error:  # noqa: BLE001 - the thread's outermost frame: `run` raises it again
            self._abort(error)

    def _drain(self) -> None:
        """Pull and commit until every message of the listing is settled, or none has come for too long."""
        settled_before = -1
        idle_since_s = last_commit_s = self._clock()
        stall_s = 2 * self._queue.ack_deadline_s + 10
        while not self._stop.is_set():
            has_pulled = self._intake.pull(PULL_WAIT_S)
            self._refusal_check.check()
            is_idle = not has_pulled and self._intake.is_empty
            if is_idle or self._settlement.is_due.is_set() or self._clock() - last_commit_s >= COMMIT_INTERVAL_S:
                self._settlement.commit()
                last_commit_s = self._clock()
            self._reporter.report()
            if not is_idle:
                idle_since_s = self._clock()
                continue
            settled = len(self._ledger.settled(below=len(self._assignment.numbers)))
            if settled >= self._assignment.messages:
                return
            if settled != settled_before:
                settled_before, idle_since_s = settled, self._clock()
            elif self._clock() - idle_since_s > stall_s:
                log.info(
                    "This worker ends: no message has come for %.0f s. %d of the run's %d messages are not settled yet: other"
                    " workers hold them, or the reconciliation publishes their objects again.",
                    stall_s,
                    self._assignment.messages - settled,
                    self._assignment.messages,
                )
                return
        raise Stopped

    def _failed_without_copying(self, outcome: Failed) -> None:
        self._object_log.failed(outcome.failure)
        self._progress.settled(outcome)

    def _abort(self, error: BaseException) -> None:
        """Stop everything. `run` raises the first error that is more than a stop request."""
        with self._lock:
            if self._error is None or isinstance(self._error, Stopped):
                self._error = error
        if isinstance(self._stop, StopRequest):
            self._stop.end()
        else:
            self._stop.set()

    def _wind_down(self, threads: Sequence[threading.Thread]) -> None:
        """End the threads, commit the finished messages, and give the others back."""
        self._lanes.end()
        deadline_s = self._clock() + STOP_GRACE_S
        for thread in threads:
            thread.join(timeout=max(0.0, deadline_s - self._clock()) if self._stop.is_set() else None)
        is_orderly = self._error is None or isinstance(self._error, Stopped)
        self._attempt(self._settlement.commit if is_orderly else self._settlement.commit_successes)
        self._attempt(self._settlement.write_unsettled)
        self._attempt(lambda: self._leases.give_back(self._leases.held()))
        self._attempt(self._note_end)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take one step of the end, and let an error not keep the others from being taken."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - `run` raises it, unless another came first
            self._abort(error)

    def _note_end(self) -> None:
        """Note whether this worker ended in order or crashed, since then one of its messages in flight may be the cause."""
        if self._in_flight is None:
            return
        try:
            if isinstance(self._error, FatalError):
                self._in_flight.close(fatal=f"{self._error.code}: {self._error.message}")
            elif isinstance(self._error, Exception) and not isinstance(self._error, TransferError | Stopped):
                self._in_flight.died(f"{type(self._error).__name__}: {self._error}")
            else:
                self._in_flight.close()
        except TransferError as error:
            log.info(
                "the end of this worker could not be noted; its messages in flight may be suspected of a crash: %s",
                error,
            )
