"""The verdict on a key, and whether the key is copied again: the pure decisions of the reconciliation."""

from __future__ import annotations

from enum import StrEnum

from transfer.comparison import is_as_listed
from transfer.model import NEVER_COPIED, UNRESOLVED, DestinationObject, ObjectMeta, SkipReason, TransferFailure
from transfer.reconciliation.advice import is_worth_retrying


class Verdict(StrEnum):
    """How a key ended."""

    MATCHED = "matched"
    """The destination holds what was listed, and did not hold it before the run."""
    SKIPPED = "skipped"
    """Not copied, for a reason that needs no action."""
    FAILED = "failed"
    """Not copied; a failure record says why."""
    MISSING = "missing"
    """Not at the destination, and no failure record says why."""
    DIFFERING = "differing"
    """The destination holds something else, and no failure record says why."""
    EXTRA = "extra"
    """At the destination only."""
    PROTECTED = "protected"
    """At the destination only, under a name that the run's globs leave out: the run never deletes it."""


UNFINISHED_VERDICTS = frozenset({Verdict.FAILED, Verdict.MISSING, Verdict.DIFFERING})
"""Listed, and neither copied nor skipped."""


def judge(
    item: ObjectMeta | None,
    skipped: SkipReason | None,
    stored: DestinationObject | None,
    failure: TransferFailure | None,
    *,
    is_held: bool,
    is_chosen: bool = True,
) -> Verdict:
    """The verdict on one key of either side.

    `is_held` is whether there is evidence that the destination holds the listed object (`transfer/comparison.py`); the name
    alone is none. `is_chosen` is whether the run's globs choose the name of an object that is at the destination only.

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

    An object that had to be copied, and whose destination is still at the generation that the listing saw, was not copied,
    whatever the destination holds: with `overwrite=always` it often holds the same bytes. A listing that saw nothing there,
    or did not look (`mode=verify`), has generation 0.
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
    """Which reconciliation of a run this is."""

    FIRST = "first"
    """After the listing's own copies: objects that a retry may help are published again."""
    REPLAY = "replay"
    """After a person cleared the reconciliation, having removed the causes: everything unfinished is published again."""
    FINAL = "final"
    """After the retries: nothing is published any more."""
    COMPARE = "compare"
    """The only pass of a run that compares both sides and copies nothing (`mode=verify`)."""


def is_republished(verdict: Verdict, failure: TransferFailure | None, which: Pass) -> bool:
    """Whether a pass publishes an object again, to have it copied.

    verdict               failure                        FIRST   REPLAY  FINAL, COMPARE
    matched, skipped      –                              no      no      no
    extra, protected      –                              no      no      no
    missing, differing    none                           yes     yes     no
    failed                worth retrying                 yes     yes     no
    failed                not worth it, or unknown       no      yes     no
    """
    if which in (Pass.FINAL, Pass.COMPARE) or verdict not in UNFINISHED_VERDICTS:
        return False
    return which is Pass.REPLAY or failure is None or is_worth_retrying(failure.error_code)


def generation_to_replace(item: ObjectMeta, stored: DestinationObject | None, *, may_overwrite: bool) -> int:
    """The generation that the destination must still have for the next upload of an object to succeed; 0 for no object.

    destination                          may_overwrite=False   may_overwrite=True
    nothing                              0                     0
    something, unchanged since listed    its generation        its generation
    something, written since then        the listed one        its generation

    A run does not copy over what somebody else wrote since the listing: that upload ends as DestinationConflict. Only a
    replay that a person asked for does, unless `overwrite` is `never`.
    """
    if stored is None:
        return 0
    return stored.generation if may_overwrite else item.replaces_generation
