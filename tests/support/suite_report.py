"""The end of a run of the whole suite: its counts, slowest tests, skipped tests with their reasons, and coverage.

usage: python tests/support/suite_report.py FOLDER, with the JUnit files of its parts (*.xml) and SlipCover's coverage.json
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

SHOWN = 10


def main(folder: Path) -> None:
    """Print the report on one run."""
    cases = [case for path in sorted(folder.glob("*.xml")) for case in ElementTree.parse(path).iter("testcase")]
    lines = [*_slowest(cases), *_skipped(cases)]
    if (measured := folder / "coverage.json").exists():
        lines += _coverage(json.loads(measured.read_text()))
    print("\n".join(lines))


def _slowest(cases: list[ElementTree.Element]) -> Iterator[str]:
    yield f"\nThe {SHOWN} slowest of {len(cases)} tests, with what they set up:"
    for case in sorted(cases, key=_seconds, reverse=True)[:SHOWN]:
        yield f"  {_seconds(case):6.1f} s  {case.get('classname')}::{case.get('name')}"


def _seconds(case: ElementTree.Element) -> float:
    return float(case.get("time", "0"))


def _skipped(cases: list[ElementTree.Element]) -> Iterator[str]:
    reasons = Counter(found.get("message", "") for case in cases for found in case.iter("skipped"))
    yield f"\n{reasons.total()} skipped tests" + (":" if reasons else "")
    for reason, count in reasons.most_common():
        yield f"  {count:4} × {reason}"


def _coverage(measured: dict[str, Any]) -> Iterator[str]:
    files: dict[str, dict[str, Any]] = {path: file["summary"] for path, file in measured["files"].items()}
    yield f"\nCoverage of plugins/ by the tests that run in one process; its {SHOWN} least covered files:"
    yield "   lines  branches"
    for path in sorted(files, key=lambda path: float(files[path]["percent_covered"]))[:SHOWN]:
        yield f"{_percent(files[path], 'lines')}  {_percent(files[path], 'branches'):>8}  {path}"
    yield f"{_percent(measured['summary'], 'lines')}  {_percent(measured['summary'], 'branches'):>8}  in all"


def _percent(summary: dict[str, Any], kind: str) -> str:
    covered, missing = summary[f"covered_{kind}"], summary[f"missing_{kind}"]
    return f"{100 * covered / (covered + missing):6.1f} %" if covered + missing else f"{'–':>8}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
