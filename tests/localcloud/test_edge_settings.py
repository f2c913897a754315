"""What an owner sets on a distribution: the firewall, error pages, and headers taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from localcloud.edge import EdgeServer, ErrorPage, Settings
from localcloud.s3 import S3Server

BUCKET = "edge-settings"


@dataclass
class Clock:
    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def ask(edge: EdgeServer, target: str) -> SimpleNamespace:
    try:
        answer = urlopen(edge.url + target, timeout=10)
    except HTTPError as error:
        answer = error
    with answer:
        x_cache = answer.headers["X-Cache"].split()[0]
        return SimpleNamespace(status=answer.status, headers=answer.headers, body=answer.read(), x_cache=x_cache)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(s3: S3Server, client: Any, clock: Clock) -> Iterator[Callable[..., EdgeServer]]:
    client.put_object(Bucket=BUCKET, Key="a.log", Body=b"content", Metadata={"kept": "yes"})
    started = []

    def start(**settings: Any) -> EdgeServer:
        server = EdgeServer(
            s3.url,
            BUCKET,
            access_key_id=s3.access_key_id,
            secret_access_key=s3.secret_access_key,
            restrict=False,
            clock=clock,
            settings=Settings(**settings),
        )
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def test_a_blocked_request_is_answered_by_a_page_of_cloudfronts_own(start: Callable[..., EdgeServer]) -> None:
    edge = start(blocked=r"\.log$|<script")
    for target in ("/a.log", "/x%3CScript%3E"):
        answer = ask(edge, target)
        assert (answer.status, answer.headers["Server"], answer.x_cache) == (403, "CloudFront", "Error")
        assert answer.headers["Content-Type"] == "text/html"
        assert b"Request blocked." in answer.body
        assert "x-amz-request-id" not in answer.headers
    assert ask(edge, "/missing").status == 404
    edge.settings = Settings()
    assert ask(edge, "/a.log").body == b"content"


def test_a_rate_rule_blocks_for_as_long_as_there_are_too_many(start: Callable[..., EdgeServer], clock: Clock) -> None:
    edge = start(rate=10, rate_window_s=60)
    assert [ask(edge, "/a.log").status for _ in range(12)] == [200] * 10 + [403] * 2
    clock.now_s += 61
    assert ask(edge, "/a.log").status == 200


def test_an_error_page_takes_the_place_of_an_error_whoever_made_it(start: Callable[..., EdgeServer]) -> None:
    page = ErrorPage(status=200, body=b"<html>sorry</html>")
    edge = start(blocked="evil", error_pages={403: page, 404: page})
    for target in ("/missing", "/evil"):
        answer = ask(edge, target)
        assert (answer.status, answer.body, answer.x_cache) == (200, page.body, "Error")
        assert "x-amz-request-id" in answer.headers  # the page is an object of the bucket


def test_a_policy_takes_headers_away_from_what_the_origin_sent(start: Callable[..., EdgeServer]) -> None:
    edge = start(removed_headers=frozenset({"etag", "last-modified", "x-amz-request-id", "server"}))
    answer = ask(edge, "/a.log")
    assert answer.body == b"content"
    assert answer.headers["x-amz-meta-kept"] == "yes"
    assert not {"etag", "last-modified", "x-amz-request-id", "server"} & {name.lower() for name in answer.headers}
    assert "x-amz-request-id" not in ask(edge, "/missing").headers


@pytest.mark.parametrize(
    "settings",
    [
        {"removed_headers": frozenset({"x-cache"})},
        {"removed_headers": frozenset({"content-length"})},
        {"rate": 9},
        {"rate": 100, "rate_window_s": 30},
        {"error_pages": {401: ErrorPage(status=200, body=b"")}},
    ],
)
def test_what_a_distribution_does_not_take_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"remove|rate rule|error pages"):
        Settings(**settings)
