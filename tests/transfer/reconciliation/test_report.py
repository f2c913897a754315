"""The report as people read it: the table of reasons, and failures.csv."""

from __future__ import annotations

import csv
import io

from memory_state import MemoryState
from transfer.errors import Stage
from transfer.model import TransferFailure
from transfer.reconciliation.advice import FAILURES
from transfer.reconciliation.reasons import WIDTH, Reasons, reason_line, reason_table
from transfer.reconciliation.report import FailuresFile
from transfer.reconciliation.verdicts import Verdict


def test_the_reason_table_is_one_screen() -> None:
    reasons = Reasons()
    for code in FAILURES:
        for index in range(1000):
            reasons.add(Verdict.FAILED, code, f"{code}/{index}" + "k" * 1000, "message" * 1000)
    text = reason_table(reasons.sorted())
    assert len(text.splitlines()) <= 7 * len(FAILURES)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert text.count("1,000 failed: ") == len(FAILURES)
    assert text.count("SourceNotFound/") == 3
    head, remedy = text.splitlines()[:2]
    assert head.startswith("1,000 failed: ") and remedy.startswith("    fix: "), "the remedy comes first"
    assert reason_line(reasons.sorted()[:2]) == "1,000 SourceNotFound, 1,000 SourceForbidden"


def test_failures_csv_continues_in_further_files_and_leaves_no_old_ones(monkeypatch) -> None:
    monkeypatch.setattr("transfer.records.csv_file.MAX_ROWS", 2)
    state = MemoryState()
    rows = FailuresFile(state)
    for key in ("a,b", 'quo"te', "line\nbreak", "\ud800", "e"):
        rows.add(key, Verdict.FAILED, failure(key))
    rows.close()
    names = [entry.name for entry in state.entries("failures")]
    assert names == ["failures-2.csv", "failures-3.csv", "failures.csv"]
    found = []
    for name in ("failures.csv", "failures-2.csv", "failures-3.csv"):
        text = state.read(name).decode("utf-8", "surrogatepass")
        found += [row["key"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert found == ["a,b", 'quo"te', "line\nbreak", "\ud800", "e"]
    FailuresFile(state).close()
    assert [entry.name for entry in state.entries("failures")] == ["failures.csv"]


def failure(key: str) -> TransferFailure:
    return TransferFailure(
        key=key, stage=Stage.UPLOAD, error_code="InvalidName", http_status=None, attempts=1, message=""
    )
