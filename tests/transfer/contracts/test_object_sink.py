"""What every object sink does, over the Cloud Storage of the local cloud and over one of the standard library."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine_rig import EngineRig
from plain_servers import PlainEdge, PlainGcs
from transfer.backends.cloudfront.signing import PublicUrls
from transfer.backends.cloudfront.source import EdgeSource
from transfer.backends.crc32c import crc32c_of
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.http.client import CurlClient
from transfer.backends.http.loop import CurlLoop
from transfer.errors import CorruptTransfer, GenerationMismatch, SourceUnavailable, Stage, UploadGone
from transfer.labels import MTIME_KEY, SOURCE_ETAG_KEY, proof_text
from transfer.model import DestinationObject, ObjectMeta, Proof, Removed
from transfer.ports import ObjectSink, StreamUpload
from transfer.steps import Step

KIB = 1024
MIB = 1024 * KIB
NAME = "a b/ü+%2F?#&"
BODY = os.urandom(6 * MIB + 7)
LABEL = {"metadata": {SOURCE_ETAG_KEY: "e-1", MTIME_KEY: "5", "mine": "x"}, "contentType": "text/plain"}


@pytest.fixture(params=["local cloud", "plain"])
def sink(request: pytest.FixtureRequest, rig: EngineRig) -> Iterator[ObjectSink]:
    if request.param == "local cloud":
        yield GcsSink(rig.gcs_client())
        return
    with PlainGcs() as server:
        plain: Any = server
        yield GcsSink(replace(rig, gcs=plain).gcs_client())


@pytest.fixture
def run(rig: EngineRig) -> Callable[[Step[Any]], Any]:
    """Drives a step to its result, as a lane of a worker does."""

    def driven(step: Step[Any]) -> Any:
        results: list[Any] = []

        def lane() -> Step[None]:
            results.append((yield from step))

        CurlLoop(rig.stop).run([lane()])
        return results[0]

    return driven


@pytest.fixture
def stream(rig: EngineRig) -> Iterator[Callable[[int, int], Step[Any]]]:
    """Opens bytes of BODY at an edge."""
    item = ObjectMeta(key="body", size_bytes=len(BODY), etag=hashlib.md5(BODY).hexdigest(), last_modified_s=0)
    with PlainEdge(bodies={"body": BODY}) as edge:
        curl = CurlClient(unavailable=SourceUnavailable, stage=Stage.DOWNLOAD, timeouts=rig.config.timeouts)
        source = EdgeSource(curl, base_url=edge.url, prefix="", authorizer=PublicUrls())
        yield lambda start, count: source.open(item, start, count)


def is_content(stored: DestinationObject | None, body: bytes) -> bool:
    return stored is not None and (stored.size_bytes, stored.crc32c) == (len(body), crc32c_of(body))


# Small objects


@pytest.mark.parametrize("body", [b"", b"x", BODY[: 200 * KIB]], ids=["empty", "one byte", "200 KiB"])
def test_a_small_object_is_stored_and_found(sink: ObjectSink, run, body: bytes) -> None:
    stored = run(sink.put(NAME, memoryview(body), LABEL, 0, proof=Proof.CRC32C))
    assert is_content(stored, body) and stored.generation
    assert (stored.name, stored.source_etag, stored.source_mtime) == (NAME, "e-1", "5")
    assert stored.proof == proof_text(crc32c_of(body), Proof.CRC32C)
    found = run(sink.stat(NAME))
    assert (found.generation, found.proof, found.crc32c) == (stored.generation, stored.proof, stored.crc32c)
    assert run(sink.read(NAME)) == body


def test_a_write_is_on_condition_of_the_generation(sink: ObjectSink, run) -> None:
    first = run(sink.put(NAME, b"1", {}, 0))
    for generation in (0, first.generation + 1):
        with pytest.raises(GenerationMismatch):
            run(sink.put(NAME, b"2", {}, generation))
    assert run(sink.read(NAME)) == b"1"
    second = run(sink.put(NAME, b"2", {}, first.generation))
    assert second.generation != first.generation
    run(sink.put(NAME, b"3", {}, None))
    assert run(sink.read(NAME)) == b"3"


def test_bytes_that_are_not_the_sources_are_not_stored(sink: ObjectSink, run) -> None:
    with pytest.raises(CorruptTransfer, match="nothing was stored"):
        run(sink.put(NAME, b"x", {"crc32c": crc32c_of(b"y")}, 0))
    assert run(sink.stat(NAME)) is None


def test_an_absent_object_is_none(sink: ObjectSink, run) -> None:
    assert run(sink.stat(NAME)) is None
    assert run(sink.read(NAME)) is None
    assert list(run(sink.replaced_versions("never written"))) == []
    assert list(run(sink.open_parts(NAME))) == []


def test_a_deletion_is_on_condition_of_the_generation(sink: ObjectSink, run) -> None:
    stored = run(sink.put(NAME, b"x", {}, 0))
    with pytest.raises(GenerationMismatch):
        run(sink.delete(NAME, stored.generation + 1))
    assert run(sink.delete(NAME, stored.generation)) is Removed.NOW
    assert run(sink.delete(NAME)) is Removed.BEFORE
    run(sink.put(NAME, b"x", {}, 0))
    assert run(sink.delete(NAME)) is Removed.NOW
    assert run(sink.stat(NAME)) is None


def test_a_wrong_object_is_removed_and_the_transfer_is_corrupt(sink: ObjectSink, run) -> None:
    stored = run(sink.put(NAME, b"x", {}, 0))
    with pytest.raises(CorruptTransfer, match="why; the object was removed"):
        run(sink.remove(stored, "why"))
    assert run(sink.stat(NAME)) is None


def test_a_label_is_bound_to_the_generation_that_is_there(sink: ObjectSink, run) -> None:
    """A server that cannot change metadata leaves the object as it is."""
    stored, text = run(sink.put(NAME, b"x", LABEL, 0)), proof_text(crc32c_of(b"x"), Proof.ETAG_MD5)
    bound = run(sink.set_proof(stored, text))
    assert (bound.generation, bound.source_etag) == (stored.generation, "e-1")
    if bound.proof:
        assert bound.proof == run(sink.set_proof(stored, text)).proof == text
        replaced = run(sink.put(NAME, b"y", LABEL, stored.generation))
        with pytest.raises(GenerationMismatch):
            run(sink.set_proof(stored, text))
        assert run(sink.stat(NAME)).generation == replaced.generation


# Streams


@pytest.mark.parametrize("count", [1, MIB, len(BODY)])
@pytest.mark.parametrize("has_md5", [True, False])
def test_a_stream_is_stored_in_one_request(sink: ObjectSink, run, stream, count: int, has_md5: bool) -> None:
    body, seen = BODY[:count], bytearray()

    def step() -> Step[DestinationObject]:
        md5 = hashlib.md5(body).hexdigest() if has_md5 else ""
        opened = yield from stream(0, count)
        stored = yield from sink.put_stream(NAME, opened, count, LABEL, 0, md5=md5, observe=seen.extend)
        opened.close()
        return stored

    assert is_content(run(step()), body)
    assert seen == body
    assert run(sink.read(NAME)) == body


@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_stream_of_another_md5_leaves_nothing(sink: ObjectSink, run, stream, is_at_once: bool) -> None:
    md5, count = hashlib.md5(b"another").hexdigest(), MIB

    def step() -> Step[None]:
        opened = yield from stream(0, count)
        if is_at_once:
            yield from sink.put_stream(NAME, opened, count, {}, 0, md5=md5, observe=lambda data: None)
        else:
            upload = yield from sink.begin_stream(NAME, count, {}, 0, md5=md5)
            yield from upload.send(opened, 0, count, lambda data: None)

    with pytest.raises(CorruptTransfer):
        run(step())
    assert run(sink.stat(NAME)) is None


def send(upload: StreamUpload, stream, start: int, count: int, observe) -> Step[int | DestinationObject]:
    opened = yield from stream(start, count)
    held = yield from upload.send(opened, start, count, observe)
    opened.close()
    return held


def test_an_upload_in_order_shows_nothing_before_its_last_byte(sink: ObjectSink, run, stream) -> None:
    seen = bytearray()
    upload = run(sink.begin_stream(NAME, len(BODY), LABEL, 0, md5=hashlib.md5(BODY).hexdigest()))
    assert run(upload.position()) == 0
    assert run(send(upload, stream, 0, 512 * KIB, seen.extend)) == 512 * KIB
    assert run(upload.position()) == 512 * KIB
    assert run(sink.stat(NAME)) is None
    stored = run(send(upload, stream, 512 * KIB, len(BODY) - 512 * KIB, seen.extend))
    assert is_content(stored, BODY) and stored.source_etag == "e-1"
    assert seen == BODY
    assert is_content(run(sink.stat(NAME)), BODY)


def test_an_upload_in_order_is_resumed_by_its_token(sink: ObjectSink, run, stream) -> None:
    """Where a server's sessions can be named by a token; the others have none."""
    md5 = hashlib.md5(BODY).hexdigest()
    upload = run(sink.begin_stream(NAME, len(BODY), {}, 0, md5=md5))
    run(send(upload, stream, 0, 256 * KIB, lambda data: None))
    if upload.token:
        resumed = sink.stream_upload(NAME, upload.token, len(BODY), md5=md5)
        assert run(resumed.position()) == 256 * KIB
        stored = run(send(resumed, stream, 256 * KIB, len(BODY) - 256 * KIB, lambda data: None))
        assert is_content(stored, BODY)


