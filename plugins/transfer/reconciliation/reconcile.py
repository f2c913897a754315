"""Reconciles a run: walks the manifest, the destination's listing and the failures side by side, and judges every key.

Every listed key gets exactly one verdict (`transfer/reconciliation/verdicts.py`), in constant memory: all three are read in
the order of keys, the failures from a temporary file. Objects that are worth retrying are published again, as a listing of
their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

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
from transfer.planning.sizes import SizeHistogram
from transfer.planning.usage import UsageMeter
from transfer.reconciliation.alongside import Alongside
from transfer.reconciliation.reasons import Reasons
from transfer.reconciliation.report import ArchivedFile, EvidenceTally, FailuresFile, ReconciliationReport
from transfer.reconciliation.run_context import RunContext
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
    """The verdict on one key of either side, with everything that it rests on."""

    verdict: Verdict
    item: ObjectMeta | None
    skipped: SkipReason | None
    stored: DestinationObject | None
    failure: TransferFailure | None
    evidence: Evidence | None = None
    """The evidence that the destination holds the listed object; None when there is none, or none was needed."""
    is_bound: bool = True
    """Whether the object at the destination is evidence by itself; otherwise only this run's ledger is."""


def judge_keys(
    manifest: Iterable[tuple[ObjectMeta, SkipReason | None]],
    destination: Iterable[DestinationObject],
    failures: Iterable[TransferFailure],
    unbound: Iterable[UnboundCopy] = (),
    *,
    naming: Naming,
    name_filter: NameFilter | None = None,
) -> Iterator[KeyVerdict]:
    """The verdicts on all keys of either side, in byte order.

    All four come sorted by key: listed objects with the reason why the listing skipped them, objects at the destination,
    failures, and copies of which only the ledger shows what they hold. `name_filter` is the run's globs
    (`transfer/listing/selection.py`): they protect objects that are at the destination only. Raises ListingOutOfOrder.
    """
    failed, copies = Alongside(failures), Alongside(unbound)
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
            failure = _unresolved(item, skipped)
        # Asked only for objects that are at the destination alone: for all others, the listing has decided.
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
    """The evidence that the destination holds an object, and whether it is evidence without the ledger."""
    if item is None or stored is None:
        return None, True
    if (evidence := evidence_of(stored, item)) is not None:
        return evidence, True
    if copy is not None and (copy.generation, copy.crc32c) == (stored.generation, stored.crc32c):
        return EVIDENCE_OF[copy.proof], False
    return None, True


def _unresolved(item: ObjectMeta, why: SkipReason) -> TransferFailure:
    """The failure of an object that a manifest names and that S3 did not return when the listing asked for it (HEAD)."""
    rule = RULE_OF[why]
    version = f" (version {item.version_id})" if item.version_id else ""
    return TransferFailure(
        key=item.key,
        stage=Stage.LIST,
        error_code=rule.error.__name__,
        http_status=rule.status,
        attempts=1,
        message=f"the manifest names it{version}, but {rule.meaning}",
    )


