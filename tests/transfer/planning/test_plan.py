"""A plan: its sums are those of the listing, and a run that is given it copies exactly what was planned."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import DESTINATION, SOURCE, EngineRig, engine_rig
from transfer.config import Overwrite, TransferConfig
from transfer.errors import RunUnknown
from transfer.listing.decision import decide
from transfer.model import DestinationObject, ObjectMeta, SkipReason
from transfer.naming import Naming
from transfer.planning.plan import Plan, PlanTally, write_plan
from transfer.planning.prices import load_prices
from transfer.planning.sizes import BAND_ENDS_BYTES
from transfer.planning.table import plan_table
from transfer.records.layout import PLAN_JSON
from transfer.records.manifest import Manifest
from transfer.records.run_record import RunRecord
from transfer.sources.replay import planned_objects

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4
MD5, PARTS_ETAG = "0" * 32, "0" * 32 + "-4"
PRICES = load_prices()
NAMING = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/")
SMALL = TransferConfig(whole_bytes=100_000, parallel_bytes=8 * MIB, part_size_bytes=6 * MIB)


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv, config=SMALL) as made:
        yield made


def item(size_bytes: int = 1, etag: str = MD5, **fields: object) -> ObjectMeta:
    return ObjectMeta(**{"key": "in/k", "size_bytes": size_bytes, "etag": etag, "last_modified_s": 1} | fields)  # type: ignore[arg-type]


sizes = st.integers(0, 6 * TIB)
listed = st.tuples(
    st.builds(item, sizes, key=st.text(max_size=8).map("in/{}".format)),
    st.one_of(st.none(), st.sampled_from([reason for reason in SkipReason if reason is not SkipReason.IDENTICAL])),
    st.booleans(),
)


@given(st.lists(listed, max_size=30), st.lists(sizes, max_size=10))
def test_every_listed_object_is_in_exactly_one_row(
    objects: list[tuple[ObjectMeta, SkipReason | None, bool]], extras: list[int]
) -> None:
    tally = PlanTally(NAMING, TransferConfig())
    for one, skipped, is_stored in objects:
        there = DestinationObject(name="out/x", size_bytes=7, generation=1) if is_stored else None
        tally.take(one, there, skipped)
    for size_bytes in extras:
        tally.take(None, DestinationObject(name="out/y", size_bytes=size_bytes, generation=1), None)
    plan = tally.plan(PRICES, run_id="r", listing="1", is_listed_in_s3=True)
    rows = (
        plan.to_copy,
        plan.unchanged,
        plan.exists,
        plan.archived,
        plan.not_selected,
        plan.absent,
        plan.forbidden,
        plan.encrypted,
        plan.prefix_itself,
        plan.illegal_names,
        plan.too_large,
    )
    assert sum(row.objects for row in rows) == plan.listed.objects == len(objects)
    assert sum(row.size_bytes for row in rows) == plan.listed.size_bytes == sum(one.size_bytes for one, _, _ in objects)
    assert sum(band.objects for band in plan.sizes) == plan.to_copy.objects
    assert sum(band.size_bytes for band in plan.sizes) == plan.usage.edge_bytes == plan.to_copy.size_bytes
    assert (plan.extra.objects, plan.extra.size_bytes) == (len(extras), sum(extras))
    part = tally.plan(PRICES, run_id="r", listing="1", is_listed_in_s3=False)
    assert part.extra.objects == 0, "other objects at the destination may be in the rest of the source"
    assert plan.stored.objects == len(extras) + sum(is_stored for _, _, is_stored in objects)


def test_a_size_is_in_the_band_that_ends_with_it() -> None:
    for number, end in enumerate(BAND_ENDS_BYTES):
        for size_bytes, band in ((end, number), (end + 1, number + 1)):
            tally = PlanTally(NAMING, TransferConfig())
            tally.take(item(size_bytes), None, None)
            sizes = tally.plan(PRICES, run_id="r", listing="1", is_listed_in_s3=True).sizes
            assert [place for place, found in enumerate(sizes) if found.objects] == [band]


def prepared(rig: EngineRig) -> Plan:
    """The plan of a source with an object for almost every row."""
    rig.naming = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/")
    rig.put("in/", b"")
    rig.put("in/same", b"same")
    rig.open()
    rig.worker(rig.list()).run()
    rig.put("in/new", b"new")
    rig.put(f"in/{'k' * 1021}", b"a name of 1,025 bytes")
    rig.put("in/cold", b"cold", StorageClass="GLACIER")
    rig.put("in/rare", b"rare!", StorageClass="STANDARD_IA")
    rig.storage.bucket(DESTINATION).blob("out/left over").upload_from_string(b"not at the source")
    return rig.plan(listing="2")


def test_a_plan_publishes_nothing_and_counts_each_object_in_its_row(rig: EngineRig) -> None:
    plan = prepared(rig)

    assert {
        name: getattr(plan, name).objects
        for name in (
            "listed",
            "to_copy",
            "unchanged",
            "exists",
            "archived",
            "illegal_names",
            "too_large",
            "extra",
            "stored",
        )
    } == {
        "listed": 6,
        "to_copy": 2,
        "unchanged": 2,
        "exists": 0,
        "archived": 1,
        "illegal_names": 1,
        "too_large": 0,
        "extra": 1,
        "stored": 3,
    }
    assert (plan.to_copy.size_bytes, plan.extra.size_bytes) == (len(b"new") + len(b"rare!"), len(b"not at the source"))
    assert plan.extra_percent == pytest.approx(100 / 3)
    assert plan.usage.s3_gets == {"STANDARD": 1, "STANDARD_IA": 1}
    assert plan.usage.class_a == {"STANDARD": 1 + 2, "NEARLINE": 1}
    assert (
        rig.subscriber.pull(subscription=rig.subscription, max_messages=10, return_immediately=True).received_messages
        == []
    )
    assert sorted(rig.names()) == ["out/", "out/left over", "out/same"]
    never = rig.plan(overwrite=Overwrite.NEVER, listing="3")
    assert (never.exists.objects, never.unchanged.objects) == (2, 0)


HERE = RunRecord(
    run_id="run-1", source_bucket="s", source_prefix="in/", destination_bucket="d", destination_prefix="out/"
)


def test_a_run_copies_exactly_what_was_planned(rig: EngineRig) -> None:
    rig.naming = NAMING
    rig.open()
    for key in ("changed", "changed-there", "gone", "new", "same", "there"):
        rig.put(f"in/{key}", b"first")
    rig.put("in/cold", b"cold", StorageClass="GLACIER")
    bucket = rig.storage.bucket(DESTINATION)
    for name in ("out/changed", "out/changed-there"):
        bucket.blob(name).upload_from_string(b"older")
    write_plan(rig.state(), rig.plan(listing="2"))
    HERE.write(rig.state())

    rig.put("in/after the plan", b"not planned")
    rig.client.delete_object(Bucket=SOURCE, Key="in/gone")
    for name in ("out/changed-there", "out/there"):
        bucket.blob(name).upload_from_string(b"somebody else's")
    planned = planned_objects(rig.state(), run="run-1", now=HERE)
    summary = rig.list(listing="3", planned=planned)
    assert (summary.counts.listed, summary.counts.objects) == (6, 6)
    rig.worker(summary, listing="3").run()
    report = rig.reconcile(listing="3")

    assert {name: rig.stored(name) for name in rig.names()} == {
        "out/changed": b"first",
        "out/new": b"first",
        "out/same": b"first",
        "out/changed-there": b"somebody else's",
        "out/there": b"somebody else's",
    }
    assert (report.listed, report.matched, report.failed) == (6, 3, 3)
    reasons = {reason.reason: reason.samples for reason in report.reasons}
    assert reasons == {"DestinationConflict": ("in/changed-there", "in/there"), "SourceNotFound": ("in/gone",)}

    again = rig.list(listing="4", planned=planned_objects(rig.state(), run="run-1", now=HERE))
    assert (again.counts.listed, again.counts.objects, again.counts.skipped) == (6, 3, 3)


def test_a_restored_archived_object_that_was_planned_is_copied(rig: EngineRig) -> None:
    """The manifest does not say that it was restored, only that it was to be copied."""
    manifest = Manifest(rig.state(), "1")
    manifest.add(item(key="in/a", storage_class="GLACIER"), SkipReason.ARCHIVED)
    manifest.add(item(key="in/b", storage_class="GLACIER", is_restored=True))
    manifest.flush()
    HERE.write(rig.state())
    rig.naming = NAMING
    write_plan(rig.state(), PlanTally(NAMING, SMALL).plan(PRICES, run_id="r", listing="1", is_listed_in_s3=True))
    (planned,) = planned_objects(rig.state(), run="r", now=HERE)
    assert decide(planned, None, Overwrite.CHANGED) is None
    assert planned.key == "in/b"


def test_a_run_without_a_plan_is_refused(rig: EngineRig) -> None:
    with pytest.raises(RunUnknown, match="has no plan"):
        planned_objects(rig.state(), run="mine", now=HERE)
    HERE.write(rig.state())
    with pytest.raises(RunUnknown, match=r"plan_run names the run 'mine'.* has no plan"):
        planned_objects(rig.state(), run="mine", now=HERE)
    write_plan(rig.state(), PlanTally(NAMING, SMALL).plan(PRICES, run_id="r", listing="1", is_listed_in_s3=True))
    with pytest.raises(
        RunUnknown, match=r"was for s3://s/in/ to gs://d/out/, but this run copies s3://s/in/ to gs://d/other/"
    ):
        planned_objects(rig.state(), run="mine", now=replace(HERE, destination_prefix="other/"))


def test_the_table_and_the_file_agree(rig: EngineRig) -> None:
    plan = prepared(rig)
    write_plan(rig.state(), plan)
    document = json.loads(rig.state().read(PLAN_JSON))
    assert document == json.loads(json.dumps(plan.to_dict()))
    assert document["to_copy"] == {"objects": 2, "bytes": 8}
    assert document["costs"]["ways"][0]["months"] == 1
    table = plan_table(plan)
    assert max(map(len, table.splitlines())) <= 120
    for line in (
        r"to copy                           2 objects          8 B",
        r"illegal names                     1 objects",
        r"to delete, if asked               1 objects         17 B  33.3 % of the objects at the destination",
        "← cheapest",
        f"prices of {PRICES.as_of}",
    ):
        assert line in table
