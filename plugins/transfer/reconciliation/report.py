"""The results of a run, for people and programs: report.json, failures.csv, archived.csv, and one screen of text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from textwrap import wrap
from typing import Any

from transfer.model import Evidence, ObjectMeta, SkipReason, TransferFailure
from transfer.ports import StateStore
from transfer.reconciliation.advice import advice_for
from transfer.reconciliation.sampling import Compared, SampleReport
from transfer.reconciliation.verdicts import Verdict
from transfer.records.csv_file import CsvFile
from transfer.records.json_record import read_json, write_json
from transfer.records.layout import ARCHIVED_COLUMNS, ARCHIVED_CSV, FAILURES_CSV, REPORT_JSON

SAMPLES = 3
"""How many keys are shown for each reason."""
WIDTH = 120
"""The width of the table of reasons, in characters."""
_INDENT = " " * 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason why keys did not end as matched, and how many did not."""

    verdict: Verdict
    reason: str
    count: int
    samples: tuple[str, ...]
    """Some of the keys."""
    advice: str
    """What to do about it; empty for nothing."""
    message: str = ""
    """The error message of the first of these failures."""


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
        return asdict(self) | {"sample": self.sample.to_dict() if self.sample else None}

    @classmethod
    def decode(cls, body: bytes) -> ReconciliationReport:
        """The report in the body of a report.json."""
        return cls.of(json.loads(body))

    @classmethod
    def of(cls, fields: dict[str, Any]) -> ReconciliationReport:
        """The report that `to_dict` made these fields of."""
        reasons = (
            Reason(**item | {"verdict": Verdict(item["verdict"]), "samples": tuple(item["samples"])})
            for item in fields.pop("reasons")
        )
        sample = fields.pop("sample", None)
        return cls(**fields, reasons=tuple(reasons), sample=SampleReport.of(sample) if sample else None)


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


def evidence_line(evidence: Mapping[str, Mapping[str, int]]) -> str:
    """The evidence as one line of text, such as `copied: 990 etag-md5, 10 transport`; empty when there is none."""
    return "; ".join(
        f"{claim}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}"
        for claim, counts in evidence.items()
    )


def write_report(state: StateStore, report: ReconciliationReport) -> None:
    """Store report.json, in place of an earlier one."""
    write_json(state, REPORT_JSON, report.to_dict())


def read_report(state: StateStore) -> ReconciliationReport:
    """The report.json of a run. Raises InvalidMessage when there is none, and RecordDamaged when it cannot be read."""
    return read_json(state, REPORT_JSON, ReconciliationReport.of)


class Reasons:
    """Counts the reasons why keys did not match. `was_copied` is whether the run was to copy anything."""

    def __init__(self, *, was_copied: bool = True) -> None:
        self._was_copied = was_copied
        self._counts: Counter[tuple[Verdict, str]] = Counter()
        self._samples: dict[tuple[Verdict, str], list[str]] = {}
        self._messages: dict[tuple[Verdict, str], str] = {}

    def add(self, verdict: Verdict, reason: str, key: str, message: str = "") -> None:
        """Count one key."""
        group = (verdict, reason)
        self._counts[group] += 1
        samples = self._samples.setdefault(group, [])
        if len(samples) < SAMPLES:
            samples.append(key)
        self._messages.setdefault(group, message)

    def sorted(self) -> tuple[Reason, ...]:
        """The reasons, most frequent first; those of skipped objects last."""
        groups = sorted(self._counts.items(), key=lambda item: (item[0][0] is Verdict.SKIPPED, -item[1]))
        return tuple(
            Reason(
                verdict=verdict,
                reason=reason,
                count=count,
                samples=tuple(self._samples[verdict, reason]),
                advice=advice_for(reason, was_copied=self._was_copied),
                message=self._messages[verdict, reason],
            )
            for (verdict, reason), count in groups
        )


def reason_table(reasons: Sequence[Reason]) -> str:
    """The reasons as one screen of text: for each, the number of objects, some keys, the error message, and what to do."""
    lines = []
    for reason in reasons:
        head = f"{reason.count:>9,}  {reason.verdict}: {reason.reason}, e.g. "
        room = (WIDTH - len(head)) // SAMPLES - 2
        lines.append(head + ", ".join(_cut(repr(sample), room) for sample in reason.samples))
        if reason.message:
            lines.append(f"{_INDENT}why: {_cut(reason.message, WIDTH - len(_INDENT) - 5)}")
        if reason.advice:
            lines += wrap(f"fix: {reason.advice}", WIDTH, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}     ")
    return "\n".join(lines)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


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
