"""How a key ends, and whether it is tried again: the pure decisions of the reconciliation."""

from __future__ import annotations

from enum import StrEnum

from transfer.comparison import is_as_listed
from transfer.model import NEVER_COPIED, UNRESOLVED, DestinationObject, ObjectMeta, SkipReason, TransferFailure
from transfer.reconciliation.advice import has_second_try


class Verdict(StrEnum):
    """How a key ends."""

    MATCHED = "matched"
    SKIPPED = "skipped"
    FAILED = "failed"
    MISSING = "missing"
    DIFFERING = "differing"
    EXTRA = "extra"
    PROTECTED = "protected"
    """At the destination only, under a name that the run's globs leave out: none of its business."""


UNFINISHED_VERDICTS = frozenset({Verdict.FAILED, Verdict.MISSING, Verdict.DIFFERING})


def judge(
    item: ObjectMeta | None,
    skipped: SkipReason | None,
    stored: DestinationObject | None,
    failure: TransferFailure | None,
    *,
    is_held: bool,
    is_chosen: bool = True,
) -> Verdict:
    """One key's verdict. `is_held` is whether anything shows that the destination holds it (`transfer/comparison.py`), never
    the name alone. `is_chosen` is whether the run's globs choose the name of what is at the destination only.

    listed  skipped by the listing     destination            failure   verdict
    no      –                          something, chosen      –         EXTRA
    no      –                          something, not chosen  –         PROTECTED
    yes     archived, prefix-itself,   –                      –         SKIPPED
            not-selected-…
    yes     absent, forbidden,         –                      –         FAILED, as SourceNotFound, …
            encrypted
    yes     exists                     something              –         SKIPPED
    yes     unchanged                  holds it               –         SKIPPED
    yes     no                         holds it, and is not   –         MATCHED
                                       what the listing saw
    yes     any other                  nothing, or else       yes       FAILED
    yes     any other                  nothing                no        MISSING
    yes     any other                  something else         no        DIFFERING

    What had to be copied and is still at the generation that the listing saw was not copied, whatever it holds: with
    `overwrite=always`, it often holds the same. A listing that saw nothing there, or did not look (`mode=verify`), says 0.
    """
    if item is None:
        return Verdict.EXTRA if is_chosen else Verdict.PROTECTED
    if skipped in NEVER_COPIED:
        return Verdict.SKIPPED
    if skipped in UNRESOLVED:
        return Verdict.FAILED
    if stored is not None:
        if skipped is SkipReason.EXISTS or (skipped is not None and is_held):
            return Verdict.SKIPPED
        if skipped is None and is_held and not is_as_listed(stored, item):
            return Verdict.MATCHED
    if failure is not None:
        return Verdict.FAILED
    return Verdict.MISSING if stored is None else Verdict.DIFFERING


class Pass(StrEnum):
    """Which pass over a run this is."""

    FIRST = "first"
    """After the listing's own transfers: what a second try may help is published again."""
    REPLAY = "replay"
    """A person had the reconciliation cleared, having seen to the causes: all that is unfinished is published again."""
    FINAL = "final"
    """After those: nothing is published any more."""
    COMPARE = "compare"
    """The only one of a run that compares and moves nothing (`mode=verify`)."""


def is_republished(verdict: Verdict, failure: TransferFailure | None, which: Pass) -> bool:
    """Whether an object is tried again.

    verdict               failure                    FIRST   REPLAY  FINAL, COMPARE
    matched, skipped      –                          no      no      no
    extra, protected      –                          no      no      no
    missing, differing    none                       yes     yes     no
    failed                has a second try           yes     yes     no
    failed                has none, or is unknown    no      yes     no
    """
    if which in (Pass.FINAL, Pass.COMPARE) or verdict not in UNFINISHED_VERDICTS:
        return False
    return which is Pass.REPLAY or failure is None or has_second_try(failure.error_code)


def generation_to_replace(item: ObjectMeta, stored: DestinationObject | None, *, may_overwrite: bool) -> int:
    """What the next upload of an object is conditional on.

    destination                          on its own            asked to overwrite
    nothing                              0                     0
    something, as it was when listed     its generation        its generation
    something, written since then        the listed one        its generation

    What somebody else wrote since the listing is not overwritten by a run on its own (the try ends as
    DestinationConflict), only when a person asks for a replay, and `overwrite` is not `never`.
    """
    if stored is None:
        return 0
    return stored.generation if may_overwrite else item.replaces_generation
