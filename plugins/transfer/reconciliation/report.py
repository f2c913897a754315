"""The results of a run, for people and programs: report.json, failures.csv and archived.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from transfer.model import Evidence, ObjectMeta, SkipReason, TransferFailure
from transfer.planning.sizes import BAND_ENDS_BYTES, Amount
from transfer.ports import StateStore
from transfer.reconciliation.reasons import SAMPLES, Reason
from transfer.reconciliation.run_details import RunDetails
from transfer.reconciliation.sampling import Compared, SampleReport
from transfer.reconciliation.verdicts import Verdict
from transfer.records.csv_file import CsvFile
from transfer.records.json_record import read_json, write_json
from transfer.records.layout import ARCHIVED_COLUMNS, ARCHIVED_CSV, FAILURES_CSV, REPORT_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationReport:
    """The results of a run, in objects: `matched + skipped + failed + missing + differing = listed`."""

    run_id: str
    listing: str
    """Names the manifest of what was listed."""
    is_final: bool
    """Whether the results are those of the last pass: an earlier pass may have published objects again."""
    listed: int
    copied: int
    matched: int
    skipped: int
    failed: int
    missing: int
    differing: int
    extra: int
    bytes_copied: int
    invalid_messages: int
    protected: int = 0
    """Objects that are only at the destination and that the run's globs leave out: they are never deleted."""
    stored: int = 0
    """All objects under the destination prefix."""
    deleted: int = 0
    """How many of the extra objects were deleted; `extra` still counts them."""
    deletion: Mapping[str, int] = field(default_factory=dict)
    """The objects that were to be deleted, by answer as deleted.csv names it, over all attempts of the task."""
    why_not_deleted: str = ""
    """Why nothing was deleted although the run was asked to delete."""
    republished: int = 0
    """How many objects this pass published again."""
    unfinished: str = ""
    """Names the manifest of the unfinished objects, in the folder `unfinished`; empty when there are none."""
    reasons: tuple[Reason, ...] = field(default=())
    passed_over: int = 0
    """Skipped objects that no run copies as they are: archived, left out by the selection, or the prefix itself."""
    allows_empty: bool = False
    """Whether the run succeeds when no listed object can be copied (`allow_empty`)."""
    evidence: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The evidence for each claim: objects by claim and `transfer.model.Evidence` (docs/proof.md)."""
    unbound: int = 0
    """Matched objects whose label could not be bound to their bytes, so only the ledger shows what they hold."""
    sample: SampleReport | None = None
    """The result of reading a share of the matched objects back from both sides (`verify_sample`)."""
    sizes: tuple[Amount, ...] = ()
    """All listed objects by size, in the bands of BAND_ENDS_BYTES; the last band has no end."""
    band_ends_bytes: tuple[int, ...] = BAND_ENDS_BYTES
    details: RunDetails = field(default_factory=RunDetails)
    """What the run was for and what it took. Its fields stand among the others in report.json."""

    @property
    def is_empty(self) -> bool:
        """Whether objects were listed but none of them can be copied: more likely a mistake than a success."""
        return 0 < self.listed == self.passed_over

    @property
    def is_green(self) -> bool:
        """Whether every listed object is matched, or skipped with a reason, and the sample, if any, is clean."""
        is_complete = self.listed == self.matched + self.skipped and (self.allows_empty or not self.is_empty)
        return is_complete and (self.sample is None or self.sample.is_clean)

    def why_red(self, *, was_copied: bool) -> str:
        """Why the run failed, in one sentence; empty when it did not.

        `was_copied` is whether the run was to copy anything (not with `mode=verify`).
        """
        reasons = []
        if unfinished := self.listed - self.matched - self.skipped:
            how = "were not copied" if was_copied else "are missing or differ"
            reasons.append(f"{unfinished:,} of {self.listed:,} objects {how}")
        if self.is_empty and not self.allows_empty:
            reasons.append(nothing_to_copy(self.listed))
        if self.sample is not None and not self.sample.is_clean:
            examples = ", ".join(
                f"{example.key!r:.80} ({example.end}{_where(example)})" for example in self.sample.examples[:SAMPLES]
            )
            reasons.append(
                f"the sample is not clean: {self.sample}; {examples}; sample.csv beside the report lists them all"
            )
        return "; ".join(reasons)

    @property
    def unfinished_reasons(self) -> tuple[Reason, ...]:
        """The reasons of the unfinished objects, without those of skipped objects."""
        return tuple(reason for reason in self.reasons if reason.verdict is not Verdict.SKIPPED)

    def to_dict(self) -> dict[str, object]:
        """The JSON object in report.json."""
        fields = asdict(self)
        del fields["details"]
        return {
            **self.details.to_dict(),
            **fields,
            "sample": self.sample.to_dict() if self.sample else None,
            "sizes": [band.to_dict() for band in self.sizes],
        }

    @classmethod
    def of(cls, fields: dict[str, Any]) -> ReconciliationReport:
        """The report of which `to_dict` made these fields."""
        reasons = (
            Reason(**item | {"verdict": Verdict(item["verdict"]), "samples": tuple(item["samples"])})
            for item in fields.pop("reasons")
        )
        sample = fields.pop("sample", None)
        return cls(
            reasons=tuple(reasons),
            sample=SampleReport.of(sample) if sample else None,
            details=RunDetails.taken_from(fields),
            sizes=tuple(Amount.of(band) for band in fields.pop("sizes", ())),
            band_ends_bytes=tuple(fields.pop("band_ends_bytes", BAND_ENDS_BYTES)),
            **fields,
        )


def _where(example: Compared) -> str:
    return "" if example.first_differing_byte is None else f" from byte {example.first_differing_byte:,} on"


def nothing_to_copy(listed: int) -> str:
    """Why a run fails that listed objects but can copy none of them, and what to do."""
    return (
        f"none of the {listed:,} listed objects can be copied: each is archived, left out by the selection, or the source prefix"
        " itself; restore the archived objects, check source_prefix, include, exclude and the bounds, or set allow_empty if"
        " this is expected"
    )


class EvidenceTally:
    """Counts the evidence for each claim. `was_copied` is whether the run was to copy anything."""

    def __init__(self, *, was_copied: bool) -> None:
        self._of_matched = ("copied", "matched") if was_copied else ("matched", "verified")
        self._counts: Counter[tuple[str, Evidence]] = Counter()

    def add(self, verdict: Verdict, skipped: SkipReason | None, evidence: Evidence | None) -> None:
        """Count one key, by its verdict and its evidence; None for no evidence."""
        if evidence is None:
            return
        if verdict is Verdict.MATCHED:
            for claim in self._of_matched:
                self._counts[claim, evidence] += 1
        elif verdict is Verdict.SKIPPED and skipped in (SkipReason.UNCHANGED, SkipReason.EXISTS):
            self._counts[str(skipped), evidence] += 1

    def counts(self) -> dict[str, dict[str, int]]:
        """The number of objects by claim and evidence, without zeros."""
        found: dict[str, dict[str, int]] = {}
        for (claim, evidence), count in sorted(self._counts.items()):
            found.setdefault(claim, {})[str(evidence)] = count
        return found


def write_report(state: StateStore, report: ReconciliationReport) -> None:
    """Store report.json, in place of an earlier one."""
    write_json(state, REPORT_JSON, report.to_dict())


def read_report(state: StateStore) -> ReconciliationReport:
    """Read a run's report.json. Raises InvalidMessage when there is none, and RecordDamaged when it cannot be read."""
    return read_json(state, REPORT_JSON, ReconciliationReport.of)