class Republisher(Protocol):
    """Publishes objects again (`transfer.listing.batches.Batches`)."""

    def add(self, item: ObjectMeta, *, is_alone: bool = False) -> None:
        """Publish one object, with `is_alone` in a separate message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """What kind of pass this is, and what it may do."""

    which: Pass
    may_replace: bool
    """Whether a replay may copy over objects that somebody else wrote since the listing (not with `overwrite=never`)."""
    has_extras: bool
    """Whether the manifest is of the whole source, so that objects only at the destination are worth counting."""
    allows_empty: bool = False
    """Whether a run succeeds that lists objects but can copy none of them."""

    @property
    def was_copied(self) -> bool:
        """Whether the run was to copy anything."""
        return self.which is not Pass.COMPARE

    @property
    def may_overwrite(self) -> bool:
        """Whether this pass may copy over objects that somebody else wrote since the listing."""
        return self.may_replace and self.which is Pass.REPLAY


def reconcile(
    verdicts: Iterable[KeyVerdict],
    run: RunContext,
    settings: PassSettings,
    republisher: Republisher,
    *,
    round_name: str,
    why_missing: str = "",
    invalid_messages: int = 0,
    meter: UsageMeter | None = None,
) -> ReconciliationReport:
    """Count the verdicts, publish objects again, and record the unfinished objects and the archived ones.

    `round_name` names this pass among the records. `why_missing` is what ended the workers, if anything did.
    `invalid_messages` is how many messages were not transfer requests. `meter` counts the objects that were copied.
    """
    tally, republished = _Tally(run, settings, round_name, why_missing, meter), 0
    for key in verdicts:
        tally.add(key)
        if (
            key.item is None
            or key.skipped in UNRESOLVED
            or not is_republished(key.verdict, key.failure, settings.which)
        ):
            continue
        generation = generation_to_replace(key.item, key.stored, may_overwrite=settings.may_overwrite)
        was_poison = key.failure is not None and key.failure.error_code == "PoisonMessage"
        republisher.add(replace(key.item, replaces_generation=generation), is_alone=was_poison)
        republished += 1
    return tally.report(republished=republished, invalid_messages=invalid_messages)


class _Tally:
    """Counts verdicts, and writes the files that name keys."""

    def __init__(
        self,
        run: RunContext,
        settings: PassSettings,
        round_name: str,
        why_missing: str,
        meter: UsageMeter | None,
    ) -> None:
        was_copied = settings.was_copied
        self._run = run
        self._settings = settings
        self._round_name = round_name
        self._why_missing = why_missing
        self._counts: Counter[Verdict] = Counter()
        self._sizes = SizeHistogram()
        self._meter = meter if was_copied else None
        self._stored = 0
        self._reasons = Reasons(was_copied=was_copied)
        self._evidence = EvidenceTally(was_copied=was_copied)
        self._failures = FailuresFile(run.state)
        self._archived = ArchivedFile(run.state)
        self._unfinished = Manifest(run.state, round_name, folder=UNFINISHED)
        self._matched_bytes = self._never_copied = self._unbound = 0

    def add(self, key: KeyVerdict) -> None:
        """Count one key, and write it to the files that it belongs in."""
        self._counts[key.verdict] += 1
        self._stored += key.stored is not None
        if key.item is None:
            return
        self._sizes.add(key.item.size_bytes)
        self._evidence.add(key.verdict, key.skipped, key.evidence)
        if key.verdict is Verdict.MATCHED:
            self._matched_bytes += key.item.size_bytes
            self._unbound += not key.is_bound
            if self._meter is not None:
                self._meter.count_copy(key.item)
        elif key.verdict is Verdict.SKIPPED:
            self._reasons.add(key.verdict, str(key.skipped), key.item.key)
            self._never_copied += key.skipped in NEVER_COPIED
            if key.skipped is SkipReason.ARCHIVED:
                self._archived.add(key.item)
        else:
            self._add_unfinished(key, key.item)

    def _add_unfinished(self, key: KeyVerdict, item: ObjectMeta) -> None:
        if key.failure is not None:
            reason, message = key.failure.error_code, key.failure.message
        else:
            reason, message = str(key.verdict), self._why_missing or difference(key.stored, item)
        self._reasons.add(key.verdict, reason, item.key, message)
        self._failures.add(item.key, key.verdict, key.failure)
        self._unfinished.add(item)

    def report(self, *, republished: int, invalid_messages: int) -> ReconciliationReport:
        """Store the files; the report on all keys."""
        self._unfinished.flush()
        self._failures.close()
        self._archived.close()
        counts, settings = self._counts, self._settings
        return ReconciliationReport(
            run_id=self._run.run_id,
            listing=self._run.listing,
            is_final=settings.which in (Pass.FINAL, Pass.COMPARE) or not republished,
            listed=sum(counts.values()) - counts[Verdict.EXTRA] - counts[Verdict.PROTECTED],
            copied=counts[Verdict.MATCHED] if settings.was_copied else 0,
            matched=counts[Verdict.MATCHED],
            skipped=counts[Verdict.SKIPPED],
            failed=counts[Verdict.FAILED],
            missing=counts[Verdict.MISSING],
            differing=counts[Verdict.DIFFERING],
            extra=counts[Verdict.EXTRA] if settings.has_extras else 0,
            protected=counts[Verdict.PROTECTED] if settings.has_extras else 0,
            bytes_copied=self._matched_bytes if settings.was_copied else 0,
            invalid_messages=invalid_messages,
            republished=republished,
            unfinished=self._round_name if any(counts[verdict] for verdict in UNFINISHED_VERDICTS) else "",
            reasons=self._reasons.sorted(),
            passed_over=self._never_copied,
            allows_empty=settings.allows_empty,
            evidence=self._evidence.counts(),
            unbound=self._unbound,
            sizes=self._sizes.bands(),
            stored=self._stored,
        )
