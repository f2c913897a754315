"""A plan: the requests it counts are those the engine sends, and its sums are those of the listing."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import DESTINATION, SOURCE, EngineRig, engine_rig
from transfer.config import Overwrite, TransferConfig
from transfer.errors import RunUnknown
from transfer.listing.decision import decide
from transfer.model import Copied, DestinationObject, ObjectMeta, SkipReason, TransferRequest
from transfer.naming import Naming
from transfer.planning.plan import BAND_ENDS_BYTES, Plan, PlanTally, write_plan
from transfer.planning.prices import load_prices
from transfer.planning.table import plan_table
from transfer.planning.usage import MIN_BILLED_BYTES, ObjectRequests, UsageMeter, requests_of
from transfer.records.layout import PLAN_JSON
from transfer.records.manifest import Manifest
from transfer.records.messages import encode_request
from transfer.records.run_record import RunRecord
from transfer.sources.replay import planned_objects

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4
MD5, PARTS_ETAG = "0" * 32, "0" * 32 + "-4"
PRICES = load_prices()
NAMING = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/")
SMALL = TransferConfig(whole_bytes=100_000, parallel_bytes=8 * MIB, part_size_bytes=6 * MIB)
CLASS_A = (
    "objects.insert 200",
    "objects.insert-initiate 200",
    "xml.initiate 200",
    "xml.put-part 200",
    "xml.complete 200",
    "objects.patch 200",
)
CLASS_B = ("objects.get 200", "objects.get 404", "objects.get-media 200", "objects.get-media 404")


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv, config=SMALL) as made:
        yield made


def item(size_bytes: int = 1, etag: str = MD5, **fields: object) -> ObjectMeta:
    return ObjectMeta(**{"key": "in/k", "size_bytes": size_bytes, "etag": etag, "last_modified_s": 1} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size_bytes", "etag", "expected"),
    [
        (0, MD5, (1, 1, 0)),
        (256 * KIB, PARTS_ETAG, (1, 1, 0)),
        (MIB, PARTS_ETAG, (1, 2, 0)),  # and its proof
        (MIB + 1, MD5, (1, 1, 0)),
        (64 * MIB - 1, PARTS_ETAG, (1, 2, 0)),
        (64 * MIB, MD5, (1, 2, 2)),
        (64 * GIB, MD5, (2, 2, 2)),  # no more than 32 GiB in one GET
        (64 * MIB, "f" * 32 + "-8", (2, 8 + 5, 4)),  # the source's parts of 8 MiB, four to a GET
        (400 * MIB, "f" * 32 + "-4", (4, 4 + 5, 4)),  # of 100 MiB: one to a GET
        (100 * MIB, "kms", (4, 4 + 5, 4)),  # no part size can be told: 32 MiB
        (5 * TIB, "kms", (9_987, 9_987 + 5, 4)),  # 10,000 parts at most: of 525 MiB
    ],
)
def test_the_requests_of_an_object(size_bytes: int, etag: str, expected: tuple[int, int, int]) -> None:
    found = requests_of(item(size_bytes, etag), TransferConfig())
    assert (found.edge_gets, found.class_a, found.class_b) == expected


@pytest.mark.parametrize("way", ["whole", "stream", "stream-of-parts", "stream-on-record", "parts"])
def test_the_engine_sends_the_requests_that_a_plan_counts(rig: EngineRig, way: str) -> None:
    size_bytes = {
        "whole": 5_000,
        "stream": MIB,
        "stream-of-parts": 7 * MIB,
        "stream-on-record": 9 * MIB,
        "parts": 17 * MIB,
    }[way]
    body = os.urandom(size_bytes)
    if way.endswith("parts"):
        upload = rig.client.create_multipart_upload(Bucket=SOURCE, Key="k")["UploadId"]
        parts = [
            {
                "PartNumber": number,
                "ETag": rig.client.upload_part(
                    Bucket=SOURCE,
                    Key="k",
                    UploadId=upload,
                    PartNumber=number,
                    Body=body[(number - 1) * 5 * MIB :][: 5 * MIB],
                )["ETag"],
            }
            for number in range(1, -(-size_bytes // (5 * MIB)) + 1)
        ]
        rig.client.complete_multipart_upload(Bucket=SOURCE, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    else:
        rig.put("k", body)
    head = rig.client.head_object(Bucket=SOURCE, Key="k")
    modified = int(head["LastModified"].timestamp())
    listed = item(size_bytes, head["ETag"].strip('"'), key="k", last_modified_s=modified)

    outcome = rig.move(listed)
    assert isinstance(outcome, Copied), outcome

    sent = Counter(rig.gcs.requests())
    assert rig.stored("k") == body
    assert requests_of(listed, SMALL) == ObjectRequests(
        edge_gets=sum(rig.edge.requests().values()),
        class_a=sum(sent[kind] for kind in CLASS_A),
        class_b=sum(sent[kind] for kind in CLASS_B),
    )


def test_a_message_is_billed_twice_and_never_below_the_least() -> None:
    meter = UsageMeter(TransferConfig())
    meter.count_message(TransferRequest(run_id="r", listing="1", number=0, objects=(item(),)))
    assert meter.usage(is_listed_in_s3=True).pubsub_bytes == 2 * MIN_BILLED_BYTES
    many = TransferRequest(
        run_id="r", listing="1", number=0, objects=tuple(item(key=f"in/{n:0100}") for n in range(64))
    )
    meter.count_message(many)
    assert meter.usage(is_listed_in_s3=True).pubsub_bytes > 2 * MIN_BILLED_BYTES + 2 * len(encode_request(many)[0])


def test_listings_count_by_pages_on_both_sides() -> None:
    tally = PlanTally(NAMING, TransferConfig())
    for number in range(1_001):
        tally.take(
            item(key=f"in/{number}"), DestinationObject(name="x", size_bytes=1, generation=1), SkipReason.UNCHANGED
        )
    usage = tally.plan(PRICES, run_id="r", listing="1", is_listed_in_s3=True).usage
    assert (usage.s3_list_requests, usage.class_a) == (2, {"STANDARD": 4})  # the destination before and after
    assert tally.plan(PRICES, run_id="r", listing="1", is_listed_in_s3=False).usage.s3_list_requests == 0


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
    assert part.extra.objects == 0, "what else is there may well be in the rest of the source"
    assert plan.stored.objects == len(extras) + sum(is_stored for _, _, is_stored in objects)


def test_a_size_is_in_the_band_that_ends_with_it() -> None:
    for number, end in enumerate(BAND_ENDS_BYTES):
        for size_bytes, band in ((end, number), (end + 1, number + 1)):
            tally = PlanTally(NAMING, TransferConfig())
            tally.take(item(size_bytes), None, None)
            sizes = tally.plan(PRICES, run_id="r", listing="1", is_listed_in_s3=True).sizes
            assert [place for place, found in enumerate(sizes) if found.objects] == [band]


def prepared(rig: EngineRig) -> Plan:
    """One object of every fate."""
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


def test_a_plan_publishes_nothing_and_tells_every_fate(rig: EngineRig) -> None:
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


def test_a_run_moves_exactly_what_was_planned(rig: EngineRig) -> None:
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


def test_a_restored_archive_that_was_planned_moves(rig: EngineRig) -> None:
    """The manifest does not say that it was restored, only that it was to move."""
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


def test_a_plan_that_is_none_is_told(rig: EngineRig) -> None:
    with pytest.raises(RunUnknown, match="has no plan"):
        planned_objects(rig.state(), run="mine", now=HERE)
    HERE.write(rig.state())
    with pytest.raises(RunUnknown, match=r"plan_run names the run 'mine'.* has no plan"):
        planned_objects(rig.state(), run="mine", now=HERE)
    write_plan(rig.state(), PlanTally(NAMING, SMALL).plan(PRICES, run_id="r", listing="1", is_listed_in_s3=True))
    with pytest.raises(
        RunUnknown, match=r"was for s3://s/in/ to gs://d/out/, and this run copies s3://s/in/ to gs://d/other/"
    ):
        planned_objects(rig.state(), run="mine", now=replace(HERE, destination_prefix="other/"))


def test_the_table_and_the_file_say_the_same(rig: EngineRig) -> None:
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
