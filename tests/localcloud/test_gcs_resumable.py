"""Resumable uploads of the local Cloud Storage, request by request."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gcs_clients import BUCKET, Wire, crc32c, serving

CHUNK = 256 * 1024
DATA = os.urandom(3 * CHUNK + 100)
TOTAL = len(DATA)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield Wire(server)


def put(wire: Wire, session: str, first: int, last: int, total: int | str = "*", **headers: str) -> tuple[int, str]:
    """Send bytes `first` to `last`; the status and what the server says it has."""
    headers = {"Content-Range": f"bytes {first}-{last}/{total}"} | headers
    answer = wire.send("PUT", session, DATA[first : last + 1], headers)
    return answer.status, answer.headers.get("range", "")


def ask(wire: Wire, session: str, total: int | str = TOTAL) -> tuple[int, str]:
    answer = wire.send("PUT", session, b"", {"Content-Range": f"bytes */{total}"})
    return answer.status, answer.headers.get("range", "")


def begin(wire: Wire, name: str, **resource: object) -> str:
    answer = wire.begin({"name": name, **resource})
    assert answer.status == 200
    return answer.headers["location"]


def test_an_interrupted_upload_goes_on_where_it_stopped(wire: Wire) -> None:
    session = begin(wire, "interrupted", metadata={"kept": "yes"})
    assert ask(wire, session) == (308, "")
    first = CHUNK + 1000
    headers = {"Content-Range": f"bytes 0-{TOTAL - 1}/{TOTAL}"}
    wire.break_off("PUT", session, DATA[:first], headers, TOTAL - first)
    assert ask(wire, session) == ask(wire, session, "*") == (308, f"bytes=0-{CHUNK - 1}")
    assert wire.metadata("interrupted").status == 404
    assert put(wire, session, CHUNK, 2 * CHUNK - 1) == (308, f"bytes=0-{2 * CHUNK - 1}")
    assert put(wire, session, CHUNK, 2 * CHUNK - 1) == (308, f"bytes=0-{2 * CHUNK - 1}")  # as after a lost answer
    assert put(wire, session, CHUNK, TOTAL - 1, TOTAL)[0] == 200
    after = wire.send("PUT", session, b"", {"Content-Range": f"bytes */{TOTAL}"})
    assert after.status == 200
    found = wire.metadata("interrupted").json
    assert (found["crc32c"], found["size"], found["metadata"]) == (crc32c(DATA), str(TOTAL), {"kept": "yes"})
    assert after.json["generation"] == found["generation"]
    assert wire.download("interrupted").body == DATA


def test_go_is_told_in_a_header_that_more_has_to_come(wire: Wire) -> None:
    session = begin(wire, "from go")
    headers = {"X-GUploader-No-308": "yes", "Content-Range": f"bytes 0-{CHUNK - 1}/*"}
    answer = wire.send("PUT", session, DATA[:CHUNK], headers)
    assert (answer.status, answer.headers["x-http-status-code-override"]) == (200, "308")
    assert answer.headers["range"] == f"bytes=0-{CHUNK - 1}"
    headers["Content-Range"] = f"bytes {CHUNK}-{TOTAL - 1}/{TOTAL}"
    answer = wire.send("PUT", session, DATA[CHUNK:], headers)
    assert (answer.status, answer.json["size"]) == (200, str(TOTAL))
    assert "x-http-status-code-override" not in answer.headers


def test_only_multiples_of_256_kib_are_kept(wire: Wire) -> None:
    session = begin(wire, "odd")
    assert put(wire, session, 0, CHUNK + 9) == (308, f"bytes=0-{CHUNK - 1}")
    assert put(wire, session, CHUNK, CHUNK + 9)[0] == 400
    assert put(wire, session, 2 * CHUNK, 3 * CHUNK - 1)[0] == 503  # a gap
    assert ask(wire, session) == (308, f"bytes=0-{CHUNK - 1}")
    assert put(wire, session, CHUNK, TOTAL - 1, TOTAL)[0] == 200


@pytest.mark.parametrize("text", ["bytes 5-2/10", "bytes 0-9/5", "bytes a-b/c", "0-5/6"])
def test_a_malformed_content_range_is_refused(wire: Wire, text: str) -> None:
    session = begin(wire, "malformed")
    assert wire.send("PUT", session, b"123456", {"Content-Range": text}).status == 400
    assert ask(wire, session) == (308, "")


def test_a_put_without_content_range_is_the_whole_object(wire: Wire) -> None:
    session = begin(wire, "whole")
    assert wire.send("PUT", session, DATA).status == 200
    assert wire.download("whole").body == DATA
    chunked = begin(wire, "chunked")
    pieces = (DATA[at : at + 100_000] for at in range(0, TOTAL, 100_000))
    assert wire.send("PUT", chunked, pieces).status == 200
    assert wire.metadata("chunked").json["crc32c"] == crc32c(DATA)


def test_a_size_of_nothing_completes_with_a_query(wire: Wire) -> None:
    session = begin(wire, "nothing")
    assert ask(wire, session, 0)[0] == 200
    assert wire.metadata("nothing").json["size"] == "0"


@pytest.mark.parametrize("resource", [{"crc32c": "AAAAAA=="}, {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}])
def test_a_mismatch_with_the_metadata_leaves_no_object(wire: Wire, resource: dict[str, str]) -> None:
    session = begin(wire, "mismatch", **resource)
    assert put(wire, session, 0, CHUNK - 1)[0] == 308
    assert put(wire, session, CHUNK, TOTAL - 1, TOTAL)[0] == 400
    assert wire.metadata("mismatch").status == 404
    assert ask(wire, session)[0] == 404


@pytest.mark.parametrize("hashes", ["crc32c=AAAAAA==", "md5=AAAAAAAAAAAAAAAAAAAAAA==", "crc32c=no", "crc32c=é"])
def test_a_mismatch_in_the_last_request_leaves_no_object(wire: Wire, hashes: str) -> None:
    session = begin(wire, "late")
    assert put(wire, session, 0, CHUNK - 1)[0] == 308
    assert put(wire, session, CHUNK, TOTAL - 1, TOTAL, **{"X-Goog-Hash": hashes})[0] == 400
    assert wire.metadata("late").status == 404


def test_a_right_hash_in_the_last_request_passes(wire: Wire) -> None:
    session = begin(wire, "right")
    assert put(wire, session, 0, TOTAL - 1, TOTAL, **{"X-Goog-Hash": f"crc32c={crc32c(DATA)}"})[0] == 200


def test_a_cancelled_upload_is_gone(wire: Wire) -> None:
    session = begin(wire, "cancelled")
    assert put(wire, session, 0, CHUNK - 1)[0] == 308
    assert wire.send("DELETE", session, headers={"Content-Length": "0"}).status == 499
    assert ask(wire, session)[0] == put(wire, session, CHUNK, TOTAL - 1, TOTAL)[0] == 404
    assert wire.metadata("cancelled").status == 404


def test_preconditions_hold_at_the_beginning_and_at_the_end(wire: Wire) -> None:
    first = wire.begin({"name": "raced"}, ifGenerationMatch="0")
    second = wire.begin({"name": "raced"}, ifGenerationMatch="0")
    assert put(wire, first.headers["location"], 0, TOTAL - 1, TOTAL)[0] == 200
    assert put(wire, second.headers["location"], 0, TOTAL - 1, TOTAL)[0] == 412
    assert wire.begin({"name": "raced"}, ifGenerationMatch="0").status == 412


def test_a_bad_field_selection_leaves_the_old_object(wire: Wire) -> None:
    wire.upload("selected", b"old")
    session = begin(wire, "selected")
    assert wire.send("PUT", f"{session}&fields=name(", DATA).status == 400
    assert wire.upload("selected", b"new", fields="name(").status == 400
    assert wire.download("selected").body == b"old"
    assert wire.call("DELETE", f"b/{BUCKET}/o/selected", fields="a(").status == 400
    assert wire.metadata("selected").status == 200