class ArchivedFile:
    """Writes archived.csv: a row for each object that has to be restored before it can be copied; no file for none.

    Once the objects are restored, a run can take the file as its manifest (`transfer/sources/key_manifest.py`). Use from one
    thread.
    """

    def __init__(self, state: StateStore) -> None:
        self._file = CsvFile(state, ARCHIVED_CSV, ARCHIVED_COLUMNS)
        self._has_rows = False

    def add(self, item: ObjectMeta) -> None:
        """Add the row of one archived object."""
        self._file.add((item.key, item.version_id, item.size_bytes, item.storage_class))
        self._has_rows = True

    def close(self) -> None:
        """Store the last rows, in place of the files of an earlier pass."""
        if self._has_rows:
            self._file.close()


class FailuresFile:
    """Writes failures.csv: a row for each listed object that was neither copied nor skipped. Use from one thread."""

    COLUMNS = ("key", "verdict", "reason", "stage", "http_status", "attempts", "message")

    def __init__(self, state: StateStore) -> None:
        self._file = CsvFile(state, FAILURES_CSV, self.COLUMNS)

    def add(self, key: str, verdict: Verdict, failure: TransferFailure | None) -> None:
        """Add the row of one unfinished object; `failure` is None where no failure record says why."""
        if failure is None:
            self._file.add((key, verdict, verdict, "", "", "", ""))
        else:
            status = failure.http_status or ""
            self._file.add((key, verdict, failure.error_code, failure.stage, status, failure.attempts, failure.message))

    def close(self) -> None:
        """Store the last rows, in place of the files of an earlier pass."""
        self._file.close()
