"""Uploads on record: gone on with, replaced, or given up; nothing hidden stays behind."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace

import pytest

from engine_rig import DESTINATION, STATE_PREFIX, EngineRig, fault
from large_objects import (
    MIB,
    abandoned,
    arrived,
    left_behind,
    listed,
    open_parts,
    put_in_parts,
    ranges_asked,
    records,
    refused,
    stored_parts,
)
from transfer.backends.gcs.multipart import begin_parts
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.state import GcsState
from transfer.backends.gcs.verification import Capabilities
from transfer.backends.http.loop import complete
from transfer.copying.abandoned_uploads import abort_abandoned_uploads, close_uploads
from transfer.copying.uploads import OpenUpload
from transfer.errors import RunClosed
from transfer.model import Copied

WAYS = ["stream", "parts"]


def abort_upload(rig: EngineRig) -> int:
    """As the end of a run does."""
    retrier = rig.retrier()
    close_uploads(whole_state(rig), rig.run_id, "opening-1")
    return abort_abandoned_uploads(
        whole_state(rig), GcsSink(rig.gcs_client()), lambda step: complete(retrier.call(step), rig.stop), open_runs=()
    )


def whole_state(rig: EngineRig) -> GcsState:
    return GcsState(rig.gcs_client(), rig.retrier(), threading.Event(), prefix=STATE_PREFIX)


def record_name(rig: EngineRig, key: str) -> str:
    return f"{STATE_PREFIX}uploads/{rig.run_id}/{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"


def write_record(rig: EngineRig, key: str, body: bytes) -> None:
    rig.storage.bucket(DESTINATION).blob(record_name(rig, key)).upload_from_string(body)


@pytest.mark.parametrize("way", WAYS)
def test_an_abandoned_upload_is_gone_on_with(large: EngineRig, bodies, way: str) -> None:
    item = abandoned(large, way)
    with ranges_asked(large.edge) as asked:
        arrived(large, way, bodies[way], large.move(item))
    if way == "stream":
        (range_,) = asked
        assert int(range_[len("bytes=") :].split("-")[0]) >= MIB // 2


def test_a_stream_gone_on_with_shows_its_progress(large: EngineRig) -> None:
    item = abandoned(large, "stream")
    large.edge.faults.replace([fault("GET", "stall", at_byte=MIB, seconds=0.6)])
    shown_bytes: set[int] = set()
    sampler = threading.Timer(0.4, lambda: shown_bytes.add(large.progress.stats().bytes_copied))
    sampler.start()
    with ranges_asked(large.edge) as asked:
        large.move(item)
    sampler.join()
    position = int(asked[0][len("bytes=") :].split("-")[0])
    assert position < min(shown_bytes) < item.size_bytes


def test_an_upload_whose_parts_are_not_on_record_yet_is_gone_on_with_all_the_same(large: EngineRig, bodies) -> None:
    """Its parts would be paid for for ever if another upload took its place on record."""
    item = abandoned(large, "parts")
    ((name, token),) = open_parts(large)
    assert stored_parts(large, name, token) == [1, 2]
    assert recorded(large)["parts"] == []
    before = large.gcs.requests()["xml.initiate 200"]
    arrived(large, "parts", bodies["parts"], large.move(item, lanes=2))
    assert large.gcs.requests()["xml.initiate 200"] == before


@pytest.mark.parametrize("change", [{"etag": "0" * 32 + "-3"}, {"replaces_generation": 5}])
def test_an_upload_of_something_else_under_the_name_is_given_up(large: EngineRig, change: dict) -> None:
    item = abandoned(large, "parts")
    blob = large.storage.bucket(DESTINATION).blob("parts")
    if "replaces_generation" in change:
        blob.upload_from_string(b"older")
        change = {"replaces_generation": blob.generation}
    else:
        large.edge.faults.replace([fault("GET", "rewrite", headers={"ETag": f'"{change["etag"]}"'})])
    before = large.gcs.requests().get("xml.abort 204", 0)
    outcome = large.move(replace(item, **change), lanes=2)
    assert outcome.key == "parts"
    assert left_behind(large) == []
    assert large.gcs.requests()["xml.abort 204"] == before + 1


def test_an_upload_cut_otherwise_is_given_up(large: EngineRig) -> None:
    """As after a change of `part_size_mib` between two tries, where the source's own parts cannot be told."""
    body = bytes(23 * MIB)
    put_in_parts(large, "cut", body, part_bytes=11 * MIB + 12_345)
    item = replace(abandoned(large, "cut"), etag="0" * 32 + "-2")
    other = replace(large, config=replace(large.config, part_size_bytes=6 * MIB))
    large.edge.faults.replace([fault("GET", "rewrite", headers={"ETag": f'"{item.etag}"'})])
    arrived(other, "cut", body, other.move(item, lanes=2))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "kind": "parts"}', b"\xff"])
