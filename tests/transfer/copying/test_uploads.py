"""Uploads on record are resumed, replaced or aborted, and leave nothing behind."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from engine_rig import DESTINATION, EngineRig, fault
from large_objects import (
    MIB,
    abandoned,
    arrived,
    left_behind,
    listed,
    open_parts,
    put_in_parts,
    ranges_asked,
    refused,
    stored_parts,
)
from transfer.errors import RunClosed
from transfer.model import Failed
from upload_records import end_of_run, only_record, record_name

WAYS = ["stream", "parts"]


def write_record(rig: EngineRig, key: str, body: bytes) -> None:
    rig.storage.bucket(DESTINATION).blob(record_name(rig, key)).upload_from_string(body)


@pytest.mark.parametrize("way", WAYS)
def test_an_abandoned_upload_is_resumed(large: EngineRig, bodies, way: str) -> None:
    item = abandoned(large, way)
    with ranges_asked(large.edge) as asked:
        arrived(large, way, bodies[way], large.copy(item))
    if way == "stream":
        (range_,) = asked
        assert int(range_[len("bytes=") :].split("-")[0]) >= MIB // 2


def test_a_resumed_stream_shows_its_progress(large: EngineRig) -> None:
    item = abandoned(large, "stream")
    large.edge.faults.replace([fault("GET", "stall", at_byte=MIB, seconds=0.6)])
    shown_bytes: set[int] = set()
    sampler = threading.Timer(0.4, lambda: shown_bytes.add(large.progress.stats().bytes_copied))
    sampler.start()
    with ranges_asked(large.edge) as asked:
        large.copy(item)
    sampler.join()
    position = int(asked[0][len("bytes=") :].split("-")[0])
    assert position < min(shown_bytes) < item.size_bytes


def test_an_upload_whose_parts_are_not_on_record_yet_is_resumed(large: EngineRig, bodies) -> None:
    """Its parts would be paid for for ever if another upload took its place on record."""
    item = abandoned(large, "parts")
    ((name, token),) = open_parts(large)
    assert stored_parts(large, name, token) == [1, 2]
    assert only_record(large)["parts"] == []
    before = large.gcs.requests()["xml.initiate 200"]
    arrived(large, "parts", bodies["parts"], large.copy(item, lanes=2))
    assert large.gcs.requests()["xml.initiate 200"] == before


@pytest.mark.parametrize("change", [{"etag": "0" * 32 + "-3"}, {"replaces_generation": 5}])
def test_an_upload_of_other_content_under_the_name_is_aborted(large: EngineRig, change: dict) -> None:
    item = abandoned(large, "parts")
    blob = large.storage.bucket(DESTINATION).blob("parts")
    if "replaces_generation" in change:
        blob.upload_from_string(b"older")
        change = {"replaces_generation": blob.generation}
    else:
        large.edge.faults.replace([fault("GET", "rewrite", headers={"ETag": f'"{change["etag"]}"'})])
    before = large.gcs.requests().get("xml.abort 204", 0)
    outcome = large.copy(replace(item, **change), lanes=2)
    assert outcome.key == "parts"
    assert left_behind(large) == []
    assert large.gcs.requests()["xml.abort 204"] == before + 1


def test_an_upload_with_another_part_size_is_aborted(large: EngineRig) -> None:
    """As after a change of `part_size_mib` between two attempts, where the source's own part size is unknown."""
    body = bytes(23 * MIB)
    put_in_parts(large, "cut", body, part_bytes=11 * MIB + 12_345)
    item = replace(abandoned(large, "cut"), etag="0" * 32 + "-2")
    other = replace(large, config=replace(large.config, part_size_bytes=6 * MIB))
    large.edge.faults.replace([fault("GET", "rewrite", headers={"ETag": f'"{item.etag}"'})])
    arrived(other, "cut", body, other.copy(item, lanes=2))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "kind": "parts"}', b"\xff"])
@pytest.mark.parametrize("way", WAYS)
def test_an_invalid_record_is_ignored(large: EngineRig, bodies, way: str, body: bytes) -> None:
    write_record(large, way, body)
    arrived(large, way, bodies[way], large.copy(listed(large, way), lanes=2))


@pytest.mark.parametrize(("way", "status"), [("stream", 404), ("stream", 410), ("parts", 404)])
def test_a_recorded_upload_that_no_longer_exists_is_started_again(
    large: EngineRig, bodies, way: str, status: int
) -> None:
    item = abandoned(large, way)
    gone = "PUT /upload" if way == "stream" else "PUT .*partNumber"
    large.gcs.faults.replace([fault(gone, "status", times=1, status=status)])
    assert arrived(large, way, bodies[way], large.copy(item)).attempts == 2


ELSEWHERE = {
    "the address of another object": {"token": "{gcs}/storage/v1/b/other-bucket/o/precious"},
    "another object's path as an id": {"token": "../../../storage/v1/b/other-bucket/o/precious"},
    "the address of a session elsewhere": {"token": "http://127.0.0.1:9/upload/storage/v1/b/x/o?upload_id=1"},
    "another bucket": {"bucket": "other-bucket", "name": "precious"},
    "another object": {"name": "precious"},
    "an object in parts": {"kind": "parts", "name": "precious"},
    "an object in parts, without an id": {"kind": "parts", "name": "precious", "token": ""},
}


@pytest.mark.parametrize("forged", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_record_leads_to_no_other_object(large: EngineRig, bodies, forged: dict) -> None:
    """A forged or damaged record causes no other object to be deleted or written."""
    precious = [large.storage.bucket(DESTINATION).blob("precious")]
    precious.append(large.storage.bucket("other-bucket").blob("precious"))
    if not large.storage.lookup_bucket("other-bucket"):
        large.storage.create_bucket("other-bucket")
    for blob in precious:
        blob.upload_from_string(b"precious")
    item = abandoned(large, "stream")
    fields = {key: value.format(gcs=large.gcs.url) for key, value in forged.items()}
    record = json.dumps(only_record(large) | fields).encode()
    write_record(large, "stream", record)
    arrived(large, "stream", bodies["stream"], large.copy(item))

    write_record(large, "stream", record)
    end_of_run(large)
    assert [blob.download_as_bytes() for blob in precious] == [b"precious", b"precious"]
    assert large.stored("stream") == bodies["stream"]


@pytest.mark.parametrize("way", WAYS)
def test_an_upload_of_a_source_replaced_between_two_deliveries_is_not_resumed(large: EngineRig, way: str) -> None:
    key = f"{way}-replaced"
    put = large.put if way == "stream" else (lambda key, body: put_in_parts(large, key, body))
    put(key, b"1" * (12 * MIB))
    item = abandoned(large, key)
    put(key, b"2" * (12 * MIB))
    outcome = large.copy(item)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "SourceChanged"
    end_of_run(large)
    refused(large, outcome)


def test_no_upload_in_parts_is_started_once_the_run_is_closed(large: EngineRig) -> None:
    end_of_run(large)
    large.opening = "opening-1"
    with pytest.raises(RunClosed):
        large.copy(listed(large, "parts"))
    assert left_behind(large) == []
    large.opening = "opening-2"  # the run was cleared
    assert large.copy(listed(large, "parts"), lanes=2).key == "parts"
