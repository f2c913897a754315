"""Sweeps the destination once: finds extraneous objects, lists them, deletes them if that is permitted, and reports it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from transfer.deletion.extraneous import (
    COLUMNS,
    DeleteExtraneous,
    DeletionCandidates,
    DeletionLimits,
    Found,
    Permission,
    find_extraneous,
    why_refused,
)
from transfer.deletion.record import Answer, DeletionRecord, recorded, write_counts
from transfer.deletion.removal import Deleters, Removal
from transfer.errors import DeletionRefused, Stage
from transfer.model import DestinationObject
from transfer.ports import SourceKeys, StateStore
from transfer.reconciliation.reconcile import judge_keys
from transfer.reconciliation.run_context import RunContext
from transfer.records.csv_file import CsvFile
from transfer.records.layout import EXTRANEOUS_CSV, of_attempt
from transfer.records.manifest import read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """The result of a sweep."""

    found: Found
    answers: Mapping[Answer, int] = field(default_factory=Counter)
    """The number of objects by answer."""
    list_uri: str
    """Where extraneous.csv is."""
    why_not_deleted: str
    """Why nothing was deleted; empty otherwise."""

    @property
    def deleted(self) -> int:
        """How many objects this sweep deleted."""
        return self.answers.get(Answer.DELETED, 0)

    @property
    def text(self) -> str:
        """The result as one line for a log."""
        found, why = self.found, f" ({self.why_not_deleted})" if self.why_not_deleted else ""
        others = (f"{count:,} {answer}" for answer, count in self.answers.items() if answer is not Answer.DELETED)
        return ", ".join(
            [
                f"{found.extraneous:,} of {found.stored:,} objects ({found.percent:.1f} %) are not in the source, see"
                f" {self.list_uri}; {self.deleted:,} deleted{why}",
                *others,
                f"{found.new:,} stay because they are newer than this run",
                *[f"{found.protected:,} stay because include and exclude leave them out"] * bool(found.protected),
            ]
        )

    def to_dict(self) -> dict[str, object]:
        """The result as an XCom."""
        return {
            "extraneous": self.found.extraneous,
            "extraneous_bytes": self.found.extraneous_bytes,
            "percent": self.found.percent,
            "new": self.found.new,
            "protected": self.found.protected,
            "deleted": self.deleted,
            "gone": self.answers.get(Answer.GONE, 0),
            "changed": self.answers.get(Answer.CHANGED, 0),
            "still_in_source": self.answers.get(Answer.STILL_IN_SOURCE, 0),
            "list_uri": self.list_uri,
            "why_not_deleted": self.why_not_deleted,
        }


def sweep(
    may: Permission,
    run: RunContext,
    *,
    destination: Iterable[DestinationObject],
    source: SourceKeys,
    deleters: Deleters,
    limits: DeletionLimits,
    began_at_s: float,
) -> SweepResult:
    """List the objects that the source does not have, and delete them if that is permitted and S3 does not have their keys.

    `destination` lists the objects under the destination prefix in byte order. `began_at_s` is a time before the source was
    listed, by Cloud Storage's clock. Each attempt of the task writes separate lists, so that every deletion stays on record.
    Raises DeletionRefused, whatever `transfer.deletion.removal.Removal.run` raises, and whatever the backends raise.
    """
    base = of_attempt(EXTRANEOUS_CSV, run.attempt)
    rows, candidates = CsvFile(run.state, base, COLUMNS), DeletionCandidates()
    manifest = read_manifest(run.state, run.listing)
    verdicts = judge_keys(manifest, destination, (), naming=run.naming, name_filter=run.name_filter)
    found = find_extraneous(verdicts, rows, candidates, naming=run.naming, began_at_s=began_at_s)
    refused = why_refused(found, limits, listed=run.listed)
    uri = f"{run.state.uri}{base}.csv"
    if may.action is not DeleteExtraneous.DELETE:
        why_not = refused or may.why_not or "only listed, as asked"
        record_refusal(run.state, why_not)
        return SweepResult(found=found, list_uri=uri, why_not_deleted=why_not)
    if refused:
        record_refusal(run.state, refused)
        raise DeletionRefused(f"nothing was deleted: {refused} ({uri})", stage=Stage.RECONCILE)
    record = DeletionRecord(run.state, attempt=run.attempt)
    record.store()
    removal = Removal(source, record, naming=run.naming, witnesses=found.witnesses, began_at_s=began_at_s)
    removal.run(candidates, deleters)
    return SweepResult(found=found, answers=record.counts, list_uri=uri, why_not_deleted="")


def record_refusal(state: StateStore, why_not: str) -> None:
    """Put into the report why nothing was deleted; objects that earlier attempts deleted stay counted."""
    write_counts(state, recorded(state), why_not=why_not)
