"""Deleting what was found: S3 is asked for each key once more, and what is answered is on record before the next are asked for.

    extraneous ─ some hundred ─▶ does S3 have the key? ──yes, or no word──▶ it stays ─┐
                                        └──no──▶ DELETE of the generation seen ───────┴─▶ deleted.csv ▸ report.json

The listing is not believed: a proxy may drop keys of a page, and a page may end too early. The second question goes another way
(HEAD), and right before the delete. Its answers are not believed either unless the same server still has a key that was listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
"""Deletes at a time: some hundred a second, below the 1,000 writes a second that a quiet bucket takes."""
AT_A_TIME = 500
"""Keys that S3 is asked for before they are deleted: a few seconds of work."""
CLOCKS_APART_S = 60.0
"""By how much the clocks of S3 and Cloud Storage may differ. Both are kept by their makers, to far less."""
ADVICE = {
    Answer.SOURCE_UNSURE: "S3 would not say whether it still has them, so they stay",
    Answer.HELD: "a hold or a retention period keeps them: release it, or leave them",
    Answer.REFUSED: "Cloud Storage refused to delete them",
}
"""What makes a sweep red, and what to tell a person."""


class Removal:
    """Deletes by generation what the source does not have, when it is asked, either. Its lanes share one thread.

    `witnesses` are keys that were listed: where S3 gives back none of them, its 404s say nothing. `began_at_s` is before the
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
        self._in_hand: dict[str, Extraneous] = {}
        """Asked to be deleted, and not answered yet."""
        self._said: dict[Answer, str] = {}
        """The first words of each."""
        self._unlisted: list[str] = []
        """In the source since before it was listed, and not in the listing."""
        self._last_error: RetriesExhausted | None = None

    def run(
        self,
        extraneous: Iterable[Extraneous],
        lanes: Sequence[tuple[ObjectSink, Retrier]],
        new_loop: Callable[[], TransferLoop],
    ) -> None:
        """All of it; what cannot be deleted stops nothing else, and is told at the end.

        Raises DeletionIncomplete for what a person has to see to, RetriesExhausted for what another try may help,
        DeletionRefused when S3's word is worth nothing, and what ends everything: Stopped, FatalError.
        """
        rest = iter(extraneous)
        while some := list(islice(rest, AT_A_TIME)):
            gone = self._gone(some)
            # Should this process die now, these may be deleted or not, and the record says so.
            self._record.store(asked=gone)
            self._in_hand.clear()
            todo = iter(gone)
            try:
                new_loop().run([self._lane(todo, sink, retrier) for sink, retrier in lanes])
            finally:
                self._record.store(asked=self._in_hand.values())
        self._tell()

    def _gone(self, some: Sequence[Extraneous]) -> list[Extraneous]:
        """Those that S3 does not have; the others are on record."""
        keys = [self._naming.key_of(check_name(each.name, self._naming)) for each in some]
        answers = self._source.ask([*keys, *self._witnesses])
        self._check_witnesses(answers[len(keys) :])
        gone = []
        for each, key, answer in zip(some, keys, answers, strict=False):
            if answer.state is KeyState.GONE:
                gone.append(each)
            elif answer.state is KeyState.THERE:
                is_unlisted = answer.last_modified_s + CLOCKS_APART_S < self._began_at_s
                self._unlisted += [key] * is_unlisted
                said = "it is older than the listing, which left it out" if is_unlisted else ""
                self._note(each, Answer.STILL_IN_SOURCE, said)
            else:
                self._note(each, Answer.SOURCE_UNSURE, answer.error.message if answer.error else "")
        return gone

    def _check_witnesses(self, answers: Sequence[SourceKey]) -> None:
        if any(answer.state is KeyState.THERE for answer in answers):
            return
        error = next((answer.error for answer in answers if answer.error), None)
        if isinstance(error, RetryableError):
            raise error
        said = error.message if error else "it has none of those tried that this run has listed"
        raise DeletionRefused(
            f"S3 was asked for keys again before their copies are deleted, and its word cannot be relied upon: {said}; nothing"
            " more is deleted: see to it and run again",
            stage=Stage.LIST,
        )

    def _lane(self, todo: Iterator[Extraneous], sink: ObjectSink, retrier: Retrier) -> Step[None]:
        """One object after the other, until none is left. Raises FatalError."""
        for each in todo:
            retrier.reset()
            self._in_hand[each.name] = each
            try:
                answer = yield from self._delete(each, sink, retrier)
            except (
                RetriesExhausted
            ) as error:  # it stays in hand: perhaps a request did it, and only its answer was lost
                self._last_error = error
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
        # Gone before: by somebody else, or by a request of ours whose answer was lost. Nothing tells which.
        return Answer.DELETED if removed is Removed.NOW else Answer.GONE

    def _answered(self, each: Extraneous, answer: Answer, said: str = "") -> None:
        del self._in_hand[each.name]
        self._note(each, answer, said)

    def _note(self, each: Extraneous, answer: Answer, said: str = "") -> None:
        self._said.setdefault(answer, said)
        self._record.add(each, answer, said)

    def _tell(self) -> None:
        """Raise for what is not as it was to be."""
        if self._last_error is not None:
            raise self._last_error
        counts: Counter[Answer] = self._record.counts
        problems = [
            f"{counts[answer]:,} {answer}: {advice} ({self._said[answer]})"
            for answer, advice in ADVICE.items()
            if counts[answer]
        ]
        if self._unlisted:
            problems.append(
                f"S3 has {len(self._unlisted):,} objects that its own listing left out, {self._unlisted[0]!r} for one: they stay,"
                " and this run has not copied all of the source; run again, and if it comes again, look at what stands between"
                " this machine and S3"
            )
        if problems:
            raise DeletionIncomplete(
                f"{counts[Answer.DELETED]:,} objects were deleted, and not all is well: {'; '.join(problems)}; see"
                f" {self._record.uri}",
                stage=Stage.RECONCILE,
            )
