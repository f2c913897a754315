"""What a copy finds at the destination: an earlier copy, another writer's object, or the one that it is to replace."""

from __future__ import annotations

import os

import pytest

from engine_rig import DESTINATION, SOURCE, EngineRig, engine_rig
from transfer.model import Copied, Failed, ObjectMeta, Skipped, SkipReason, TransferOutcome

SMALL = os.urandom(300_000)


LARGE = os.urandom(2 * 1024 * 1024 + 777)


@pytest.fixture
def rig(tmp_path, monkeypatch):
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        made.put("small", SMALL)
        made.put("large", LARGE)
        yield made


def listed(rig: EngineRig, key: str, **fields: object) -> ObjectMeta:
    head = rig.client.head_object(Bucket=SOURCE, Key=key)
    values = {
        "key": key,
        "size_bytes": head["ContentLength"],
        "etag": head["ETag"].strip('"'),
        "last_modified_s": int(head["LastModified"].timestamp()),
    }
    return ObjectMeta(**(values | fields))


def copy(rig: EngineRig, key: str, **fields: object) -> TransferOutcome:
    return rig.copy(listed(rig, key, **fields))


BODIES = {"small": SMALL, "large": LARGE}


def test_a_second_delivery_is_skipped_and_writes_no_second_generation(rig: EngineRig) -> None:
    for key in ("small", "large"):
        assert isinstance(copy(rig, key), Copied)
        generation = rig.storage.bucket(DESTINATION).get_blob(key).generation
        outcome = copy(rig, key)
        assert isinstance(outcome, Skipped)
        assert outcome.reason is SkipReason.IDENTICAL
        assert rig.storage.bucket(DESTINATION).get_blob(key).generation == generation


@pytest.mark.parametrize("key", ["small", "large"])
def test_an_object_of_another_writer_is_not_overwritten(rig: EngineRig, key: str) -> None:
    rig.storage.bucket(DESTINATION).blob(key).upload_from_string(b"foreign")
    outcome = copy(rig, key)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.error_code, outcome.failure.http_status) == ("DestinationConflict", 412)
    assert rig.stored(key) == b"foreign"


@pytest.mark.parametrize("key", ["small", "large"])
def test_the_listed_generation_is_replaced(rig: EngineRig, key: str) -> None:
    blob = rig.storage.bucket(DESTINATION).blob(key)
    blob.upload_from_string(b"older")
    outcome = copy(rig, key, replaces_generation=blob.generation)
    assert isinstance(outcome, Copied)
    assert rig.stored(key) == BODIES[key]
