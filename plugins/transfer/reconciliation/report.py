"""What a run came to, for people and programs: report.json, failures.csv, and one screen of text."""

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
"""Keys shown for each reason."""
WIDTH = 120
"""Columns of the table of reasons."""
_INDENT = " " * 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why some keys did not end as matched."""

    verdict: Verdict
    reason: str
    count: int
    samples: tuple[str, ...]
    advice: str
    message: str = ""
    """The first failure's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationReport:
    """What a run came to: `matched + skipped + failed + missing + differing = listed`."""

    run_id: str
    listing: str
    """Names the manifest of what was listed."""
    is_final: bool
    """Whether this is the word of the last pass; one before it may have had objects published again."""
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
    """At the destination only, like those extra, but left out by the run's globs: they are never deleted."""
    deleted: int = 0
    """Of those extra; `extra` is as it was before."""
    deletion: Mapping[str, int] = field(default_factory=dict)
    """What became of those that were to be deleted, as deleted.csv names it, over all tries of the task."""
    why_not_deleted: str = ""
    """Why nothing was deleted though the run was asked to."""
    republished: int = 0
    """Objects that this pass had published again."""
    unfinished: str = ""
    """Names the records of what is not there yet, in the folder `unfinished`; empty when all is."""
    reasons: tuple[Reason, ...] = field(default=())
    passed_over: int = 0
    """Of those skipped, how many no run copies as they are: archived, left out by the selection, the prefix itself."""
    allows_empty: bool = False
    """Whether it is a success when that is all there is (`allow_empty`)."""
    evidence: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What each claim rests on: objects by claim and `transfer.model.Evidence` (docs/proof.md)."""
    unbound: int = 0
    """Of those matched, how many bear no proof of their own, so that only the ledger shows what they hold."""
    sample: SampleReport | None = None
    """What reading a share of those matched back from both sides came to (`verify_sample`)."""

    @property
    def is_empty(self) -> bool:
        """Whether there was something, and nothing of it to copy: more likely a mistake than a success."""
        return 0 < self.listed == self.passed_over

    @property
    def is_green(self) -> bool:
        """Whether every listed object is matched, or skipped with a reason, and no sample says otherwise."""
        is_complete = self.listed == self.matched + self.skipped and (self.allows_empty or not self.is_empty)
        return is_complete and (self.sample is None or self.sample.is_clean)

    def why_red(self, *, was_copied: bool) -> str:
        """One sentence; empty for a green one. `was_copied` is whether the run was to move anything."""
        said = []
        if unfinished := self.listed - self.matched - self.skipped:
            how = "did not arrive" if was_copied else "are missing or differ"
            said.append(f"{unfinished:,} of {self.listed:,} objects {how}")
        if self.is_empty and not self.allows_empty:
            said.append(nothing_to_copy(self.listed))
        if self.sample is not None and not self.sample.is_clean:
            examples = ", ".join(
                f"{example.key!r:.80} ({example.end}{_where(example)})" for example in self.sample.examples[:SAMPLES]
            )
            said.append(f"of the sample {self.sample}; {examples}; sample.csv beside the report names all of them")
        return "; ".join(said)

    @property
    def unfinished_reasons(self) -> tuple[Reason, ...]:
        """Why objects are not there, without those skipped."""
        return tuple(reason for reason in self.reasons if reason.verdict is not Verdict.SKIPPED)

    def to_dict(self) -> dict[str, object]:
        """As report.json holds it."""
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
    """For a person whose run found something, and nothing of it to copy."""
    return (
        f"none of the {listed:,} objects listed can be copied as they are: each is archived, left out by the selection, or the"
        " prefix itself; restore them, check source_prefix, include, exclude and the bounds, or set allow_empty if that is"
        " expected"
    )


class EvidenceTally:
    """Counts what each claim rests on. `was_copied` is whether the run was to move anything."""

    def __init__(self, *, was_copied: bool) -> None:
        self._of_matched = ("copied", "matched") if was_copied else ("matched", "verified")
        self._counts: Counter[tuple[str, Evidence]] = Counter()

    def add(self, verdict: Verdict, skipped: SkipReason | None, evidence: Evidence | None) -> None:
        """One key."""
        if evidence is None:
            return
        if verdict is Verdict.MATCHED:
            for claim in self._of_matched:
                self._counts[claim, evidence] += 1
        elif verdict is Verdict.SKIPPED and skipped in (SkipReason.UNCHANGED, SkipReason.EXISTS):
            self._counts[str(skipped), evidence] += 1

    def counts(self) -> dict[str, dict[str, int]]:
        """By claim and evidence; none that is zero."""
        found: dict[str, dict[str, int]] = {}
        for (claim, evidence), count in sorted(self._counts.items()):
            found.setdefault(claim, {})[str(evidence)] = count
        return found


def evidence_line(evidence: Mapping[str, Mapping[str, int]]) -> str:
    """One line of text: `copied: 990 etag-md5, 10 transport; unchanged: …`; empty without any."""
    return "; ".join(
        f"{claim}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}"
        for claim, counts in evidence.items()
    )


def write_report(state: StateStore, report: ReconciliationReport) -> None:
    """Store report.json."""
    write_json(state, REPORT_JSON, report.to_dict())


def read_report(state: StateStore) -> ReconciliationReport:
    """The report.json of a run. Raises InvalidMessage when there is none, and RecordDamaged when it cannot be read."""
    return read_json(state, REPORT_JSON, ReconciliationReport.of)


class Reasons:
    """Counts and samples of what did not match. `was_copied` is whether the run was to move anything."""

    def __init__(self, *, was_copied: bool = True) -> None:
        self._was_moved = was_copied
        self._counts: Counter[tuple[Verdict, str]] = Counter()
        self._samples: dict[tuple[Verdict, str], list[str]] = {}
        self._messages: dict[tuple[Verdict, str], str] = {}

    def add(self, verdict: Verdict, reason: str, key: str, message: str = "") -> None:
        """One key more."""
        group = (verdict, reason)
        self._counts[group] += 1
        samples = self._samples.setdefault(group, [])
        if len(samples) < SAMPLES:
            samples.append(key)
        self._messages.setdefault(group, message)

    def sorted(self) -> tuple[Reason, ...]:
        """The most frequent first; what needs nobody's help after all others."""
        groups = sorted(self._counts.items(), key=lambda item: (item[0][0] is Verdict.SKIPPED, -item[1]))
        return tuple(
            Reason(
                verdict=verdict,
                reason=reason,
                count=count,
                samples=tuple(self._samples[verdict, reason]),
                advice=advice_for(reason, was_copied=self._was_moved),
                message=self._messages[verdict, reason],
            )
            for (verdict, reason), count in groups
        )


