"""One sweep over the destination: from a permission to what was deleted, with the lists and the report to show for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transfer.deletion.extraneous import (
    COLUMNS,
    DeleteExtraneous,
    DeletionCandidates,
    Found,
    Permission,
    find_extraneous,
    why_refused,
)
from transfer.deletion.record import Answer, DeletionRecord, of_attempt, recorded, write_counts
from transfer.deletion.removal import Removal
from transfer.errors import DeletionRefused, Stage
from transfer.model import DestinationObject
from transfer.naming import NameFilter, Naming
from transfer.ports import ObjectSink, SourceKeys, StateStore, TransferLoop
from transfer.reconciliation.reconcile import judge_keys
from transfer.records.csv_file import CsvFile
from transfer.records.layout import EXTRANEOUS_CSV
from transfer.records.manifest import read_manifest
from transfer.retry import Retrier


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What a sweep came to."""

    found: Found
    answers: Mapping[Answer, int] = field(default_factory=Counter)
    """How many of what was found ended how."""
    list_uri: str
    why_not_deleted: str

    @property
    def deleted(self) -> int:
        """By this sweep."""
        return self.answers.get(Answer.DELETED, 0)

    @property
    def told(self) -> str:
        """One line for a log."""
        found, why = self.found, f" ({self.why_not_deleted})" if self.why_not_deleted else ""
        others = (f"{count:,} {answer}" for answer, count in self.answers.items() if answer is not Answer.DELETED)
        return ", ".join(
            [
                f"{found.extraneous:,} of {found.stored:,} objects ({found.percent:.1f} %) are not in the source, see"
                f" {self.list_uri}; {self.deleted:,} deleted{why}",
                *others,
                f"{found.new:,} left since they are newer than this run",
                *[f"{found.protected:,} since include and exclude leave them out"] * bool(found.protected),
            ]
        )

    def to_dict(self) -> dict[str, object]:
        """As XCom carries it."""
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
    *,
    state: StateStore,
    destination: Iterable[DestinationObject],
    source: SourceKeys,
    naming: Naming,
    listing: str,
    listed: int,
    began_at_s: float,
    max_percent: float,
    max_objects: int,
    attempt: int,
    lanes: Sequence[tuple[ObjectSink, Retrier]],
    new_loop: Callable[[], TransferLoop],
    name_filter: NameFilter | None = None,
) -> SweepResult:
    """List what the source does not have, and delete it if that is permitted and the source, asked again, does not have it.

    `listing` names the manifest of the source, which has `listed` objects; `began_at_s` is before it was listed, by Cloud
    Storage's clock. `name_filter` is the run's globs: names that they leave out are none of its business. A try of the task
    (`attempt`, from 1) has lists of its own, so that each deletion stays on record. Raises DeletionRefused, what
    `transfer.deletion.removal.Removal.run` raises, or what the backends raise.
    """
    base = of_attempt(EXTRANEOUS_CSV, attempt)
    rows, shortlist = CsvFile(state, base, COLUMNS), DeletionCandidates()
    judged = judge_keys(read_manifest(state, listing), destination, (), naming=naming, name_filter=name_filter)
    found = find_extraneous(judged, rows, shortlist, naming=naming, began_at_s=began_at_s)
    refused = why_refused(found, listed=listed, max_percent=max_percent, max_objects=max_objects)
    uri = f"{state.uri}{base}.csv"
    if may.action is not DeleteExtraneous.DELETE:
        why_not = refused or may.why_not or "only listed, as asked"
        record_refusal(state, why_not)
        return SweepResult(found=found, list_uri=uri, why_not_deleted=why_not)
    if refused:
        record_refusal(state, refused)
        raise DeletionRefused(f"nothing was deleted: {refused} ({uri})", stage=Stage.RECONCILE)
    record = DeletionRecord(state, attempt=attempt)
    record.store()
    removal = Removal(source, record, naming=naming, witnesses=found.witnesses, began_at_s=began_at_s)
    removal.run(shortlist, lanes, new_loop)
    return SweepResult(found=found, answers=record.counts, list_uri=uri, why_not_deleted="")


def record_refusal(state: StateStore, why_not: str) -> None:
    """Put into the report why nothing was deleted; what earlier tries deleted stays counted."""
    write_counts(state, recorded(state), why_not=why_not)
