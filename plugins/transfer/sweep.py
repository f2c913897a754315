"""One sweep over the destination: from a permission to what was deleted, with the lists and the report to show for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from transfer.csv_file import CsvFile
from transfer.deletion import (
    COLUMNS,
    DeleteExtraneous,
    Deletion,
    Found,
    Permission,
    find_extraneous,
    why_refused,
)
from transfer.errors import DeletionRefused, Stage
from transfer.model import DestinationObject
from transfer.naming import Naming
from transfer.ports import ObjectSink, StateStore, TransferLoop
from transfer.reconcile import judge_all
from transfer.records import read_manifest
from transfer.report import REPORT, ReconciliationReport, write_report
from transfer.retry import Retrier


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep came to."""

    found: Found
    deleted: int
    changed: int
    """Written again between the look and the delete: left."""
    list_uri: str
    why_not_deleted: str

    @property
    def told(self) -> str:
        """One line for a log."""
        found, why = self.found, f" ({self.why_not_deleted})" if self.why_not_deleted else ""
        return (
            f"{found.extraneous:,} of {found.stored:,} objects ({found.percent:.1f} %) are not in the source, see"
            f" {self.list_uri}; {self.deleted:,} deleted{why}, {self.changed:,} left since they changed meanwhile,"
            f" {found.new:,} since they are newer than this run"
            + (f", {found.protected:,} since include and exclude leave them out" if found.protected else "")
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
            "changed": self.changed,
            "list_uri": self.list_uri,
            "why_not_deleted": self.why_not_deleted,
        }


def sweep(
    may: Permission,
    *,
    state: StateStore,
    destination: Iterable[DestinationObject],
    naming: Naming,
    listing: str,
    listed: int,
    began_at_s: float,
    max_percent: float,
    attempt: int,
    lanes: Sequence[tuple[ObjectSink, Retrier]],
    loop: TransferLoop,
    has_name: Callable[[str], bool] | None = None,
) -> Swept:
    """List what the source does not have, and delete it if that is permitted.

    `listing` names the manifest of the source, which has `listed` objects; `began_at_s` is before it was listed.
    `has_name` is the run's globs: names that they leave out are none of its business. A try of the task (`attempt`, from
    1) has a list of its own, so that each deletion stays on record. Raises DeletionRefused, the first error of an object
    that could not be deleted, once all others are, or what the backends raise.
    """
    base = "extraneous" if attempt == 1 else f"extraneous.try{attempt}"
    rows = CsvFile(state, base, COLUMNS)
    judged = judge_all(read_manifest(state, listing), destination, (), naming=naming, has_name=has_name)
    found = find_extraneous(judged, rows, naming=naming, began_at_s=began_at_s)
    refused = why_refused(found, listed=listed, max_percent=max_percent)
    uri = f"{state.uri}{base}.csv"
    if may.action is not DeleteExtraneous.DELETE:
        why_not = refused or may.why_not or "only listed, as asked"
        tell_why_not(state, why_not)
        return Swept(found=found, deleted=0, changed=0, list_uri=uri, why_not_deleted=why_not)
    if refused:
        tell_why_not(state, refused)
        raise DeletionRefused(f"nothing was deleted: {refused} ({uri})", stage=Stage.RECONCILE)
    deletion = Deletion(rows, naming)
    try:
        loop.run([deletion.lane(sink, retrier) for sink, retrier in lanes])
    finally:
        report = ReconciliationReport.decode(state.read(REPORT))
        write_report(state, replace(report, deleted=report.deleted + deletion.deleted, why_not_deleted=""))
    if deletion.first_error is not None:
        raise deletion.first_error
    return Swept(found=found, deleted=deletion.deleted, changed=deletion.changed, list_uri=uri, why_not_deleted="")


def tell_why_not(state: StateStore, why_not: str) -> None:
    """Put into the report why nothing was deleted."""
    write_report(state, replace(ReconciliationReport.decode(state.read(REPORT)), why_not_deleted=why_not))
