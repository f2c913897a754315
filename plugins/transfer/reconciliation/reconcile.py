"""A pass over a run: what was listed, what the destination holds and what failed, marched side by side.

Every listed key ends as exactly one verdict (`transfer/reconciliation/verdicts.py`), in constant memory: the three sides are
read in order, and failures wait in a temporary file. What is worth another try is published again as a listing of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from transfer.comparison import EVIDENCE_OF, difference, evidence_of
from transfer.errors import Stage
from transfer.march import march
from transfer.model import (
    NEVER_COPIED,
    UNRESOLVED,
    DestinationObject,
    Evidence,
    ObjectMeta,
    SkipReason,
    TransferFailure,
)
from transfer.naming import NameFilter, Naming
from transfer.ports import StateStore
from transfer.reconciliation.failures import key_bytes
from transfer.reconciliation.report import ArchivedFile, EvidenceTally, FailuresFile, Reasons, ReconciliationReport
from transfer.reconciliation.verdicts import (
    UNFINISHED_VERDICTS,
    Pass,
    Verdict,
    generation_to_replace,
    is_republished,
    judge,
)
from transfer.records.layout import UNFINISHED
from transfer.records.ledger import UnboundCopy
from transfer.records.manifest import Manifest
from transfer.sources.head_answers import RULE_OF


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVerdict:
    """One key with all that is known of it, and how it ends."""

    verdict: Verdict
    item: ObjectMeta | None
    skipped: SkipReason | None
    stored: DestinationObject | None
    failure: TransferFailure | None
    evidence: Evidence | None = None
    """What shows that the destination holds it; None when nothing does, or nobody had to look."""
    is_bound: bool = True
    """Whether what is there shows that by itself; else only the ledger of this run does."""


def judge_keys(
    manifest: Iterable[tuple[ObjectMeta, SkipReason | None]],
    destination: Iterable[DestinationObject],
    failures: Iterable[TransferFailure],
    unbound: Iterable[UnboundCopy] = (),
    *,
    naming: Naming,
    name_filter: NameFilter | None = None,
) -> Iterator[KeyVerdict]:
    """Every key of either side, in byte order; failures and unbound copies come sorted by key. Raises ListingOutOfOrder.

    `name_filter` is the run's globs (`transfer/listing/selection.py`): what they leave out at the destination only is protected.
    """
    failed, copies = _Alongside(failures), _Alongside(unbound)
    pairs = march(
        manifest,
        destination,
        left_name=lambda entry: naming.name_of(entry[0].key),
        right_name=lambda stored: stored.name,
    )
    for entry, stored in pairs:
        item, skipped = entry or (None, None)
        failure, copy = (failed.of(item.key), copies.of(item.key)) if item is not None else (None, None)
        if item is not None and skipped is not None and skipped in UNRESOLVED:
            failure = _untold(item, skipped)
        # Only of what is at the destination alone: of all else, the listing has told.
        is_chosen = (
            item is not None
            or stored is None
            or name_filter is None
            or name_filter(naming.below_destination(stored.name))
        )
        evidence, is_bound = _evidence(item, stored, copy)
        verdict = judge(item, skipped, stored, failure, is_held=evidence is not None, is_chosen=is_chosen)
        if skipped is SkipReason.EXISTS:
            evidence = Evidence.NAME
        yield KeyVerdict(
            verdict=verdict,
            item=item,
            skipped=skipped,
            stored=stored,
            failure=failure,
            evidence=evidence,
            is_bound=is_bound,
        )


def _evidence(
    item: ObjectMeta | None, stored: DestinationObject | None, copy: UnboundCopy | None
) -> tuple[Evidence | None, bool]:
    """What shows that the destination holds an object, and whether it does so without the ledger."""
    if item is None or stored is None:
        return None, True
    if (evidence := evidence_of(stored, item)) is not None:
        return evidence, True
    if copy is not None and (copy.generation, copy.crc32c) == (stored.generation, stored.crc32c):
        return EVIDENCE_OF[copy.proof], False
    return None, True


def _untold(item: ObjectMeta, why: SkipReason) -> TransferFailure:
    """Nobody tried to copy it: the listing's HEAD has told."""
    rule = RULE_OF[why]
    version = f" (version {item.version_id})" if item.version_id else ""
    return TransferFailure(
        key=item.key,
        stage=Stage.LIST,
        error_code=rule.error.__name__,
        http_status=rule.status,
        attempts=1,
        message=f"the manifest names it{version}, and {rule.meaning}",
    )