@pytest.mark.parametrize("way", WAYS)
def test_a_record_that_is_none_is_passed_over(large: EngineRig, bodies, way: str, body: bytes) -> None:
    write_record(large, way, body)
    arrived(large, way, bodies[way], large.move(listed(large, way), lanes=2))


@pytest.mark.parametrize(("way", "status"), [("stream", 404), ("stream", 410), ("parts", 404)])
def test_an_upload_that_is_no_more_is_begun_anew(large: EngineRig, bodies, way: str, status: int) -> None:
    item = abandoned(large, way)
    gone = "PUT /upload" if way == "stream" else "PUT .*partNumber"
    large.gcs.faults.replace([fault(gone, "status", times=1, status=status)])
    assert arrived(large, way, bodies[way], large.move(item)).attempts == 2


def recorded(rig: EngineRig) -> dict:
    """The one upload on record with its id."""
    (record,) = (record for record in records(rig).values() if record["token"])
    return record


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
def test_a_record_leads_nowhere_else(large: EngineRig, bodies, forged: dict) -> None:
    """Whoever can write records, or a disk that damaged one, gets neither an object deleted nor one written."""
    precious = [large.storage.bucket(DESTINATION).blob("precious")]
    precious.append(large.storage.bucket("other-bucket").blob("precious"))
    if not large.storage.lookup_bucket("other-bucket"):
        large.storage.create_bucket("other-bucket")
    for blob in precious:
        blob.upload_from_string(b"precious")
    item = abandoned(large, "stream")
    fields = {key: value.format(gcs=large.gcs.url) for key, value in forged.items()}
    record = json.dumps(recorded(large) | fields).encode()
    write_record(large, "stream", record)
    arrived(large, "stream", bodies["stream"], large.move(item))

    write_record(large, "stream", record)
    abort_upload(large)
    assert [blob.download_as_bytes() for blob in precious] == [b"precious", b"precious"]
    assert large.stored("stream") == bodies["stream"]


@pytest.mark.parametrize("way", WAYS)
def test_a_source_replaced_between_two_deliveries_is_not_gone_on_with(large: EngineRig, way: str) -> None:
    key = f"{way}-replaced"
    put = large.put if way == "stream" else (lambda key, body: put_in_parts(large, key, body))
    put(key, b"1" * (12 * MIB))
    item = abandoned(large, key)
    put(key, b"2" * (12 * MIB))
    outcome = large.move(item)
    assert outcome.failure.error_code == "SourceChanged"
    abort_upload(large)
    refused(large, outcome)


def test_the_end_of_a_run_frees_what_nobody_goes_on_with(large: EngineRig) -> None:
    for way in WAYS:
        abandoned_alone(large, way)
    assert {record["name"] for record in records(large).values()} == set(WAYS)
    ((name, token),) = open_parts(large)
    assert stored_parts(large, name, token)
    assert abort_upload(large) == 2
    assert left_behind(large) == []
    assert large.gcs.requests()["objects.insert-cancel 499"] >= 1
    assert abort_upload(large) == 0


def abandoned_alone(rig: EngineRig, way: str) -> None:
    others = {name: json.dumps(record).encode() for name, record in records(rig).items()}
    for name in others:
        rig.storage.bucket(DESTINATION).blob(name).delete()
    abandoned(rig, way)
    for name, body in others.items():
        rig.storage.bucket(DESTINATION).blob(name).upload_from_string(body)


