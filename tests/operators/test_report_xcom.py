"""The XCom `report`: what report.json has, plain, and never longer than Airflow's database should hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.report_xcom import MAX_BYTES, bounded_report
from operators.xcom_record import plain_json
from transfer.planning.sizes import Amount
from transfer.reconciliation.reasons import Reason
from transfer.reconciliation.report import ReconciliationReport
from transfer.reconciliation.run_details import RunDetails
from transfer.reconciliation.sampling import Compared, SampleEnd, SampleReport
from transfer.reconciliation.verdicts import Verdict

REPORT = ReconciliationReport(
    run_id="r", listing="1", is_final=True, listed=9, copied=7, matched=7, skipped=0, failed=2, missing=0, differing=0,
    extra=0, bytes_copied=700, invalid_messages=0, sizes=tuple(Amount(objects=number) for number in range(8)),
    sample=SampleReport(percent=1, seed="s", examples=(Compared(key="\ud800", end=SampleEnd.DIFFERING),)),
    details=RunDetails(source="s3://b/", computed=("costs",)),
)  # fmt: skip


def reason(text: str, number: int = 0) -> Reason:
    return Reason(
        verdict=Verdict.FAILED, reason=f"Code{number}", count=1, samples=(text,) * 3, advice=text, message=text
    )


def are_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return type(value) is dict and all(type(name) is str and are_plain(each) for name, each in value.items())
    return (
        all(map(are_plain, value)) if type(value) is list else value is None or type(value) in (str, int, float, bool)
    )


def test_a_report_has_plain_values_alone() -> None:
    """Airflow would wrap tuples and enums as {"__classname__": …}, and refuses lone surrogates."""
    document = bounded_report(replace(REPORT, reasons=(reason("\ud800<b>"),)))
    assert are_plain(document)
    assert document["reasons"][0]["samples"] == ["?<b>"] * 3
    assert document["sample"]["examples"][0]["key"] == "?"
    assert (document["source"], document["computed"], document["failed"]) == ("s3://b/", ["costs"], 2)
    json.dumps(document).encode("ascii")


@pytest.mark.parametrize("text", ["k" * 2_000, "é" * 1_000, "🚚" * 600, '"\\\n' * 600])
@pytest.mark.parametrize("count", [1, 60, 500])
def test_a_report_of_any_length_is_bounded_and_keeps_its_counts(text: str, count: int) -> None:
    details = RunDetails(
        source=text, parameters={f"parameter_{number}": [text] * 60 for number in range(35)}, prices_scope=text
    )
    reasons = tuple(reason(text, number) for number in range(count))
    document = bounded_report(replace(REPORT, reasons=reasons, details=details, why_not_deleted=text))
    assert len(json.dumps(document)) <= MAX_BYTES
    assert (document["listed"], document["failed"], len(document["sizes"])) == (9, 2, 8)
    assert document["reasons"][0]["reason"] == "Code0"


@settings(max_examples=50)
@given(st.lists(st.text(max_size=2_000), max_size=80))
def test_an_ordinary_report_is_kept_as_far_as_possible(texts: list[str]) -> None:
    document = bounded_report(replace(REPORT, reasons=tuple(reason(text) for text in texts)))
    assert len(json.dumps(document)) <= MAX_BYTES
    assert bool(document["reasons"]) is bool(texts)


def test_a_plan_has_plain_values_alone() -> None:
    assert are_plain(plain_json({"a": (1, (2,)), "b": Verdict.FAILED, "c": {"d": 1.5}}))
