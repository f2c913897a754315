"""Uploads that no run will resume are found by their records and notes, and aborted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from engine_rig import DESTINATION, STATE_PREFIX, EngineRig, fault
from large_objects import (
    abandoned,
    arrived,
    left_behind,
    listed,
    open_parts,
    records,
    stored_parts,
)
from transfer.backends.gcs.multipart import begin_parts
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.verification import Capabilities
from transfer.backends.http.loop import complete
from transfer.copying.abandoned_uploads import abort_abandoned_uploads
from transfer.copying.uploads import OpenUpload, UploadKind
from transfer.model import Copied
from upload_records import end_of_run, only_record, record_name, whole_state

WAYS = ["stream", "parts"]


def test_the_end_of_a_run_aborts_abandoned_uploads(large: EngineRig) -> None:
    for way in WAYS:
        abandoned_alone(large, way)
    assert {record["name"] for record in records(large).values()} == set(WAYS)
    ((name, token),) = open_parts(large)
    assert stored_parts(large, name, token)
    assert end_of_run(large) == 2
    assert left_behind(large) == []
    assert large.gcs.requests()["objects.insert-cancel 499"] >= 1
    assert end_of_run(large) == 0


def abandoned_alone(rig: EngineRig, way: str) -> None:
    others = {name: json.dumps(record).encode() for name, record in records(rig).items()}
    for name in others:
        rig.storage.bucket(DESTINATION).blob(name).delete()
    abandoned(rig, way)
    for name, body in others.items():
        rig.storage.bucket(DESTINATION).blob(name).upload_from_string(body)


def test_an_upload_that_cannot_be_aborted_stays_on_record_and_is_aborted_later(large: EngineRig) -> None:
    abandoned(large, "parts")
    large.gcs.faults.replace([fault("DELETE .*uploadId", "status", status=503)])
    assert end_of_run(large) == 0
    large.gcs.faults.replace([])
    assert only_record(large)["name"] == "parts"
    large.gcs.faults.replace([fault("DELETE", "status", times=2, status=503)])  # temporary trouble is retried
    assert end_of_run(large) == 1
    assert left_behind(large) == []


def test_uploads_that_have_ended_are_ignored(large: EngineRig, bodies) -> None:
    """A record may outlive its upload: what it points to is then complete or gone, and the object stays."""
    saved: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        item = abandoned(large, way)
        saved |= records(large)
        arrived(large, way, bodies[way], large.copy(item))
    for name, record in saved.items():
        large.storage.bucket(DESTINATION).blob(name).upload_from_string(json.dumps(record))
    assert end_of_run(large) == 2
    assert left_behind(large) == []
    for way in WAYS:
        assert large.stored(way) == bodies[way]


def started_and_not_recorded(rig: EngineRig, key: str) -> None:
    """An upload in parts whose worker died before it had put the id on record."""
    abandoned(rig, key)
    rig.storage.bucket(DESTINATION).blob(record_name(rig, key)).delete()
    assert [record["token"] for record in records(rig).values()] == [""]


def test_an_upload_whose_id_was_never_recorded_is_found_by_its_name(large: EngineRig) -> None:
    started_and_not_recorded(large, "parts")
    foreign = complete(begin_parts(large.gcs_client(), "parts-of-another", {}, Capabilities()), large.stop)
    assert end_of_run(large) == 1
    assert open_parts(large) == [("parts-of-another", foreign)]
    assert records(large) == {}


def test_an_upload_whose_start_was_never_answered_is_aborted_though_the_object_was_copied(large: EngineRig) -> None:
    note = fault("^POST /upload.*uploadType=multipart", "status", times=1)  # the first thing written is the note
    large.gcs.faults.replace([note, fault(r"^POST .*\?uploads$", "lose_answer", times=1)])
    assert isinstance(large.copy(listed(large, "parts")), Copied)
    ((name, _),) = open_parts(large)
    assert name == "parts"
    assert end_of_run(large) == 1
    assert open_parts(large) == []


def test_an_upload_of_that_name_that_an_open_run_has_on_record_is_kept(large: EngineRig) -> None:
    started_and_not_recorded(large, "parts")
    ((_, token),) = open_parts(large)
    other = OpenUpload(kind=UploadKind.PARTS, bucket=DESTINATION, name="parts", token=token)
    going_on = large.storage.bucket(DESTINATION).blob(f"{STATE_PREFIX}uploads/run-2/0.json")
    going_on.upload_from_string(other.encode())
    state, sink = whole_state(large), GcsSink(large.gcs_client())
    assert abort_abandoned_uploads(state, sink, lambda step: complete(step(), large.stop), open_runs={"run-2"}) == 0
    assert open_parts(large) == [("parts", token)]
    assert abort_abandoned_uploads(state, sink, lambda step: complete(step(), large.stop), open_runs=()) == 1


def test_an_upload_of_that_name_that_was_started_long_after_the_note_is_kept(large: EngineRig, monkeypatch) -> None:
    started_and_not_recorded(large, "parts")
    monkeypatch.setattr("transfer.copying.abandoned_uploads.MAX_START_DELAY_S", -10.0)
    assert end_of_run(large) == 0
    assert len(open_parts(large)) == 1
    assert records(large) == {}  # no upload of it can be started any more


def test_the_next_run_aborts_an_upload_started_after_its_run_was_closed(large: EngineRig) -> None:
    """A worker may outlive its run by seconds, and start an upload after `close_run` has aborted all others."""
    assert end_of_run(large) == 0
    abandoned(large, "parts")
    assert end_of_run(replace(large, run_id="run-2")) == 1
    assert left_behind(large) == []
