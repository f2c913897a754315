"""`mode=verify`: both sides compared, and nothing moved."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import DESTINATION, EngineRig, engine_rig
from hooks.selection import selection_of
from transfer.comparison import difference, holds
from transfer.model import DestinationObject, ObjectMeta
from transfer.planning.table import plan_table
from transfer.reconciliation.report import ReconciliationReport
from transfer.reconciliation.verdicts import Pass, Verdict, is_republished
from transfer.records.layout import REPORT_JSON
from transfer.records.run_record import RunRecord
from transfer.sources.replay import unfinished_objects

HERE = RunRecord(
    run_id="run-1", source_bucket="s", source_prefix="", destination_bucket="d", destination_prefix=""
)  # any, but the same on both sides


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        made.open()
        yield made


def test_missing_and_differing_are_told_and_nothing_is_moved(rig: EngineRig) -> None:
    for key in ("a-same", "b-shorter", "c-changed", "d-unmarked", "e-missing"):
        rig.put(key, b"as listed")
    rig.worker(rig.list()).run()
    rig.put("b-shorter", b"longer than before")
    rig.put("c-changed", b"like this")
    rig.storage.bucket(DESTINATION).blob("d-unmarked").upload_from_string(b"AS LISTED")
    rig.storage.bucket(DESTINATION).blob("e-missing").delete()
    rig.storage.bucket(DESTINATION).blob("f-extra").upload_from_string(b"not at the source")
    rig.put("g-archived", b"cold", StorageClass="DEEP_ARCHIVE")
    before = {name: rig.stored(name) for name in rig.names()}
    reads = rig.edge.requests()

    report = rig.compare(listing="2")

    assert not report.is_green
    assert report.is_final
    assert (report.listed, report.matched, report.missing, report.differing) == (6, 1, 1, 3)
    assert (report.extra, report.skipped, report.copied, report.bytes_copied) == (1, 1, 0, 0)
    by_reason = {reason.reason: reason for reason in report.reasons}
    assert by_reason["differing"].samples == ("b-shorter", "c-changed", "d-unmarked")
    assert by_reason["differing"].message == "18 bytes in the source, 9 at the destination"
    assert "only_failed" in by_reason["missing"].advice
    assert "transfer and retry tasks" not in by_reason["missing"].advice
    rows = list(csv.DictReader(io.StringIO(rig.state().read("failures.csv").decode())))
    assert [(row["key"], row["verdict"]) for row in rows] == [
        ("b-shorter", "differing"),
        ("c-changed", "differing"),
        ("d-unmarked", "differing"),
        ("e-missing", "missing"),
    ]
    assert {name: rig.stored(name) for name in rig.names()} == before
    assert rig.edge.requests() == reads

    HERE.write(rig.state())
    left = [item.key for item in unfinished_objects(rig.state(), run="run-1", now=HERE)]
    assert left == [row["key"] for row in rows], "a run with only_failed moves exactly these"


def test_all_there_is_green(rig: EngineRig) -> None:
    for index in range(5):
        rig.put(f"{index}", b"x" * index)
    rig.worker(rig.list()).run()
    report = rig.compare(listing="2")
    assert report.is_green
    assert (report.listed, report.matched, report.extra) == (5, 5, 0)
    assert ReconciliationReport.decode(rig.state().read(REPORT_JSON)) == report


def test_what_is_not_selected_is_neither_missing_nor_extra_nor_planned(rig: EngineRig) -> None:
    for key in ("a", "a.tmp", "large", "missing"):
        rig.put(key, b"x" * (9 if key == "large" else 3))
    rig.storage.bucket(DESTINATION).blob("left.tmp").upload_from_string(b"none of its business")
    rig.storage.bucket(DESTINATION).blob("left").upload_from_string(b"extra")
    rig.selection = selection_of({"exclude": '["*.tmp"]', "max_size": "5"}, now_s=0)
    plan = rig.plan()
    assert (plan.listed.objects, plan.to_copy.objects, plan.not_selected.objects) == (4, 2, 2)
    assert (plan.extra.objects, plan.stored.objects) == (1, 2)
    assert "not selected" in plan_table(plan)
    report = rig.compare(listing="2")
    assert (report.listed, report.missing, report.differing, report.skipped) == (4, 2, 0, 2)
    assert (report.extra, report.protected) == (1, 1)
    assert rig.list(listing="3").counts.left_out == 2


def test_a_selection_is_of_what_an_earlier_run_left_too(rig: EngineRig) -> None:
    for key in ("a", "b", "c"):
        rig.put(key)
    rig.compare()
    HERE.write(rig.state())
    left = list(unfinished_objects(rig.state(), run="run-1", now=HERE))
    rig.selection = selection_of({"include": '["b"]'}, now_s=0)
    summary = rig.list(listing="2", planned=left)
    assert (summary.counts.listed, summary.counts.objects, summary.counts.left_out) == (3, 1, 2)


def test_a_comparison_publishes_nothing() -> None:
    assert not any(is_republished(verdict, None, Pass.COMPARE) for verdict in Verdict)


etags = st.sampled_from(["", "a" * 32, "b" * 32, "c" * 32 + "-2"])


proofs = st.sampled_from(["", "crc32c=AAAAAA==; proof=crc32c", "crc32c=BBBBBB==; proof=etag-md5", "another tool's"])
mtimes = st.sampled_from(["", "1", "2", "another tool's"])


@given(st.integers(0, 2), st.integers(0, 2), etags, etags, etags, mtimes, proofs)
def test_a_difference_is_named_where_there_is_one(
    here: int, there: int, etag: str, source_etag: str, md5: str, mtime: str, proof: str
) -> None:
    item = ObjectMeta(key="k", size_bytes=here, etag=etag, last_modified_s=1)
    stored = DestinationObject(
        name="k",
        size_bytes=there,
        generation=1,
        source_etag=source_etag,
        source_mtime=mtime,
        md5=md5,
        crc32c="AAAAAA==",
        proof=proof,
    )
    said = difference(stored, item)
    assert said
    assert ("still there" in said) == holds(stored, item)
    if not holds(stored, item):
        assert (f"{here:,} bytes" in said) == (here != there)
    assert difference(None, item) == ""
