"""What a run took, as its report says: times that add up, what was counted and what is computed, costs as in a plan."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from memory_state import MemoryState
from transfer.accounting.traffic import WorkerTraffic
from transfer.config import TransferConfig
from transfer.errors import RecordDamaged
from transfer.model import ObjectMeta
from transfer.planning.costs import costs_of
from transfer.planning.prices import load_prices
from transfer.planning.sizes import Amount
from transfer.planning.usage import Usage, UsageMeter
from transfer.reconciliation.reasons import Reason
from transfer.reconciliation.report import ReconciliationReport, read_report, write_report
from transfer.reconciliation.result_text import result_text
from transfer.reconciliation.run_details import Phase, RunDetails, RunFacts
from transfer.reconciliation.verdicts import Verdict

MIB, GIB = 1024**2, 1024**3
OPENED_AT_S = 1_800_000_000.0
ABOUT = RunDetails(
    source="s3://b/in/", destination="gs://d/out/", day="2027-01-15", mode="transfer", parameters={"workers": 8}
)
FACTS = RunFacts(
    about=ABOUT,
    opened_at_s=OPENED_AT_S,
    spans=(
        (Phase.LISTING, OPENED_AT_S + 10),
        (Phase.COPYING, OPENED_AT_S + 70),
        (Phase.JUDGING, OPENED_AT_S + 75),
        (Phase.SECOND_PASS, OPENED_AT_S + 95),
    ),
    is_listed_in_s3=True,
    messages=5,
    message_bytes=10_000,
    prices=load_prices(),
    clock=lambda: OPENED_AT_S + 100.04,
)
REPORT = ReconciliationReport(
    run_id="r", listing="1", is_final=True, listed=1_000, copied=900, matched=900, skipped=100, failed=0, missing=0,
    differing=0, extra=1, bytes_copied=800 * MIB, invalid_messages=0,
    sizes=(Amount(objects=1_000, size_bytes=900 * MIB), *[Amount()] * 7),
    reasons=(Reason(verdict=Verdict.SKIPPED, reason="unchanged", count=100, samples=("k",), advice=""),),
)  # fmt: skip


def usage() -> Usage:
    meter = UsageMeter(TransferConfig())
    for index in range(900):
        meter.count_copy(ObjectMeta(key=f"{index}", size_bytes=100_000, etag="0" * 32, last_modified_s=1))
    return meter.usage(listed=1_000, stored=1_001, message_bytes=10_000)


def details(facts: RunFacts = FACTS, traffic: WorkerTraffic | None = None) -> RunDetails:
    return facts.details(REPORT, usage=usage(), traffic=traffic)


def test_phases_add_up_and_rates_are_over_the_time_of_copying() -> None:
    found = details()
    assert (found.opened_at, found.ended_at) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:01:40.040Z")
    assert found.phases == {"listing": 10.0, "copying": 60.0, "judging": 10.0, "second_pass": 20.0}
    assert found.seconds == sum(found.phases.values()) == 100.0
    assert (found.mib_per_s, found.objects_per_s) == (10.0, 11.25)


def test_a_clock_that_is_behind_makes_no_negative_phase() -> None:
    spans = ((Phase.LISTING, OPENED_AT_S - 30), (Phase.COPYING, OPENED_AT_S + 50), (Phase.JUDGING, OPENED_AT_S + 40))
    found = details(replace(FACTS, spans=spans, clock=lambda: OPENED_AT_S + 45))
    assert found.phases == {"listing": 0.0, "copying": 50.0, "judging": 0.0}
    assert found.seconds == 50.0


def test_what_workers_counted_takes_the_place_of_what_is_computed() -> None:
    counted = details(traffic=WorkerTraffic(edge_requests=950, edge_bytes=3 * GIB, gcs_requests=960))
    assert counted.requests == {
        "edge": 950, "gcs": 960, "gcs_class_a": 904, "gcs_class_b": 0, "s3_list": 1, "pubsub_messages": 5,
    }  # fmt: skip
    assert counted.edge_bytes == 3 * GIB
    assert counted.computed == ("gcs_class_a", "gcs_class_b", "s3_list", "costs")
    computed = details()
    assert (computed.requests["edge"], computed.edge_bytes) == (900, 90_000_000)
    assert {"edge", "edge_bytes"} <= set(computed.computed) and "gcs" not in computed.requests


def test_costs_are_those_of_a_plan_with_the_counted_bytes() -> None:
    traffic = WorkerTraffic(edge_requests=12_000_000, edge_bytes=60 * 1024 * GIB, gcs_requests=1)
    found = details(traffic=traffic)
    used = replace(usage(), edge_requests=traffic.edge_requests, edge_bytes=traffic.edge_bytes)
    assert found.costs == costs_of(used, load_prices()).to_dict()
    assert (found.prices_as_of, found.costs["ways"][0]["way"]) == (load_prices().as_of, "CloudFront pay-as-you-go")
    assert details(replace(FACTS, prices=None)).costs == {}


def test_a_report_reads_back_with_its_details_and_without_them() -> None:
    state = MemoryState()
    report = replace(REPORT, details=details(traffic=WorkerTraffic(edge_requests=1)))
    write_report(state, report)
    document = json.loads(state.read("report.json"))
    assert (document["source"], document["sizes"][0], document["mode"]) == (
        "s3://b/in/", {"objects": 1_000, "bytes": 900 * MIB}, "transfer",
    )  # fmt: skip
    assert "details" not in document
    again = read_report(state)
    assert again.to_dict() == report.to_dict()
    older = {
        name: value
        for name, value in document.items()
        if name not in {*RunDetails.__dataclass_fields__, "sizes", "band_ends_bytes", "stored"}
    }
    state.write("report.json", json.dumps(older).encode(), content_type="application/json")
    read = read_report(state)
    assert (read.details, read.sizes, read.listed) == (RunDetails(), (), 1_000)
    assert read.details.until(OPENED_AT_S) == RunDetails()


def test_the_end_of_a_run_moves_with_its_last_task() -> None:
    later = details().until(OPENED_AT_S + 130)
    assert (later.seconds, later.phases["judging"], later.ended_at) == (130.0, 40.0, "2027-01-15T08:02:10.000Z")
    assert later.until(OPENED_AT_S) == later


def test_the_result_is_lines_with_endpoints_time_rate_and_cost() -> None:
    report = replace(REPORT, details=details(traffic=WorkerTraffic(edge_requests=901, edge_bytes=800 * MIB)))
    text = result_text(report, report_uri="gs://d/r/report.json")
    assert text.splitlines() == [
        "s3://b/in/ copied to gs://d/out/",
        "  listed    1,000 objects, 900.0 MiB",
        "  copied    900 objects, 800.0 MiB",
        "  skipped   100 objects: 100 unchanged",
        "  extra     1 object at the destination that the source does not have; the parameter delete_extraneous lists or"
        " deletes them",
        "  date      2027-01-15",
        "  time      1 min 40 s: listing 10 s, copying 1 min, judging 10 s, second pass 20 s",
        "  rate      10.0 MiB/s, 11.2 objects/s while copying",
        "  edge      901 requests, 800.0 MiB",
        "  cost      under $0.01 with CloudFront pay-as-you-go, under $0.01 by S3 direct, in a month without other traffic"
        f" (prices of {load_prices().as_of})",
        "  report    gs://d/r/report.json",
    ]


@pytest.mark.parametrize("extra", [0, 3])
def test_what_is_only_at_the_destination_is_said_in_a_sentence(extra: int) -> None:
    report = replace(REPORT, extra=extra, details=replace(ABOUT, mode="verify"))
    text = result_text(report, report_uri="u")
    assert ("3 objects at the destination that the source does not have" in text) is bool(extra)
    assert text.startswith("s3://b/in/ compared with gs://d/out/\n")


@pytest.mark.parametrize(
    "damage",
    [
        {"source": 1},
        {"opened_at": "yesterday"},
        {"seconds": "100"},
        {"seconds": float("inf")},
        {"phases": {"copying": "long"}},
        {"requests": [1]},
        {"computed": "costs"},
        {"costs": {"ways": [{"way": "w", "usd": "1", "months": 1}], "common_usd": 1}},
        {"costs": {"cheapest": "w"}},
        {"sizes": [{"objects": 1}]},
    ],
)
def test_a_damaged_report_is_refused(damage: dict[str, object]) -> None:
    state = MemoryState()
    document = replace(REPORT, details=details()).to_dict() | damage
    state.write("report.json", json.dumps(document).encode(), content_type="application/json")
    with pytest.raises(RecordDamaged):
        read_report(state)