def reason_table(reasons: Sequence[Reason]) -> str:
    """One screen of text: how many for each reason, three sample keys, what to do."""
    lines = []
    for reason in reasons:
        head = f"{reason.count:>9,}  {reason.verdict}: {reason.reason}, e.g. "
        room = (WIDTH - len(head)) // SAMPLES - 2
        lines.append(head + ", ".join(_cut(repr(sample), room) for sample in reason.samples))
        if reason.message:
            lines.append(f"{_INDENT}said: {_cut(reason.message, WIDTH - len(_INDENT) - 6)}")
        if reason.advice:
            lines += wrap(f"do: {reason.advice}", WIDTH, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}    ")
    return "\n".join(lines)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


class ArchivedFile:
    """Writes archived.csv: a row for each object that has to be restored before it can move; no file without any.

    Once they are restored, a run can take it as its manifest (`transfer/sources/key_manifest.py`). Use from one thread.
    """

    def __init__(self, state: StateStore) -> None:
        self._file = CsvFile(state, ARCHIVED_CSV, ARCHIVED_COLUMNS)
        self._has_rows = False

    def add(self, item: ObjectMeta) -> None:
        """One row."""
        self._file.add((item.key, item.version_id, item.size_bytes, item.storage_class))
        self._has_rows = True

    def close(self) -> None:
        """Store the last rows, in the place of an earlier pass's files."""
        if self._has_rows:
            self._file.close()


class FailuresFile:
    """Writes failures.csv: a row for each listed object that is neither there nor skipped. Use from one thread."""

    COLUMNS = ("key", "verdict", "reason", "stage", "http_status", "attempts", "message")

    def __init__(self, state: StateStore) -> None:
        self._file = CsvFile(state, FAILURES_CSV, self.COLUMNS)

    def add(self, key: str, verdict: Verdict, failure: TransferFailure | None) -> None:
        """One row."""
        if failure is None:
            self._file.add((key, verdict, verdict, "", "", "", ""))
        else:
            status, said = failure.http_status or "", failure.message
            self._file.add((key, verdict, failure.error_code, failure.stage, status, failure.attempts, said))

    def close(self) -> None:
        """Store the last rows, in the place of an earlier pass's files."""
        self._file.close()
