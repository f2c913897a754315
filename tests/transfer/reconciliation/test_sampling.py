"""A share of the matched objects is read back from both sides by other means and compared byte for byte."""

from __future__ import annotations

import csv
import gzip
import io
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import DESTINATION, SOURCE, EngineRig, engine_rig, fault
from large_objects import listed
from transfer.backends import sample_readers
from transfer.backends.sample_readers import SampleReaders
from transfer.errors import Stopped
from transfer.model import DestinationObject
from transfer.reconciliation.passes import sample_pass
from transfer.reconciliation.report import ReconciliationReport, read_report
from transfer.reconciliation.sampling import SampleReport, Sampling, first_difference, is_chosen

MIB = 1024 * 1024


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    monkeypatch.setattr(sample_readers, "PIECE_BYTES", MIB)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def sampled(
    rig: EngineRig,
    report: ReconciliationReport,
    *,
    destination: Iterable[DestinationObject] | None = None,
    on_report: Callable[[SampleReport], None] = lambda report: None,
) -> ReconciliationReport:
    """The report once all that is matched has been compared."""
    listed_there = rig.destination_listing().objects("", leave_out=".edgehaul/")
    reader = SampleReaders(rig.client, SOURCE, lambda: rig.storage, DESTINATION)
    return sample_pass(
        report,
        rig.context(),
        destination=listed_there if destination is None else destination,
        sampling=Sampling(reader=reader, percent=100, stop=rig.stop, on_report=on_report),
    )


def rows(rig: EngineRig) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(rig.state().read("sample.csv").decode(), newline="")))


def test_equal_objects_are_counted_as_equal(rig: EngineRig) -> None:
    bodies = {
        "empty": b"",
        "small": b"content",
        "piece": os.urandom(MIB),
        "pieces": os.urandom(3 * MIB + 17),
        "odd \u00e4/../%2F": b"name",
    }
    for key, body in bodies.items():
        rig.put(key, body)
    packed = gzip.compress(b"x" * 100_000)
    rig.put("packed", packed, ContentEncoding="gzip")
    _, report = rig.copy_all()
    reads = rig.edge.requests()
    seen: list[SampleReport] = []
    report = sampled(rig, report, on_report=seen.append)
    sample = report.sample
    assert sample is not None
    assert (sample.chosen, sample.compared, sample.equal, sample.is_clean) == (6, 6, 6, True)
    assert sample.bytes_read == sum(map(len, bodies.values())) + len(packed)
    assert report.is_green
    assert rig.edge.requests() == reads, "not through the edge"
    assert seen[-1] == sample
    assert read_report(rig.state()) == report
    assert rows(rig) == []


def test_a_byte_that_differs_is_found_and_named(rig: EngineRig) -> None:
    """One bit of the bytes that Cloud Storage returns, with the right size, label and checksum: no listing could show it."""
    body = os.urandom(2 * MIB)
    rig.put("k", body)
    rig.put("fine", body)
    _, report = rig.copy_all()
    assert report.is_green
    rig.gcs.faults.replace([fault("GET /download.*/k\\?", "corrupt", after=1, times=1, at_byte=5)])
    report = sampled(rig, report)
    assert report.sample is not None
    assert (report.sample.equal, report.sample.differing, report.is_green) == (1, 1, False)
    assert [(row["key"], row["end"], row["first_differing_byte"]) for row in rows(rig)] == [
        ("k", "differing", str(MIB + 5))
    ]
    why = report.why_red(was_copied=True)
    assert "'k' (differing from byte 1,048,581 on)" in why
    assert report.sample.seed in why


def test_an_object_that_cannot_be_read_is_not_called_equal(rig: EngineRig) -> None:
    for key in ("a", "b", "c"):
        rig.put(key, b"x" * 100)
    _, report = rig.copy_all()
    rig.s3.faults.replace([fault("GET .*/a", "status", status=403, body="<Error><Code>AccessDenied</Code></Error>")])
    rig.gcs.faults.replace([fault("GET /download.*/b\\?", "status", status=403)])
    report = sampled(rig, report)
    assert report.sample is not None
    assert (report.sample.equal, report.sample.unreadable, report.is_green) == (1, 2, False)
    assert "s3:GetObject" in rows(rig)[0]["message"] + rows(rig)[1]["message"]
    assert "unreadable" in report.why_red(was_copied=True)


