"""Large objects, as a stream and in parts, into a Cloud Storage that fails: right in the end, or refused by name."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.auth.credentials import Credentials

from engine_rig import DESTINATION, EngineRig, fault
from large_objects import MIB, PART, arrived, left_behind, listed, open_parts, records, refused, stored_parts
from transfer.backends.gcs.token import GoogleToken
from transfer.config import RetryPolicy
from transfer.errors import BucketMissing, CredentialsRejected
from transfer.model import Copied, Failed, Skipped

WAYS = ["stream", "parts"]
LANES = {"stream": 1, "parts": 4}
REQUESTS = {
    "stream": {"stat": "GET /storage", "open": r"POST /upload.*uploadType=resumable", "chunk": "PUT /upload"},
    "parts": {
        "stat": "GET /storage",
        "open": r"POST .*\?uploads$",
        "part": "PUT .*partNumber=2",
        "last part": "PUT .*partNumber=3",
        "complete": "POST .*uploadId=",
    },
}
KINDS = [(way, kind) for way in WAYS for kind in REQUESTS[way]]


def copy(rig: EngineRig, way: str):
    return rig.copy(listed(rig, way), lanes=LANES[way])


@pytest.mark.parametrize(("way", "kind"), KINDS)
@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("status", {"status": 503}),
        ("status", {"status": 429, "headers": {"Retry-After": "0"}}),
        ("reset", {}),
        ("lose_answer", {}),
    ],
)
def test_a_passing_fault_is_retried(large: EngineRig, bodies, way: str, kind: str, action: str, fields: dict) -> None:
    large.gcs.faults.replace([fault(REQUESTS[way][kind], action, times=1, **fields)])
    outcome = copy(large, way)
    if (way, kind, action) == (
        "parts",
        "open",
        "lose_answer",
    ):  # its id is lost: it stays, empty, and costs nothing
        ((name, token),) = open_parts(large)
        assert stored_parts(large, name, token) == []
        assert [record["token"] for record in records(large).values()] == [
            ""
        ]  # the note by which the end of the run finds it
        assert large.stored(way) == bodies[way]
        return
    is_started_in_vain = (way, kind) == ("parts", "open")
    assert arrived(large, way, bodies[way], outcome, notes_may_stay=is_started_in_vain).attempts <= 2


@pytest.mark.parametrize(("way", "kind"), [item for item in KINDS if item[1] != "stat"])
@pytest.mark.parametrize(("status", "code"), [(503, "SinkUnavailable"), (429, "Throttled"), (412, "")])
def test_a_lasting_fault_fails_the_object_by_name(
    large: EngineRig, way: str, kind: str, status: int, code: str
) -> None:
    """Only a stream is under a condition; 412 of anything else is a refusal."""
    large.gcs.faults.replace([fault(REQUESTS[way][kind], "status", status=status)])
    outcome = copy(large, way)
    # The upload may have been started all the same.
    failure = refused(large, outcome, notes_may_stay=(way, kind) == ("parts", "open") and status != 412)
    code = code or {"stream": "DestinationConflict", "parts": "DestinationRefused"}[way]
    assert (failure.error_code, failure.http_status, failure.stage) == (code, status, "upload")


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_bucket_is_fatal(large: EngineRig, way: str) -> None:
    body = '{"error": {"message": "The specified bucket does not exist.", "errors": [{"reason": "notFound"}]}}'
    large.gcs.faults.replace([fault("POST", "status", status=404, body=body)])
    with pytest.raises(BucketMissing, match=DESTINATION):
        copy(large, way)


@pytest.mark.parametrize(
    ("way", "request_", "at_byte"), [("stream", "PUT /upload", 1000), ("parts", "PUT .*partN", PART - 1)]
)
def test_bits_flipped_during_the_upload_are_noticed(
    large: EngineRig, bodies, way: str, request_: str, at_byte: int
) -> None:
    large.gcs.faults.replace([fault(request_, "corrupt", times=1, at_byte=at_byte)])
    assert arrived(large, way, bodies[way], copy(large, way)).attempts <= 2

    large.storage.bucket(DESTINATION).blob(way).delete()
    large.gcs.faults.replace([fault(request_, "corrupt", at_byte=at_byte % MIB)])
    assert refused(large, copy(large, way)).error_code == "CorruptTransfer"


def test_a_session_that_stored_less_than_was_sent_gets_the_rest(large: EngineRig, bodies) -> None:
    """308 with a Range in the middle, as after a chunk that was cut short: the rest, and only that, is sent again."""
    cut = {"status": 308, "headers": {"Range": f"bytes=0-{MIB - 1}"}}
    truncated = fault("GET", "truncate", times=1, at_byte=2 * MIB)
    large.edge.faults.replace([truncated])
    large.gcs.faults.replace([fault("PUT /upload", "status", after=1, times=1, **cut)])
    outcome = arrived(large, "stream", bodies["stream"], copy(large, "stream"))
    assert outcome.attempts == 2
    assert large.edge.requests()["GET range 206"] >= 1


@pytest.mark.parametrize("range_", ["", "bytes=0-262143"])
def test_a_session_that_never_stores_everything_fails_the_object(large: EngineRig, range_: str) -> None:
    large.gcs.faults.replace([fault("PUT /upload", "status", status=308, headers={"Range": range_} if range_ else {})])
    failure = refused(large, copy(large, "stream"))
    assert (failure.error_code, failure.http_status) == ("SinkUnavailable", 308)


@pytest.mark.parametrize(("way", "status"), [("stream", 404), ("stream", 410), ("parts", 404)])
def test_an_upload_that_no_longer_exists_is_started_again(large: EngineRig, bodies, way: str, status: int) -> None:
    gone = REQUESTS[way]["chunk" if way == "stream" else "part"]
    large.gcs.faults.replace([fault(gone, "status", times=1, status=status)])
    assert arrived(large, way, bodies[way], copy(large, way)).attempts == 2


@pytest.mark.parametrize("way", WAYS)
def test_an_object_that_another_writer_wrote_meanwhile_is_kept(large: EngineRig, way: str) -> None:
    held_up = "PUT /upload" if way == "stream" else "PUT .*partNumber=3"
    large.gcs.faults.replace([fault(held_up, "delay", times=1, seconds=0.5)])
    thread = _write_foreign(large, way, once="PUT" if way == "stream" else "xml.initiate 200")
    outcome = copy(large, way)
    thread.join()
    _assert_is_foreign(large, way, outcome)


def test_an_object_that_another_writer_wrote_right_after_the_parts_were_joined_is_kept(large: EngineRig) -> None:
    """The object that is found after the completion is of another writer, and must not be removed."""
    large.gcs.faults.replace([fault("GET /storage.*/o/parts", "delay", after=2, times=1, seconds=0.5)])
    thread = _write_foreign(large, "parts", once="xml.complete 200")
    outcome = large.copy(listed(large, "parts"))
    thread.join()
    _assert_is_foreign(large, "parts", outcome)


def _write_foreign(rig: EngineRig, name: str, *, once: str) -> threading.Thread:
    before = rig.gcs.requests().get(once, 0)

    def write() -> None:
        deadline = time.monotonic() + 10
        while once != "PUT" and rig.gcs.requests().get(once, 0) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        if once == "PUT":
            time.sleep(0.25)
        rig.storage.bucket(DESTINATION).blob(name).upload_from_string(b"foreign")

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def _assert_is_foreign(rig: EngineRig, name: str, outcome: object) -> None:
    assert isinstance(outcome, Failed)
    assert (outcome.failure.error_code, outcome.failure.http_status) == ("DestinationConflict", 412)
    assert rig.stored(name) == b"foreign"
    assert rig.progress.stats().bytes_copied == 0
    assert left_behind(rig) == []


@pytest.mark.parametrize("way", WAYS)
def test_the_generation_that_was_listed_is_replaced_and_a_second_delivery_skipped(
    large: EngineRig, bodies, way: str
) -> None:
    blob = large.storage.bucket(DESTINATION).blob(way)
    blob.upload_from_string(b"older")
    arrived(large, way, bodies[way], large.copy(listed(large, way, replaces_generation=blob.generation), lanes=2))
    asked = large.edge.requests()
    assert isinstance(large.copy(listed(large, way, replaces_generation=blob.generation)), Skipped)
    assert large.edge.requests() == asked


class _Tokens(Credentials):
    """Credentials whose tokens are numbered."""

    def __init__(self) -> None:
        super().__init__()
        self.renewals = 0

    def refresh(self, request: object) -> None:
        self.renewals += 1
        self.token, self.expiry = f"token-{self.renewals}", datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)


@pytest.mark.parametrize(("way", "kind"), KINDS)
def test_a_refused_token_is_renewed_once(large: EngineRig, bodies, way: str, kind: str) -> None:
    credentials = _Tokens()
    large.token = GoogleToken(credentials, request=lambda: None)
    try:
        large.token()
        large.token._renewed_at_s -= 120  # it has served for two minutes
        large.gcs.faults.replace([fault(REQUESTS[way][kind], "status", times=1, status=401)])
        outcome = large.copy(listed(large, way))
        assert arrived(large, way, bodies[way], outcome, notes_may_stay=kind == "open").attempts == 2
        assert credentials.renewals == 2

        large.storage.bucket(DESTINATION).blob(way).delete()
        large.token._renewed_at_s -= 120
        large.gcs.faults.replace([fault(REQUESTS[way][kind], "status", status=401)])
        with pytest.raises(CredentialsRejected, match="401"):
            large.copy(listed(large, way))
        assert credentials.renewals == 3
        large.gcs.faults.replace([])
        assert large.names() == []
    finally:
        large.token = replace(large).token


def _plan(seed: int) -> tuple[list, list]:
    """Faults for both sides, each at another time and byte: equal for equal seeds."""
    draw = random.Random(seed)
    edge, sink = [], []
    for _ in range(5):
        action = draw.choice(["reset", "truncate", "stall", "status", "corrupt"])
        at_byte = draw.choice([0, PART - 1, PART, PART + 1, draw.randrange(2 * PART), draw.randrange(2 * MIB)])
        status = draw.choice([429, 500, 502, 503, 504])
        after = draw.randrange(5)
        edge.append(fault("GET", action, times=1, after=after, at_byte=at_byte, seconds=0.2, status=status))
    kinds = [pattern for way in WAYS for kind, pattern in REQUESTS[way].items()]
    for pattern in draw.choices(kinds, k=5):
        action = draw.choice(["reset", "status", "lose_answer", "delay", "corrupt"])
        if pattern == REQUESTS["parts"]["open"]:
            action = "status"  # a lost response leaves an upload of unknown id
        after = draw.randrange(2)
        sink.append(fault(pattern, action, times=1, after=after, at_byte=draw.randrange(MIB), seconds=0.1))
    return edge, sink


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(8))
def test_many_faults_at_a_time(large: EngineRig, bodies, way: str, seed: int) -> None:
    edge, sink = _plan(seed)
    large.edge.faults.replace(edge, seed=seed)
    large.gcs.faults.replace(sink, seed=seed)
    patient = replace(large, config=replace(large.config, retry=RetryPolicy(attempts=12, base_s=0.01, cap_s=0.05)))
    outcome = patient.copy(listed(large, way), lanes=LANES[way])
    assert isinstance(outcome, Copied)
    arrived(patient, way, bodies[way], outcome, notes_may_stay=True)


def test_a_session_that_holds_more_than_the_object_has_is_started_again(large: EngineRig, bodies) -> None:
    """A server may put what two connections sent at a time one behind the other."""
    too_much = {"status": 308, "headers": {"Range": f"bytes=0-{len(bodies['stream'])}"}}
    large.edge.faults.replace([fault("GET", "truncate", times=1, at_byte=2 * MIB)])
    large.gcs.faults.replace([fault("PUT /upload", "status", after=1, times=1, **too_much)])
    arrived(large, "stream", bodies["stream"], copy(large, "stream"))
