"""Deletes extraneous objects in batches: asks S3 for each key once more, and records all answers before the next batch.

    batch ──▶ does S3 have the key? ──yes, or not sure──▶ it stays ──┐
                     └──no──▶ DELETE of the generation listed ───────┴─▶ deleted.csv ▸ report.json

The listing alone is not trusted: a proxy may drop keys from a page, and a page may end too early. The second check uses another
request (HEAD), right before the delete. Its answers count only if the same server still has a key that was listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from transfer.deletion.extraneous import Extraneous, check_name
from transfer.deletion.record import Answer, DeletionRecord
from transfer.errors import (
    DeletionIncomplete,
    DeletionRefused,
    DestinationHeld,
    FatalError,
    GenerationMismatch,
    ObjectError,
    RetriesExhausted,
    RetryableError,
    Stage,
)
from transfer.model import KeyState, Removed, SourceKey
from transfer.naming import Naming
from transfer.ports import ObjectSink, SourceKeys, TransferLoop
from transfer.retry import Retrier
from transfer.steps import Step

LANES = 16
"""Concurrent deletes: some hundred a second, below the 1,000 writes a second that an idle bucket accepts."""
BATCH_OBJECTS = 500
"""How many keys are checked in S3 before their objects are deleted: a few seconds of work."""
MAX_CLOCK_SKEW_S = 60.0
"""By how much the clocks of S3 and Cloud Storage are allowed to differ; in practice they differ by far less."""
ADVICE = {
    Answer.SOURCE_UNSURE: "S3 did not say whether it still has them, so they stay",
    Answer.HELD: "a hold or a retention period protects them: release it, or keep the objects",
    Answer.REFUSED: "Cloud Storage refused to delete them",
}
"""The answers that fail the task, and what to tell a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleters:
    """What sends the deletes: a sink and a retrier for each concurrent lane, and the loop that runs the lanes."""

    lanes: Sequence[tuple[ObjectSink, Retrier]]
    new_loop: Callable[[], TransferLoop]
    """Makes the loop of one batch."""


