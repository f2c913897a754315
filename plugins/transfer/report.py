"""What a run came to, for people and programs: report.json, failures.csv, and one screen of text."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from transfer.advice import advice_for
from transfer.model import TransferFailure
from transfer.ports import StateStore
from transfer.verdicts import Verdict

REPORT = "report.json"
SAMPLES = 3
"""Keys shown for each reason."""
MAX_CSV_ROWS = 50_000
"""In one failures file: it is made in memory."""


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
    republished: int = 0
    """Objects that this pass had published again."""
    unfinished: str = ""
    """Names the records of what is not there yet, in the folder `unfinished`; empty when all is."""
    reasons: tuple[Reason, ...] = field(default=())

    @property
    def is_green(self) -> bool:
        """Whether every listed object is matched, or skipped with a reason."""
        return self.listed == self.matched + self.skipped

    @property
    def unfinished_reasons(self) -> tuple[Reason, ...]:
        """Why objects are not there, without those skipped."""
        return tuple(reason for reason in self.reasons if reason.verdict is not Verdict.SKIPPED)

    def to_dict(self) -> dict[str, object]:
        """As report.json holds it."""
        return asdict(self)

    @classmethod
    def decode(cls, body: bytes) -> ReconciliationReport:
        """The report of a report.json."""
        fields = json.loads(body)
        reasons = (
            Reason(**item | {"verdict": Verdict(item["verdict"]), "samples": tuple(item["samples"])})
            for item in fields.pop("reasons")
        )
        return cls(**fields, reasons=tuple(reasons))


def write_report(state: StateStore, report: ReconciliationReport) -> None:
    """Store report.json."""
    body = json.dumps(report.to_dict(), ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass")
    state.write(REPORT, body, content_type="application/json")


class Reasons:
    """Counts and samples of what did not match."""

    def __init__(self) -> None:
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
                advice=advice_for(reason),
                message=self._messages[verdict, reason],
            )
            for (verdict, reason), count in groups
        )


def reason_table(reasons: Sequence[Reason]) -> str:
    """One screen of text: how many for each reason, three sample keys, what to do."""
    blocks = []
    for reason in reasons:
        lines = [f"{reason.count:>9,}  {reason.verdict}: {reason.reason}"]
        lines.append("           e.g. " + ", ".join(f"{sample!r:.80}" for sample in reason.samples))
        if reason.message:
            lines.append(f"           said: {reason.message:.300}")
        if reason.advice:
            lines.append(f"           do: {reason.advice}")
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


class FailuresFile:
    """Writes failures.csv: a row for each listed object that is neither there nor skipped. Use from one thread.

    After MAX_CSV_ROWS rows it goes on in failures-2.csv, and so on.
    """

    COLUMNS = ("key", "verdict", "reason", "stage", "http_status", "attempts", "message")

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._files = 0
        self._begin()

    def add(self, key: str, verdict: Verdict, failure: TransferFailure | None) -> None:
        """One row."""
        if self._rows >= MAX_CSV_ROWS:
            self._store()
        if failure is None:
            self._csv.writerow((key, verdict, verdict, "", "", "", ""))
        else:
            status, said = failure.http_status or "", failure.message
            self._csv.writerow((key, verdict, failure.error_code, failure.stage, status, failure.attempts, said))
        self._rows += 1

    def close(self) -> None:
        """Store the last rows, in the place of an earlier pass's files."""
        self._store()
        names = {_csv_name(number) for number in range(1, self._files + 1)}
        for entry in list(self._state.entries("failures-")):
            if entry.name not in names:
                self._state.delete(entry.name)

    def _begin(self) -> None:
        self._bytes = io.BytesIO()
        self._text = io.TextIOWrapper(self._bytes, "utf-8", "surrogatepass", newline="")
        self._csv = csv.writer(self._text)
        self._csv.writerow(self.COLUMNS)
        self._rows = 0

    def _store(self) -> None:
        self._files += 1
        self._text.flush()
        self._state.write(_csv_name(self._files), self._bytes.getvalue(), content_type="text/csv; charset=utf-8")
        self._begin()


def _csv_name(number: int) -> str:
    return "failures.csv" if number == 1 else f"failures-{number}.csv"
