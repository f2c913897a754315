"""Uploads in parts know no conditions: what another wrote while they were joined is found afterwards, and never called copied."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

import pytest

from engine_rig import DESTINATION, EngineRig, fault
from large_objects import arrived, left_behind, listed
from transfer.comparison import holds, may_be_bound
from transfer.model import Copied, Failed

KEPT: dict[str, tuple[dict[str, Any], str]] = {
    "softly deleted": ({"softDeletePolicy": None, "versioning": None}, "gcloud storage restore"),
    "a version": ({"softDeletePolicy": None, "versioning": {"enabled": True}}, "gcloud storage cp"),
}
NOTHING_KEPT = {"softDeletePolicy": {"retentionDurationSeconds": "0"}, "versioning": None}


@pytest.fixture(autouse=True)
def settings(large: EngineRig):
    yield
    set_bucket(large, {"softDeletePolicy": None, "versioning": None})


def set_bucket(rig: EngineRig, changes: dict) -> None:
    rig.storage._connection.api_request(method="PATCH", path=f"/b/{DESTINATION}", data=changes)


def copy_with_an_intruder(rig: EngineRig, body: bytes, metadata: dict[str, str] | None = None):
    """A zombie's copy: another writes the name after it has looked, and before its parts are joined."""
    rig.gcs.faults.replace([fault("POST .*uploadId=", "delay", times=1, seconds=30)])

    def write() -> None:
        deadline = time.monotonic() + 10
        while not json.loads(rig.gcs.faults.to_json())["faults"][0]["hits"] and time.monotonic() < deadline:
            time.sleep(0.01)
        blob = rig.storage.bucket(DESTINATION).blob("parts")
        blob.metadata = metadata
        blob.upload_from_string(body)
        rig.gcs.faults.replace([])

    intruder = threading.Thread(target=write)
    intruder.start()
    outcome = rig.copy(listed(rig, "parts"), lanes=2)
    intruder.join()
    return outcome


@pytest.mark.parametrize("kept", KEPT)
def test_the_object_that_a_late_copy_replaced_is_named(large: EngineRig, kept: str) -> None:
    changes, command = KEPT[kept]
    set_bucket(large, changes)
    outcome = copy_with_an_intruder(large, b"newer")
    assert isinstance(outcome, Failed)
    assert (outcome.failure.error_code, outcome.failure.stage) == ("DestinationConflict", "upload")
    assert command in outcome.failure.message
    named = re.search(r"gs://destination-bucket/parts#(\d+)", outcome.failure.message)
    assert named
    generation = int(named[1])
    blob = large.storage.bucket(DESTINATION).blob("parts")
    if kept == "softly deleted":
        large.storage.bucket(DESTINATION).restore_blob("parts", generation=generation)
        assert blob.download_as_bytes() == b"newer"
    else:
        assert large.storage.bucket(DESTINATION).blob("parts", generation=generation).download_as_bytes() == b"newer"
    assert large.progress.stats().bytes_copied == 0
    assert left_behind(large) == []


def test_such_a_copy_does_not_count_as_one_later(large: EngineRig) -> None:
    copy_with_an_intruder(large, b"newer")
    item = listed(large, "parts")
    (stored,) = large.destination_listing().objects("parts", leave_out=".edgehaul/")
    assert not holds(stored, item)
    assert not may_be_bound(stored, item)
    assert isinstance(large.copy(item, lanes=2), Failed)
    assert isinstance(large.copy(listed(large, "parts", replaces_generation=stored.generation), lanes=2), Copied)


def test_another_delivery_of_the_same_is_no_conflict(large: EngineRig, bodies) -> None:
    arrived(large, "parts", bodies["parts"], copy_with_an_intruder(large, bodies["parts"]))
    large.storage.bucket(DESTINATION).blob("parts").delete()
    label = {"x-goog-source-etag": listed(large, "parts").etag}
    arrived(large, "parts", bodies["parts"], copy_with_an_intruder(large, b"an attempt that went wrong", label))


def test_a_version_that_the_bucket_does_not_keep_cannot_be_found(large: EngineRig, bodies) -> None:
    """As the documents say; and a server that knows neither parameter does no harm."""
    set_bucket(large, NOTHING_KEPT)
    arrived(large, "parts", bodies["parts"], copy_with_an_intruder(large, b"newer"))


@pytest.mark.parametrize("status", [400, 403, 501])
def test_a_server_that_shows_no_versions_does_no_harm(large: EngineRig, bodies, status: int) -> None:
    large.gcs.faults.replace([fault("GET .*(versions|softDeleted)=", "status", status=status)])
    arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts"), lanes=2))


def test_a_check_of_the_destination_that_took_too_long_is_repeated(large: EngineRig, bodies, monkeypatch) -> None:
    monkeypatch.setattr("transfer.copying.parts_completion.MAX_CHECK_AGE_S", 0.5)
    large.gcs.faults.replace([fault(r"GET /storage.*/o/parts\?", "delay", after=1, times=1, seconds=0.8)])
    assert arrived(large, "parts", bodies["parts"], large.copy(listed(large, "parts"))).attempts == 2