class Removal:
    """Deletes objects by their generation, after S3 has confirmed that it does not have their keys. Its lanes share one thread.

    `witnesses` are keys that were listed: when S3 has none of them, its 404s prove nothing. `began_at_s` is a time before the
    source was listed.
    """

    def __init__(
        self,
        source: SourceKeys,
        record: DeletionRecord,
        *,
        naming: Naming,
        witnesses: Sequence[str],
        began_at_s: float,
    ) -> None:
        self._source = source
        self._record = record
        self._naming = naming
        self._witnesses = witnesses
        self._began_at_s = began_at_s
        self._unanswered: dict[str, Extraneous] = {}
        """The objects whose delete was sent, and has no answer yet."""
        self._messages: dict[Answer, str] = {}
        """The first message of each answer."""
        self._unlisted: list[str] = []
        """Keys that the listing left out, although they were in the source before it was listed."""
        self._last_error: RetriesExhausted | None = None

    def run(self, candidates: Iterable[Extraneous], deleters: Deleters) -> None:
        """Delete all candidates. Those that cannot be deleted do not stop the others, and are reported at the end.

        Raises DeletionIncomplete for what a person has to look at, RetriesExhausted for what another attempt may help,
        DeletionRefused when S3's answers cannot be trusted, and what stops the task at once: Stopped, FatalError.
        """
        rest = iter(candidates)
        while batch := list(islice(rest, BATCH_OBJECTS)):
            gone = self._gone(batch)
            # Should this process die now, these may be deleted or not, and the record says so.
            self._record.store(asked=gone)
            self._unanswered.clear()
            todo = iter(gone)
            try:
                deleters.new_loop().run([self._lane(todo, sink, retrier) for sink, retrier in deleters.lanes])
            finally:
                self._record.store(asked=self._unanswered.values())
        self._raise_problems()

    def _gone(self, batch: Sequence[Extraneous]) -> list[Extraneous]:
        """The objects whose keys S3 does not have; the answers for the others are recorded."""
        keys = [self._naming.key_of(check_name(each.name, self._naming)) for each in batch]
        answers = self._source.ask([*keys, *self._witnesses])
        self._check_witnesses(answers[len(keys) :])
        gone = []
        for each, key, answer in zip(batch, keys, answers, strict=False):
            if answer.state is KeyState.GONE:
                gone.append(each)
            elif answer.state is KeyState.THERE:
                is_unlisted = answer.last_modified_s + MAX_CLOCK_SKEW_S < self._began_at_s
                self._unlisted += [key] * is_unlisted
                message = "it is older than the listing, which left it out" if is_unlisted else ""
                self._note(each, Answer.STILL_IN_SOURCE, message)
            else:
                self._note(each, Answer.SOURCE_UNSURE, answer.error.message if answer.error else "")
        return gone

    def _check_witnesses(self, answers: Sequence[SourceKey]) -> None:
        if any(answer.state is KeyState.THERE for answer in answers):
            return
        error = next((answer.error for answer in answers if answer.error), None)
        if isinstance(error, RetryableError):
            raise error
        why = error.message if error else "it has none of the listed keys that were tried"
        raise DeletionRefused(
            f"S3 was asked for keys once more before their copies are deleted, but its answers cannot be trusted: {why}; nothing"
            " more was deleted: correct this, then start another run",
            stage=Stage.LIST,
        )

    def _lane(self, todo: Iterator[Extraneous], sink: ObjectSink, retrier: Retrier) -> Step[None]:
        """Delete one object after the other, until none is left. Raises FatalError."""
        for each in todo:
            retrier.reset()
            self._unanswered[each.name] = each
            try:
                answer = yield from self._delete(each, sink, retrier)
            except RetriesExhausted as error:
                self._last_error = error  # it stays unanswered: perhaps it was deleted, and only the answer was lost
                continue
            except DestinationHeld as error:
                self._answered(each, Answer.HELD, error.message)
            except ObjectError as error:
                self._answered(each, Answer.REFUSED, error.message)
            except FatalError as error:
                self._answered(each, Answer.REFUSED, error.message)
                raise
            else:
                self._answered(each, answer)

    def _delete(self, each: Extraneous, sink: ObjectSink, retrier: Retrier) -> Step[Answer]:
        try:
            removed = yield from retrier.call(lambda: sink.delete(each.name, each.generation))
        except GenerationMismatch:
            there = yield from retrier.call(lambda: sink.stat(each.name))
            return Answer.GONE if there is None else Answer.CHANGED
        # Gone already: deleted by somebody else, or by an earlier request of this run whose answer was lost.
        return Answer.DELETED if removed is Removed.NOW else Answer.GONE

    def _answered(self, each: Extraneous, answer: Answer, message: str = "") -> None:
        del self._unanswered[each.name]
        self._note(each, answer, message)

    def _note(self, each: Extraneous, answer: Answer, message: str = "") -> None:
        self._messages.setdefault(answer, message)
        self._record.add(each, answer, message)

    def _raise_problems(self) -> None:
        """Raise the errors that did not stop the others."""
        if self._last_error is not None:
            raise self._last_error
        counts: Counter[Answer] = self._record.counts
        problems = [
            f"{counts[answer]:,} {answer}: {advice} ({self._messages[answer]})"
            for answer, advice in ADVICE.items()
            if counts[answer]
        ]
        if self._unlisted:
            problems.append(
                f"S3 has {len(self._unlisted):,} objects that its own listing left out, for example {self._unlisted[0]!r}: their"
                " copies stay, and this run has not copied the whole source; start another run, and if that does not help, look"
                " for a proxy between this machine and S3"
            )
        if problems:
            raise DeletionIncomplete(
                f"{counts[Answer.DELETED]:,} objects were deleted, but there were problems: {'; '.join(problems)}; see"
                f" {self._record.uri}",
                stage=Stage.RECONCILE,
            )
