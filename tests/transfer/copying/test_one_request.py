"""One object through a faulty edge and a faulty Cloud Storage: the outcome is named, and the destination is right."""

from __future__ import annotations

import os

import pytest

from engine_rig import SOURCE, EngineRig, engine_rig, fault
from transfer.errors import EndpointRejected, SignatureRejected
from transfer.model import Copied, Failed, ObjectMeta, Skipped, TransferOutcome

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
TEMPORARY = [
    ("reset", {}),
    ("reset", {"at_byte": 100_000}),
    ("truncate", {"at_byte": 0}),
    ("truncate", {"at_byte": 299_999}),
    ("corrupt", {"at_byte": 5}),
    ("status", {"status": 500}),
    ("status", {"status": 502}),
    ("status", {"status": 503}),
    ("status", {"status": 504}),
    ("status", {"status": 429, "headers": {"Retry-After": "0"}}),
    ("status", {"status": 503, "body": "<Error><Code>SlowDown</Code></Error>"}),
]


@pytest.mark.parametrize(("action", "fields"), TEMPORARY)
@pytest.mark.parametrize("key", ["small", "large"])
def test_a_passing_fault_of_the_edge_is_retried(rig: EngineRig, key: str, action: str, fields: dict) -> None:
    rig.edge.faults.replace([fault("GET", action, times=1, **fields)])
    outcome = copy(rig, key)
    assert isinstance(outcome, Copied)
    assert outcome.attempts > 1
    assert rig.stored(key) == BODIES[key]


def test_a_stalled_transfer_is_interrupted_and_retried(rig: EngineRig) -> None:
    rig.edge.faults.replace([fault("GET", "stall", times=1, at_byte=10, seconds=30)])
    outcome = copy(rig, "small")
    assert isinstance(outcome, Copied)
    assert outcome.attempts == 2
    assert outcome.seconds < 20


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, "<Error><Code>NoSuchKey</Code></Error>", "SourceNotFound"),
        (416, "<Error><Code>InvalidRange</Code></Error>", "SourceChanged"),
        (403, "<Error><Code>InvalidObjectState</Code></Error>", "SourceArchived"),
        (403, "<Error><Code>Whatever</Code></Error>", "SourceForbidden"),
        (413, "", "InvalidName"),
        (400, "", "SourceForbidden"),
        (503, "", "SourceUnavailable"),
        (500, "", "SourceUnavailable"),
        (429, "", "Throttled"),
    ],
)
@pytest.mark.parametrize("key", ["small", "large"])
def test_a_lasting_fault_of_the_edge_fails_the_object_by_name(
    rig: EngineRig, key: str, status: int, body: str, code: str
) -> None:
    rig.edge.faults.replace([fault("GET", "status", status=status, body=body)])
    outcome = copy(rig, key)
    assert isinstance(outcome, Failed)
    assert (outcome.failure.error_code, outcome.failure.http_status) == (code, status)
    assert outcome.failure.stage == "download"
    assert rig.names() == []


@pytest.mark.parametrize("code", ["MissingKey", "InvalidKey", "MalformedPolicy", "AccessDenied"])
def test_cloudfronts_own_403_is_fatal(rig: EngineRig, code: str) -> None:
    rig.edge.faults.replace([fault("GET", "status", status=403, body=f"<Error><Code>{code}</Code></Error>")])
    with pytest.raises(SignatureRejected, match=code):
        copy(rig, "small")


def test_a_redirect_is_fatal(rig: EngineRig) -> None:
    rig.edge.faults.replace([fault("GET", "status", status=307, headers={"Location": "http://127.0.0.1:1/"})])
    with pytest.raises(EndpointRejected, match="redirect"):
        copy(rig, "small")


@pytest.mark.parametrize("key", ["small", "large"])
def test_lasting_damage_never_becomes_an_object(rig: EngineRig, key: str) -> None:
    rig.edge.faults.replace([fault("GET", "corrupt", at_byte=1000)])
    outcome = copy(rig, key)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "CorruptTransfer"
    assert "MD5" in outcome.failure.message
    assert rig.names() == []


@pytest.mark.parametrize("key", ["small", "large"])
@pytest.mark.parametrize("change", [{"etag": "0" * 32}, {"size_bytes": 299_000}, {"size_bytes": 400_000}])
def test_content_that_differs_from_the_listing_is_source_changed(rig: EngineRig, key: str, change: dict) -> None:
    if key == "large" and "size_bytes" in change:
        change = {"size_bytes": len(LARGE) + (1 if change["size_bytes"] == 400_000 else -1)}
    outcome = copy(rig, key, **change)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "SourceChanged"
    assert rig.names() == []


@pytest.mark.parametrize("key", ["small", "large"])
@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("status", {"status": 503}),
        ("status", {"status": 500}),
        ("status", {"status": 429}),
        ("status", {"status": 408}),
        ("reset", {}),
        ("lose_answer", {}),
    ],
)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_passing_fault_of_cloud_storage_is_retried(
    rig: EngineRig, key: str, action: str, fields: dict, after: int
) -> None:
    """`after` makes the fault strike the opening of an upload, a part, or the last part."""
    rig.gcs.faults.replace([fault("(POST|PUT) /upload", action, times=1, after=after, **fields)])
    outcome = copy(rig, key)
    assert isinstance(outcome, Copied | Skipped)
    assert rig.stored(key) == BODIES[key]


@pytest.mark.parametrize("key", ["small", "large"])
def test_bytes_stored_wrongly_are_removed(rig: EngineRig, key: str) -> None:
    rig.gcs.faults.replace([fault("(POST|PUT) /upload", "corrupt", at_byte=1000)])
    outcome = copy(rig, key)
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "CorruptTransfer"
    assert rig.names() == []


@pytest.mark.parametrize("key", ["small", "large"])
def test_bytes_stored_wrongly_once_are_sent_again(rig: EngineRig, key: str) -> None:
    rig.gcs.faults.replace([fault("(POST|PUT) /upload", "corrupt", at_byte=1000, times=1)])
    outcome = copy(rig, key)
    assert isinstance(outcome, Copied)
    assert outcome.attempts == 2
    assert rig.stored(key) == BODIES[key]
