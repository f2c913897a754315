"""What `only_failed` takes from a run that was ended before its reconciliation: its listing answers, if it was whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine_rig import EngineRig, engine_rig, fault
from memory_state import MemoryState
from transfer.config import Mode, Overwrite
from transfer.errors import RunUnknown
from transfer.model import ObjectMeta, SkipReason
from transfer.ports import StateStore
from transfer.records.layout import LISTING_JSON, VERDICT_JSON
from transfer.records.listing_record import ListingCounts, ListingRecord, read_listing
from transfer.records.manifest import Manifest
from transfer.records.run_record import RunRecord
from transfer.records.verdict import RunVerdict, read_verdict
from transfer.sources.replay import unfinished_objects

HERE = RunRecord(run_id="r1", source_bucket="s", source_prefix="", destination_bucket="d", destination_prefix="")
RECORD = ListingRecord(transfer_id="run-1", mode=Mode.TRANSFER, listing="1")
OBJECT = ObjectMeta(key="a", size_bytes=1, etag="e", last_modified_s=0)


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def left(state: StateStore) -> list[str]:
    return [item.key for item in unfinished_objects(state, run="r1", now=HERE)]


@pytest.mark.parametrize("overwrite", list(Overwrite))
def test_a_run_that_ended_before_its_reconciliation_left_everything_unfinished(
    rig: EngineRig, overwrite: Overwrite
) -> None:
    """All that its listing did not skip is taken, and what has arrived meanwhile is found by the new run itself."""
    rig.open()
    for key in ("a", "b", "c"):
        rig.put(key, key.encode())
    rig.edge.faults.replace([fault("/b", "status", status=404)])
    summary = rig.list()
    HERE.write(rig.state())
    replace(RECORD, is_complete=True, counts=summary.counts).write(rig.state())
    rig.worker(summary).run()
    assert rig.names() == ["a", "c"]
    rig.edge.faults.replace([])

    planned = unfinished_objects(rig.state(), run="r1", now=HERE)
    again = rig.list(listing="2", planned=planned, is_planned=False, overwrite=overwrite)
    assert (again.counts.listed, again.counts.objects) == (3, 3 if overwrite is Overwrite.ALWAYS else 1)
    rig.worker(again, listing="2").run()
    assert {name: rig.stored(name) for name in rig.names()} == {"a": b"a", "b": b"b", "c": b"c"}


def test_an_unfinished_listing_is_refused() -> None:
    state = MemoryState()
    HERE.write(state)
    with pytest.raises(RunUnknown, match=r"'r1', of which memory: has neither a report nor a finished listing"):
        left(state)
    RECORD.write(state)
    with pytest.raises(RunUnknown, match=r"'r1', whose listing did not finish.*leave only_failed empty"):
        left(state)
    replace(RECORD, is_complete=True, mode=Mode.PLAN).write(state)
    with pytest.raises(RunUnknown, match="which was a plan and copied nothing: name it in plan_run"):
        left(state)


def test_absent_keys_are_unfinished_too_and_an_incomplete_manifest_is_refused() -> None:
    state = MemoryState()
    HERE.write(state)
    manifest = Manifest(state, "1")
    manifest.add(OBJECT)
    manifest.add(replace(OBJECT, key="b"), SkipReason.UNCHANGED)
    manifest.add(replace(OBJECT, key="c", etag=SkipReason.ABSENT), SkipReason.ABSENT)
    manifest.flush()
    replace(RECORD, is_complete=True, counts=ListingCounts(listed=3, skipped=2)).write(state)
    assert left(state) == ["a", "c"]
    replace(RECORD, is_complete=True, counts=ListingCounts(listed=4, skipped=2)).write(state)
    with pytest.raises(RunUnknown, match="listed 4 objects, but its manifest names 3"):
        left(state)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"transfer_id": "run-1", "more": 1}', b"\xff", b"[" * 100_000]
)
def test_a_damaged_record_counts_as_absent(body: bytes) -> None:
    state = MemoryState()
    for name in (LISTING_JSON, VERDICT_JSON):
        state.write(name, body, content_type="application/json")
    assert read_listing(state) is None
    assert read_verdict(state, "run-1") is None


def test_the_report_of_an_earlier_opening_is_ignored() -> None:
    state = MemoryState()
    verdict = RunVerdict(transfer_id="run-1", is_plan=False, is_green=True, said="well")
    verdict.write(state)
    assert read_verdict(state, "run-1") == verdict
    assert read_verdict(state, "run-2") is None