def test_a_copy_that_is_overwritten_after_it_was_matched_is_not_called_equal(rig: EngineRig) -> None:
    rig.put("k")
    _, report = rig.copy_all()
    destination = list(rig.destination_listing().objects("", leave_out=".edgehaul/"))
    rig.storage.bucket(DESTINATION).blob("k").upload_from_string(b"CONTENT")
    report = sampled(rig, report, destination=destination)
    assert report.sample is not None
    assert (report.sample.unreadable, report.is_green) == (1, False)
    assert "is no longer at generation" in rows(rig)[0]["message"]


def test_an_object_that_changed_in_the_source_since_the_listing_is_counted_as_changed(rig: EngineRig) -> None:
    for key in ("deleted", "replaced", "same"):
        rig.put(key, b"as listed")
    _, report = rig.copy_all()
    rig.client.delete_object(Bucket=SOURCE, Key="deleted")
    rig.put("replaced", b"AS LISTED")
    report = sampled(rig, report)
    assert report.sample is not None
    assert (report.sample.equal, report.sample.changed, report.sample.compared, report.is_green) == (1, 2, 1, True)
    assert {row["key"]: row["end"] for row in rows(rig)} == {"deleted": "changed", "replaced": "changed"}


def test_the_version_that_was_copied_is_read(rig: EngineRig) -> None:
    rig.client.put_bucket_versioning(Bucket=SOURCE, VersioningConfiguration={"Status": "Enabled"})
    rig.put("k", b"the first")
    head = rig.client.head_object(Bucket=SOURCE, Key="k")
    rig.put("k", b"another one")
    reader = SampleReaders(rig.client, SOURCE, lambda: rig.storage, DESTINATION)
    item = replace(
        listed(rig, "k"), etag=head["ETag"].strip('"'), size_bytes=head["ContentLength"], version_id=head["VersionId"]
    )
    assert b"".join(reader.source(item)) == b"the first"


def test_a_stop_request_ends_the_comparison(rig: EngineRig) -> None:
    for index in range(20):
        rig.put(f"{index:02d}", os.urandom(2 * MIB))
    _, report = rig.copy_all()
    rig.s3.faults.replace([fault("GET", "delay", seconds=0.2)])
    threading.Timer(0.5, rig.stop.set).start()
    with pytest.raises(Stopped):
        sampled(rig, report)


def test_the_choice_depends_on_seed_and_key_alone() -> None:
    keys = [f"k/{index}" for index in range(10_000)]
    for percent in (0.5, 5, 50):
        chosen = {key for key in keys if is_chosen(key, seed="s", percent=percent)}
        assert abs(len(chosen) - percent * 100) < 4 * (percent * 100) ** 0.5 + 1
        assert chosen == {key for key in keys if is_chosen(key, seed="s", percent=percent)}
        assert chosen != {key for key in keys if is_chosen(key, seed="another", percent=percent)}
    assert all(is_chosen(key, seed="s", percent=100) for key in [*keys, "\ud800"])
    assert not any(is_chosen(key, seed="s", percent=0) for key in keys)


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


@given(st.binary(max_size=30), st.binary(max_size=30), st.lists(st.integers(0, 99)), st.lists(st.integers(0, 99)))
def test_the_first_difference_is_found_however_the_bytes_come(left, right, cuts, other_cuts) -> None:
    for other in (left, right, left[:-1], left + right):
        length = min(len(left), len(other))
        expected = next((index for index in range(length) if left[index] != other[index]), length)
        found = first_difference(iter(pieces(left, cuts)), iter(pieces(other, other_cuts)))
        assert found == (None if left == other else expected)
