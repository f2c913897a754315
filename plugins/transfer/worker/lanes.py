"""The lanes of a worker: each copies the objects of one message after another, as a step among many in one thread."""

from __future__ import annotations

from transfer.accounting.pacing import Pacer
from transfer.copying.whole import ObjectCopier
from transfer.model import Failed, TransferOutcome, TransferRequest
from transfer.steps import Pause, Step
from transfer.stopping import Stop
from transfer.worker.intake import Intake
from transfer.worker.object_log import ObjectLog
from transfer.worker.refusals import Refusals
from transfer.worker.settlement import Settlement

IDLE_S = 0.02
"""Seconds after which an idle lane looks for work again."""
LARGE_AVERAGE_BYTES = 1024**2
"""From this average size of an object on, two threads drive the lanes, so that checksums (which release the interpreter) use
two cores. For small objects a second thread only makes both wait for the interpreter: 10 % slower, measured, at 30 % more CPU."""


class Lanes:
    """The work of all lanes of one worker. `lane` may be run in several threads."""

    def __init__(
        self,
        *,
        intake: Intake,
        settlement: Settlement,
        pacer: Pacer,
        refusals: Refusals,
        object_log: ObjectLog,
        stop: Stop,
    ) -> None:
        self._intake = intake
        self._settlement = settlement
        self._pacer = pacer
        self._refusals = refusals
        self._object_log = object_log
        self._stop = stop
        self._is_over = False

    def end(self) -> None:
        """Let all lanes end once they have finished their message."""
        self._is_over = True

    def lane(self, copier: ObjectCopier) -> Step[None]:
        """One lane: one object at a time, message after message, until `end`."""
        while not self._is_over:
            has_worked = False
            if self._pacer.enter():
                has_worked = yield from self._work_once(copier)
                self._pacer.leave()
            if not has_worked:
                yield Pause(IDLE_S)

    def _work_once(self, copier: ObjectCopier) -> Step[bool]:
        """Copy the objects of one message, or one range of a large object of another lane. Returns whether there was either."""
        work = self._intake.take()
        if work is None:
            return (yield from copier.help())
        outcomes = self._settlement.begin(work.ack_id)
        yield from self._copy_objects(copier, work.request, outcomes)
        self._settlement.add(work.ack_id, outcomes, number=work.request.number)
        self._intake.done(work)
        return True

    def _copy_objects(
        self, copier: ObjectCopier, request: TransferRequest, outcomes: list[TransferOutcome]
    ) -> Step[None]:
        for item in request.objects:
            while self._refusals.suspected_side and not (self._is_over or self._stop.is_set()):
                yield Pause(IDLE_S)  # until the refusals have been checked, so that no more objects fail meanwhile
            self._object_log.started(item.key)
            outcome = yield from copier.copy(item)
            if isinstance(outcome, Failed):
                self._object_log.failed(outcome.failure)
            self._refusals.note(item, outcome)
            outcomes.append(outcome)


def lanes_per_thread(lanes: int, *, objects: int, size_bytes: int) -> list[int]:
    """How many of the lanes each thread drives, as evenly as possible: two threads for large objects on average, else one."""
    threads = min(lanes, 2 if size_bytes >= objects * LARGE_AVERAGE_BYTES else 1)
    return [lanes // threads + (index < lanes % threads) for index in range(threads)]
