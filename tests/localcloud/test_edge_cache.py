"""The edge's cache: staleness, lifetimes, ranges from the cache, and errors that outlive their cause."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import IncompleteRead
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from localcloud.edge import EdgeServer
from localcloud.edge.cache import ttl_s
from localcloud.faults import Fault
from localcloud.s3 import S3Server

BUCKET = "edge-cache"
DAY_S = 86_400


@dataclass
class Clock:
    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start_edge(s3: S3Server, clock: Clock) -> Iterator[Callable[..., EdgeServer]]:
    """Starts a public distribution whose origin may list, so that a missing key is a 404."""
    started = []

    def start(**options: Any) -> EdgeServer:
        options |= {"access_key_id": s3.access_key_id, "secret_access_key": s3.secret_access_key}
        server = EdgeServer(s3.url, BUCKET, restrict=False, clock=clock, **options)
        server.start()
        started.append(server)
        return server

    s3.faults.replace([])
    yield start
    for server in started:
        server.stop()


def ask(edge: EdgeServer, target: str, method: str = "GET", **headers: str) -> SimpleNamespace:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        answer = urlopen(Request(edge.url + target, headers=named, method=method), timeout=10)
    except HTTPError as error:
        answer = error
    with answer:
        x_cache = answer.headers["X-Cache"].split()[0]
        return SimpleNamespace(status=answer.status, headers=answer.headers, body=answer.read(), x_cache=x_cache)


def test_optimized_serves_an_overwritten_object_stale_for_a_day(
    start_edge: Callable[..., EdgeServer], client: Any, clock: Clock
) -> None:
    edge = start_edge(caching="optimized")
    old = client.put_object(Bucket=BUCKET, Key="stale", Body=b"old")["ETag"]
    first = ask(edge, "/stale")
    assert (first.x_cache, first.headers["Age"]) == ("Miss", None)
    new = client.put_object(Bucket=BUCKET, Key="stale", Body=b"new")["ETag"]
    clock.now_s += DAY_S - 1
    stale = ask(edge, "/stale?versionId=ignored")
    assert (stale.x_cache, stale.body, stale.headers["ETag"]) == ("Hit", b"old", old)
    assert stale.headers["Age"] == str(DAY_S - 1)
    clock.now_s += 1
    fresh = ask(edge, "/stale")
    assert (fresh.x_cache, fresh.body, fresh.headers["ETag"]) == ("Miss", b"new", new)


def test_disabled_never_serves_stale(start_edge: Callable[..., EdgeServer], client: Any) -> None:
    edge = start_edge(caching="disabled")
    for body in (b"old", b"new"):
        client.put_object(Bucket=BUCKET, Key="direct", Body=body)
        answer = ask(edge, "/direct")
        assert (answer.x_cache, answer.body, answer.headers["Age"]) == ("Miss", body, None)


def test_an_unchanged_object_is_refreshed(
    start_edge: Callable[..., EdgeServer], s3: S3Server, client: Any, clock: Clock
) -> None:
    edge = start_edge(caching="optimized")
    client.put_object(Bucket=BUCKET, Key="brief", Body=b"same", CacheControl="max-age=30")
    assert ask(edge, "/brief").x_cache == "Miss"
    clock.now_s += 31
    refreshed = ask(edge, "/brief")
    assert (refreshed.x_cache, refreshed.body, refreshed.headers["Age"]) == ("RefreshHit", b"same", None)
    assert ask(edge, "/brief").x_cache == "Hit"
    clock.now_s += 31
    s3.faults.replace([Fault(match="GET .*brief", action="status", status=503)])
    assert ask(edge, "/brief").body == b"same"  # while the origin fails, what has expired is served


@pytest.mark.parametrize(
    ("cache_control", "expected_s"),
    [
        (None, DAY_S),
        ("public", DAY_S),
        ("max-age=60", 60),
        ("public, max-age=60, s-maxage=90", 90),
        ("max-age=0", 1),
        ("no-cache", 1),
        ("private, max-age=600", 1),
        ("max-age=99999999999", 31_536_000),
    ],
)
def test_lifetimes_of_caching_optimized(cache_control: str | None, expected_s: float) -> None:
    assert ttl_s(cache_control) == expected_s


@pytest.mark.parametrize("size", [0, 10, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_what_the_cache_serves_is_what_the_origin_has(
    start_edge: Callable[..., EdgeServer], client: Any, size: int
) -> None:
    edge = start_edge(caching="optimized")
    body = hashlib.shake_128(b"seed").digest(size)
    etag = client.put_object(Bucket=BUCKET, Key="sized", Body=body, Metadata={"color": "blue"})["ETag"]
    for x_cache in ("Miss", "Hit"):
        answer = ask(edge, "/sized")
        assert (answer.x_cache, answer.body, answer.headers["x-amz-meta-color"]) == (x_cache, body, "blue")
    head = ask(edge, "/sized", "HEAD")
    assert (head.x_cache, head.headers["Content-Length"], head.body) == ("Hit", str(size), b"")
    assert ask(edge, "/sized", If_None_Match=etag).status == 304
    assert ask(edge, "/sized", If_Match='"other"').status == 412


def test_ranges_are_cut_from_the_cache(start_edge: Callable[..., EdgeServer], client: Any) -> None:
    edge = start_edge(caching="optimized")
    etag = client.put_object(Bucket=BUCKET, Key="cut", Body=b"0123456789")["ETag"]
    assert ask(edge, "/cut", Range="bytes=2-4").x_cache == "Miss"  # a range alone is not kept
    ask(edge, "/cut")
    for field, status, body, content_range in [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=-4", 206, b"6789", "bytes 6-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
    ]:
        answer = ask(edge, "/cut", Range=field)
        assert (answer.status, answer.body, answer.headers["Content-Range"]) == (status, body, content_range)
    assert ask(edge, "/cut", Range="bytes=2-4", If_Range=etag).status == 206
    assert ask(edge, "/cut", Range="bytes=2-4", If_Range='"other"').status == 200


@pytest.mark.parametrize("caching", ["disabled", "optimized"])
def test_an_error_outlives_its_cause_by_its_lifetime(
    start_edge: Callable[..., EdgeServer], s3: S3Server, client: Any, clock: Clock, caching: str
) -> None:
    edge = start_edge(caching=caching)
    client.delete_object(Bucket=BUCKET, Key="late")
    missing = ask(edge, "/late")
    assert (missing.status, missing.x_cache) == (404, "Error")
    assert b"<Code>NoSuchKey</Code>" in missing.body
    client.put_object(Bucket=BUCKET, Key="late", Body=b"here")
    clock.now_s += 9
    cached = ask(edge, "/late")
    assert (cached.status, cached.body, cached.headers["Age"]) == (404, missing.body, "9")
    clock.now_s += 1
    assert ask(edge, "/late").body == b"here"

    client.put_object(Bucket=BUCKET, Key="slow", Body=b"here")
    s3.faults.replace([Fault(match="GET .*slow", action="status", status=503, body="<Error>SlowDown</Error>", times=1)])
    assert [ask(edge, "/slow").status for _ in range(3)] == [503, 503, 503]
    clock.now_s += 10
    assert ask(edge, "/slow").status == 200


def test_errors_are_not_cached_with_a_lifetime_of_zero(
    start_edge: Callable[..., EdgeServer], s3: S3Server, client: Any
) -> None:
    edge = start_edge(error_ttl_s=0)
    client.put_object(Bucket=BUCKET, Key="quick", Body=b"here")
    s3.faults.replace([Fault(match="GET .*quick", action="status", status=500, times=1)])
    assert [ask(edge, "/quick").status for _ in range(2)] == [500, 200]


def test_an_answer_broken_off_is_not_kept(start_edge: Callable[..., EdgeServer], s3: S3Server, client: Any) -> None:
    edge = start_edge(caching="optimized")
    client.put_object(Bucket=BUCKET, Key="half", Body=b"x" * 1_000_000)
    s3.faults.replace([Fault(match="GET .*half", action="truncate", at_byte=500_000, times=1)])
    with pytest.raises(IncompleteRead):
        ask(edge, "/half")
    whole = ask(edge, "/half")
    assert (whole.x_cache, len(whole.body)) == ("Miss", 1_000_000)