def test_an_upload_in_order_is_on_condition_of_the_generation(sink: ObjectSink, run, stream) -> None:
    run(sink.put(NAME, b"older", {}, 0))

    def upload() -> Step[object]:
        started = yield from sink.begin_stream(NAME, 256 * KIB, {}, 0, md5="")
        return (yield from send(started, stream, 0, 256 * KIB, lambda data: None))

    with pytest.raises(GenerationMismatch):
        run(upload())
    assert run(sink.read(NAME)) == b"older"


def test_an_aborted_upload_is_gone(sink: ObjectSink, run) -> None:
    upload = run(sink.begin_stream(NAME, len(BODY), {}, 0, md5=""))
    run(upload.abort())
    run(upload.abort())
    with pytest.raises(UploadGone):
        run(upload.position())
    assert run(sink.stat(NAME)) is None


# Parts, where the server has them


def test_parts_in_any_order_become_the_object_when_they_are_joined(sink: ObjectSink, run, stream) -> None:
    upload = run(sink.begin_parts(NAME, {**LABEL, "contentType": "text/plain"}))
    if upload is None:
        assert not sink.takes_parts
        return
    assert [each.token for each in run(sink.open_parts(NAME))] == [upload.token]
    assert list(run(sink.open_parts(NAME[:-1]))) == []
    sizes = [(1, 0, 5 * MIB), (2, 5 * MIB, len(BODY) - 5 * MIB)]

    def put(number: int, start: int, count: int) -> Step[Any]:
        opened = yield from stream(start, count)
        part = yield from sink.parts_upload(NAME, upload.token).put(number, opened, count, wants_md5=True)
        opened.close()
        return part

    parts = [run(put(*each)) for each in reversed(sizes)][::-1]
    for part, (number, start, count) in zip(parts, sizes, strict=True):
        piece = BODY[start : start + count]
        assert (part.number, part.size_bytes, part.crc32c) == (number, count, crc32c_of(piece))
        assert part.md5 in ("", hashlib.md5(piece).hexdigest())
    assert run(upload.is_open()) and run(sink.stat(NAME)) is None
    with pytest.raises(CorruptTransfer, match="nothing was stored"):
        run(upload.complete(parts, base64.b64encode(b"1234").decode()))
    for _ in range(2):  # its answer may be lost
        stored = run(upload.complete(parts, crc32c_of(BODY)))
        assert is_content(stored, BODY) and stored.source_etag == "e-1"
    assert not run(upload.is_open())
    run(upload.abort())
    assert is_content(run(sink.stat(NAME)), BODY)


def test_aborted_parts_are_gone(sink: ObjectSink, run, stream) -> None:
    upload = run(sink.begin_parts(NAME, {}))
    if upload is None:
        return
    run(upload.abort())
    run(upload.abort())
    assert not run(upload.is_open())

    def put() -> Step[Any]:
        opened = yield from stream(0, MIB)
        try:
            return (yield from upload.put(1, opened, MIB, wants_md5=False))
        finally:
            opened.close()

    with pytest.raises(UploadGone):
        run(put())
    with pytest.raises(UploadGone):
        run(upload.complete([], ""))
    assert list(run(sink.open_parts(NAME))) == []
