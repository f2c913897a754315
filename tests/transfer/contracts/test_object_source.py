"""What every object source does, over the edge of the local cloud and over one of the standard library."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine_rig import EngineRig, fault
from large_objects import listed
from plain_servers import PlainEdge
from transfer.backends.cloudfront.signing import PublicUrls
from transfer.backends.cloudfront.source import EdgeSource
from transfer.backends.crc32c import crc32c_of
from transfer.backends.http.client import CurlClient
from transfer.backends.http.loop import CurlLoop
from transfer.errors import SourceChanged, SourceNotFound, SourceUnavailable, SourceUnproven, Stage
from transfer.model import ObjectMeta
from transfer.ports import ObjectSource
from transfer.steps import Pause, Step

KIB = 1024
BODIES = {
    "empty": b"",
    "one byte": b"x",
    "a b/ü+%2F?#&": os.urandom(10_000),
    "large": os.urandom(1500 * KIB + 7),
}


@dataclass(kw_only=True)
class Edge:
    """A source, what its bucket lists, and how its server withholds ETags from now on."""

    source: ObjectSource
    listed: Callable[[str], ObjectMeta]
    withhold_etags: Callable[[], None]
    rig: EngineRig

    def run(self, step: Step[Any]) -> Any:
        """The step's result, driven beside others as in a worker."""
        results: list[Any] = []

        def lane() -> Step[None]:
            results.append((yield from step))

        CurlLoop(self.rig.stop).run([lane()])
        return results[0]


def source_of(rig: EngineRig, url: str) -> EdgeSource:
    curl = CurlClient(unavailable=SourceUnavailable, stage=Stage.DOWNLOAD, timeouts=rig.config.timeouts)
    return EdgeSource(curl, base_url=url, prefix="", authorizer=PublicUrls())


PLAIN: dict[str, dict[str, Any]] = {
    "plain": {},
    "plain, chunked": {"framing": "chunked"},
    "plain, no ranges": {"has_ranges": False},
    "plain, HTTP/1.0": {"framing": "close", "has_ranges": False},
}


@pytest.fixture(params=["local cloud", *PLAIN])
def edge(request: pytest.FixtureRequest, rig: EngineRig) -> Iterator[Edge]:
    if request.param == "local cloud":
        for key, body in BODIES.items():
            rig.put(key, body)
        yield Edge(
            source=source_of(rig, rig.edge.url),
            listed=lambda key: listed(rig, key),
            withhold_etags=lambda: rig.edge.faults.replace([fault("GET", "rewrite", headers={"ETag": ""})]),
            rig=rig,
        )
        return

    def meta(key: str) -> ObjectMeta:
        etag = hashlib.md5(BODIES[key]).hexdigest()
        return ObjectMeta(key=key, size_bytes=len(BODIES[key]), etag=etag, last_modified_s=0)

    with PlainEdge(bodies=dict(BODIES), **PLAIN[request.param]) as server:

        def withhold_etags() -> None:
            server.etag = lambda md5: None

        yield Edge(source=source_of(rig, server.url), listed=meta, withhold_etags=withhold_etags, rig=rig)


@pytest.mark.parametrize("key", BODIES)
def test_a_whole_object_comes_in_one_piece(edge: Edge, key: str) -> None:
    fetched = edge.run(edge.source.fetch(edge.listed(key)))
    assert bytes(fetched.body) == BODIES[key]
    assert fetched.headers["etag"].strip('"') == hashlib.md5(BODIES[key]).hexdigest()


@pytest.mark.parametrize(("start", "count"), [(0, 1500 * KIB + 7), (0, 10), (1000 * KIB, 500 * KIB + 7), (12_345, 1)])
def test_a_range_is_read_exactly(edge: Edge, start: int, count: int) -> None:
    seen = bytearray()
    headers = edge.run(edge.source.read(edge.listed("large"), start, count, seen.extend))
    assert seen == BODIES["large"][start : start + count]
    assert headers["etag"].strip('"') == hashlib.md5(BODIES["large"]).hexdigest()


def test_a_stream_waits_until_it_is_taken_and_may_be_closed_early_and_twice(edge: Edge) -> None:
    item = edge.listed("large")

    def step() -> Step[bytes]:
        stream: Any = yield from edge.source.open(item, 100, item.size_bytes - 100)
        while not (data := stream.take(50)):
            yield Pause(0.001)
        assert stream.headers["etag"]
        stream.close()
        stream.close()
        return data

    taken = edge.run(step())
    assert taken and BODIES["large"][100:].startswith(taken)
    assert bytes(edge.run(edge.source.fetch(edge.listed("one byte"))).body) == b"x", "the source can be used again"


def test_a_checksum_is_that_of_the_bytes_however_many_requests_it_takes(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.backends.cloudfront.source.MAX_GET_BYTES", 700 * KIB)
    item = edge.listed("large")
    assert edge.run(edge.source.checksum(item, 0, item.size_bytes)) == crc32c_of(BODIES["large"])
    assert edge.run(edge.source.checksum(item, 5, 1000 * KIB)) == crc32c_of(BODIES["large"][5 : 5 + 1000 * KIB])


def test_a_checksum_of_nobody_knows_what_is_refused(edge: Edge) -> None:
    item = edge.listed("large")
    edge.withhold_etags()
    with pytest.raises(SourceUnproven):
        edge.run(edge.source.checksum(item, 0, item.size_bytes))


def test_an_object_of_another_etag_is_refused_and_the_source_can_be_used_again(edge: Edge) -> None:
    item = edge.listed("a b/ü+%2F?#&")
    other = replace(item, etag="0" * 32)
    with pytest.raises(SourceChanged):
        edge.run(edge.source.fetch(other))
    with pytest.raises(SourceChanged):
        edge.run(edge.source.read(other, 0, 100, lambda data: None))
    assert bytes(edge.run(edge.source.fetch(item)).body) == BODIES[item.key]


@pytest.mark.parametrize("size_bytes", [9_999, 10_001])
def test_an_object_of_another_size_is_refused(edge: Edge, size_bytes: int) -> None:
    """One that is too short looks like a broken connection where its length was not announced."""
    other = replace(edge.listed("a b/ü+%2F?#&"), size_bytes=size_bytes)
    with pytest.raises((SourceChanged, SourceUnavailable)):
        edge.run(edge.source.fetch(other))


def test_an_object_that_is_gone_is_not_found(edge: Edge) -> None:
    gone = replace(edge.listed("one byte"), key="gone")
    with pytest.raises(SourceNotFound):
        edge.run(edge.source.fetch(gone))
    with pytest.raises(SourceNotFound):
        edge.run(edge.source.open(gone, 0, 1))