class _HasKey(Protocol):
    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=_HasKey)


class _Alongside(Generic[K]):
    """Records sorted by key, beside a walk through keys in the same order: the last one of each key."""

    def __init__(self, records: Iterable[K]) -> None:
        self._records = iter(records)
        self._advance()

    def of(self, key: str) -> K | None:
        wanted, found = key_bytes(key), None
        while self._next is not None and self._next_key <= wanted:
            found = self._next if self._next_key == wanted else None
            self._advance()
        return found

    def _advance(self) -> None:
        self._next = next(self._records, None)
        self._next_key = key_bytes(self._next.key) if self._next is not None else b""


class Republisher(Protocol):
    """Takes the objects that are tried again (`transfer.listing.batches.Batches`)."""

    def add(self, item: ObjectMeta, *, is_alone: bool = False) -> None:
        """One object; alone when it must not share its message."""


def reconcile(
    judged: Iterable[KeyVerdict],
    state: StateStore,
    *,
    which: Pass,
    run_id: str,
    listing: str,
    round_name: str,
    may_overwrite: bool,
    has_extras: bool,
    invalid_messages: int,
    why_missing: str,
    republisher: Republisher,
    allows_empty: bool = False,
) -> ReconciliationReport:
    """Count, hand over what is tried again, and record what is unfinished, also as failures.csv, and what is archived.

    `round_name` names this very pass among the records. `may_overwrite` is whether what somebody else wrote since the
    listing may be overwritten. `has_extras` is whether the manifest is the whole of the source, so that what else is at
    the destination is worth counting. `why_missing` is what ended the workers, if anything did. `allows_empty` is whether it
    is a success that there was nothing to copy.
    """
    counts: Counter[Verdict] = Counter()
    was_copied = which is not Pass.COMPARE
    reasons, rows, evidence = Reasons(was_copied=was_copied), FailuresFile(state), EvidenceTally(was_copied=was_copied)
    archived = ArchivedFile(state)
    unfinished = Manifest(state, round_name, folder=UNFINISHED)
    bytes_copied = republished = passed_over = unbound = 0
    for key in judged:
        counts[key.verdict] += 1
        if key.item is None:
            continue
        evidence.add(key.verdict, key.skipped, key.evidence)
        if key.verdict is Verdict.MATCHED:
            bytes_copied += key.item.size_bytes if was_copied else 0
            unbound += not key.is_bound
        elif key.verdict is Verdict.SKIPPED:
            reasons.add(key.verdict, str(key.skipped), key.item.key)
            passed_over += key.skipped in NEVER_COPIED
            if key.skipped is SkipReason.ARCHIVED:
                archived.add(key.item)
        else:
            if key.failure is not None:
                reason, said = key.failure.error_code, key.failure.message
            else:
                reason, said = str(key.verdict), why_missing or difference(key.stored, key.item)
            reasons.add(key.verdict, reason, key.item.key, said)
            rows.add(key.item.key, key.verdict, key.failure)
            unfinished.add(key.item)
        if key.skipped not in UNRESOLVED and is_republished(key.verdict, key.failure, which):
            generation = generation_to_replace(key.item, key.stored, may_overwrite=may_overwrite)
            was_poison = key.failure is not None and key.failure.error_code == "PoisonMessage"
            republisher.add(replace(key.item, replaces_generation=generation), is_alone=was_poison)
            republished += 1
    unfinished.flush()
    rows.close()
    archived.close()
    return ReconciliationReport(
        run_id=run_id,
        listing=listing,
        is_final=which in (Pass.FINAL, Pass.COMPARE) or not republished,
        listed=sum(counts.values()) - counts[Verdict.EXTRA] - counts[Verdict.PROTECTED],
        copied=counts[Verdict.MATCHED] if was_copied else 0,
        matched=counts[Verdict.MATCHED],
        skipped=counts[Verdict.SKIPPED],
        failed=counts[Verdict.FAILED],
        missing=counts[Verdict.MISSING],
        differing=counts[Verdict.DIFFERING],
        extra=counts[Verdict.EXTRA] if has_extras else 0,
        protected=counts[Verdict.PROTECTED] if has_extras else 0,
        bytes_copied=bytes_copied,
        invalid_messages=invalid_messages,
        republished=republished,
        unfinished=round_name if any(counts[verdict] for verdict in UNFINISHED_VERDICTS) else "",
        reasons=reasons.sorted(),
        passed_over=passed_over,
        allows_empty=allows_empty,
        evidence=evidence.counts(),
        unbound=unbound,
    )