def test_what_cannot_be_freed_stays_on_record_and_is_tried_again(large: EngineRig) -> None:
    abandoned(large, "parts")
    large.gcs.faults.replace([fault("DELETE .*uploadId", "status", status=503)])
    assert abort_upload(large) == 0
    large.gcs.faults.replace([])
    assert recorded(large)["name"] == "parts"
    large.gcs.faults.replace([fault("DELETE", "status", times=2, status=503)])  # passing trouble is retried
    assert abort_upload(large) == 1
    assert left_behind(large) == []


def test_uploads_that_have_ended_are_no_trouble(large: EngineRig, bodies) -> None:
    """A record may outlive its upload: what it points to is then complete or gone, and the object stays."""
    saved = {}
    for way in WAYS:
        item = abandoned(large, way)
        saved |= records(large)
        arrived(large, way, bodies[way], large.move(item))
    for name, record in saved.items():
        large.storage.bucket(DESTINATION).blob(name).upload_from_string(json.dumps(record))
    assert abort_upload(large) == 2
    assert left_behind(large) == []
    for way in WAYS:
        assert large.stored(way) == bodies[way]


# What a run may have begun is found and ended, also when nobody has its id.


def begun_and_not_recorded(rig: EngineRig, key: str) -> None:
    """An upload in parts whose worker died before it had put the id on record."""
    abandoned(rig, key)
    rig.storage.bucket(DESTINATION).blob(record_name(rig, key)).delete()
    assert [record["token"] for record in records(rig).values()] == [""]


def test_an_upload_whose_id_was_never_recorded_is_found_by_its_name(large: EngineRig) -> None:
    begun_and_not_recorded(large, "parts")
    theirs = complete(begin_parts(large.gcs_client(), "parts-of-another", {}, Capabilities()), large.stop)
    assert abort_upload(large) == 1
    assert open_parts(large) == [("parts-of-another", theirs)]
    assert records(large) == {}


def test_an_upload_whose_beginning_was_never_answered_is_ended_though_the_object_has_arrived(large: EngineRig) -> None:
    note = fault("^POST /upload.*uploadType=multipart", "status", times=1)  # the first thing written is the note
    large.gcs.faults.replace([note, fault(r"^POST .*\?uploads$", "lose_answer", times=1)])
    assert isinstance(large.move(listed(large, "parts")), Copied)
    ((name, _),) = open_parts(large)
    assert name == "parts"
    assert abort_upload(large) == 1
    assert open_parts(large) == []


def test_an_upload_of_that_name_that_a_run_has_on_record_which_goes_on_is_left(large: EngineRig) -> None:
    begun_and_not_recorded(large, "parts")
    ((_, token),) = open_parts(large)
    other = OpenUpload(kind="parts", bucket=DESTINATION, name="parts", token=token)
    going_on = large.storage.bucket(DESTINATION).blob(f"{STATE_PREFIX}uploads/run-2/0.json")
    going_on.upload_from_string(other.encode())
    state, sink = whole_state(large), GcsSink(large.gcs_client())
    assert abort_abandoned_uploads(state, sink, lambda step: complete(step(), large.stop), open_runs={"run-2"}) == 0
    assert open_parts(large) == [("parts", token)]
    assert abort_abandoned_uploads(state, sink, lambda step: complete(step(), large.stop), open_runs=()) == 1


def test_one_of_that_name_that_was_begun_long_after_is_left(large: EngineRig, monkeypatch) -> None:
    begun_and_not_recorded(large, "parts")
    monkeypatch.setattr("transfer.copying.abandoned_uploads.MAX_START_DELAY_S", -10.0)
    assert abort_upload(large) == 0
    assert len(open_parts(large)) == 1
    assert records(large) == {}  # nothing will be begun of it any more


def test_the_next_run_ends_what_a_worker_began_after_its_run_was_closed(large: EngineRig) -> None:
    """A worker outlives its run by seconds: `close_run` has swept by then, and nobody else comes that way."""
    assert abort_upload(large) == 0
    abandoned(large, "parts")
    assert abort_upload(replace(large, run_id="run-2")) == 1
    assert left_behind(large) == []


def test_nothing_in_parts_is_begun_once_the_run_is_closed(large: EngineRig) -> None:
    abort_upload(large)
    large.opening = "opening-1"
    with pytest.raises(RunClosed):
        large.move(listed(large, "parts"))
    assert left_behind(large) == []
    large.opening = "opening-2"  # the run was cleared
    assert large.move(listed(large, "parts"), lanes=2).key == "parts"
