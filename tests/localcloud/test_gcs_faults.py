"""Faults of the local Cloud Storage, set over its control path."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gcs_clients import BUCKET, Wire, connect, crc32c, serving
from localcloud.gcs import GcsServer

CHUNK = 256 * 1024
FLIPPED = b"c"  # what "b" becomes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def wire(server: GcsServer) -> Iterator[Wire]:
    wire = Wire(server)
    yield wire
    wire.control("DELETE", "faults")


def test_an_object_is_refused_by_its_name_however_it_is_made(wire: Wire) -> None:
    """The name stands in the body of most requests; a plan for names says nothing of requests."""
    wire.fail(match=rf"INSERT {BUCKET}/no/.*", action="status", status=412, body="orgPolicyConstraintFailed: forbidden")
    for made in (wire.upload("no/1", b"x"), wire.upload_related({"name": "no/2"}, b"x")):
        assert (made.status, made.json["error"]["errors"][0]["reason"]) == (412, "orgPolicyConstraintFailed")
    put = wire.send("PUT", f"/{BUCKET}/no/3", b"x")
    assert (put.status, b"<Code>OrgPolicyConstraintFailed</Code>" in put.body) == (412, True)
    assert wire.metadata("no/1").status == 404
    assert wire.upload("yes/no/1", b"x").status == 200


def test_a_status_strikes_as_often_as_it_says_and_does_nothing_else(server: GcsServer, wire: Wire) -> None:
    wire.fail(match="POST /upload/", action="status", status=429, headers={"Retry-After": "0"}, body="slow", times=1)
    wire.control("DELETE", "requests")
    answer = wire.upload("limited", b"data")
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "0", b"slow")
    assert wire.metadata("limited").status == 404
    assert wire.upload("limited", b"data").status == 200
    assert wire.control("GET", "faults")["faults"][0]["hits"] == 1
    assert wire.control("GET", "requests") == {"POST 429": 1, "objects.insert 200": 1, "objects.get 404": 1}


def test_the_python_client_retries_what_may_be_retried(server: GcsServer, wire: Wire) -> None:
    wire.fail(match="/upload/", action="status", status=503, times=1)
    blob = connect(server).bucket(BUCKET).blob("retried")
    blob.upload_from_string(b"data", if_generation_match=0)
    assert blob.download_as_bytes() == b"data"


def test_a_lost_answer_leaves_the_object(wire: Wire) -> None:
    wire.fail(match="POST /upload/", action="lose_answer", times=1)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        wire.upload("lost", b"data", ifGenerationMatch="0")
    assert wire.upload("lost", b"data", ifGenerationMatch="0").status == 412
    assert wire.download("lost").body == b"data"


def test_a_lost_answer_at_the_end_of_a_resumable_upload_can_be_asked_for(wire: Wire) -> None:
    session = wire.begin({"name": "lost end"}).headers["location"]
    wire.fail(match="PUT .*upload_id", action="lose_answer", times=1)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        wire.send("PUT", session, b"data", {"Content-Range": "bytes 0-3/4"})
    answer = wire.send("PUT", session, b"", {"Content-Range": "bytes */4"})
    assert (answer.status, answer.json["generation"]) == (200, wire.metadata("lost end").json["generation"])


def test_a_lost_answer_of_a_delete_leaves_nothing(wire: Wire) -> None:
    wire.upload("deleted", b"data")
    wire.fail(match="DELETE ", action="lose_answer", times=1)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        wire.call("DELETE", f"b/{BUCKET}/o/deleted")
    assert wire.call("DELETE", f"b/{BUCKET}/o/deleted").status == 404


def test_corrupting_an_upload_changes_what_is_stored(wire: Wire) -> None:
    data, damaged = b"aabaa", b"aa" + FLIPPED + b"aa"
    wire.fail(match="(POST /upload/|PUT )", action="corrupt", at_byte=2)
    assert wire.upload("corrupt", data).json["crc32c"] == crc32c(damaged) != crc32c(data)
    assert wire.upload_related({"name": "corrupt"}, data).json["crc32c"] == crc32c(damaged)
    assert wire.send("PUT", f"/{BUCKET}/corrupt", data).headers["x-goog-hash"].startswith(f"crc32c={crc32c(damaged)}")
    assert wire.download("corrupt").body == damaged
    session = wire.begin({"name": "corrupt"}).headers["location"]
    assert wire.send("PUT", session, data).json["crc32c"] == crc32c(damaged)


def test_corrupting_an_upload_with_a_checksum_fails_it(wire: Wire) -> None:
    wire.fail(match="POST /upload/", action="corrupt", at_byte=2, times=1)
    headers = {"X-Goog-Hash": f"crc32c={crc32c(b'data')}"}
    assert wire.upload("checked", b"data", headers).status == 400
    assert wire.metadata("checked").status == 404
    assert wire.upload("checked", b"data", headers).status == 200


def test_corrupting_one_part_shows_in_the_whole(wire: Wire) -> None:
    target = f"/{BUCKET}/parts"
    upload = wire.send("POST", f"{target}?uploads").body.decode().partition("<UploadId>")[2].partition("<")[0]
    first, last = os.urandom(5 << 20), b"aabaa"
    wire.fail(match="partNumber=2", action="corrupt", at_byte=2)
    tags = [
        wire.send("PUT", f"{target}?partNumber={number}&uploadId={upload}", data).headers["etag"]
        for number, data in ((1, first), (2, last))
    ]
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in enumerate(tags, 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    assert wire.send("POST", f"{target}?uploadId={upload}", body).status == 200
    assert wire.metadata("parts").json["crc32c"] == crc32c(first + b"aa" + FLIPPED + b"aa")


def test_downloads_are_cut_reset_and_corrupted(wire: Wire) -> None:
    data = os.urandom(2 * CHUNK)
    wire.upload("down", data)
    wire.fail(match="alt=media", action="truncate", at_byte=CHUNK + 1)
    with pytest.raises(http.client.IncompleteRead) as cut:
        wire.download("down")
    assert cut.value.partial == data[: CHUNK + 1]
    wire.fail(match="alt=media", action="reset", at_byte=10)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        wire.download("down")
    wire.fail(match="alt=media", action="corrupt", at_byte=CHUNK)
    body = wire.download("down").body
    assert [at for at in range(len(data)) if data[at] != body[at]] == [CHUNK]


def test_a_delay_and_a_stall_take_their_time(wire: Wire) -> None:
    wire.upload("slow", b"data")
    for action in ("delay", "stall"):
        wire.fail(match="alt=media", action=action, seconds=0.3, at_byte=1)
        begun = time.monotonic()
        assert wire.download("slow").body == b"data"
        assert time.monotonic() - begun >= 0.3


def test_a_delay_ends_with_its_plan(wire: Wire) -> None:
    wire.upload("held", b"data")
    wire.fail(match="alt=media", action="delay", seconds=600)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(wire.download, "held")
        while not wire.control("GET", "faults")["faults"][0]["hits"]:
            assert not held.done()
        wire.control("DELETE", "faults")
        assert held.result(timeout=10).body == b"data"


def test_a_bad_plan_is_refused(wire: Wire) -> None:
    assert "error" in wire.control("PUT", "faults", {"faults": [{"match": "x", "action": "explode"}]})
    assert "error" in wire.control("PUT", "faults", {"faults": [{"match": "x", "action": "status", "odd": 1}]})
    assert wire.control("GET", "faults")["faults"] == []
