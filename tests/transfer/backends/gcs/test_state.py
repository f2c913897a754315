"""A destination's listing that contradicts itself is refused: what it leaves out would be copied again, or called missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest
from google.auth.credentials import AnonymousCredentials

from localcloud.http1 import Exchange, HttpServer
from transfer.backends.gcs.client import GcsClient
from transfer.backends.gcs.state import GcsListing, GcsState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.http.client import CurlClient
from transfer.config import RetryPolicy, Timeouts
from transfer.errors import EndpointRejected, ListingOutOfOrder, SinkUnavailable, Stage
from transfer.retry import Retrier

Answer = tuple[Sequence[str], str]
"""Names, and the token of the next page."""


@contextmanager
def client(pages: dict[str, Answer], **fields: object) -> Iterator[GcsClient]:
    """Of a server that gives these pages by their tokens; "" is the first."""

    def handle(exchange: Exchange) -> None:
        names, token = pages[parse_qs(exchange.query).get("pageToken", [""])[0]]
        page: dict[str, Any] = {"items": [{"name": name, "size": "1", "generation": "1", **fields} for name in names]}
        page |= {"nextPageToken": token} if token else {}
        exchange.send(200, [("Content-Type", "application/json")], json.dumps(page).encode())

    server = HttpServer(handle, name="pages")
    server.start()
    curl = CurlClient(unavailable=SinkUnavailable, stage=Stage.UPLOAD, timeouts=Timeouts(connect_s=2, stall_s=2))
    yield GcsClient(curl, base_url=server.url, bucket="b", token=GoogleToken(AnonymousCredentials()))
    server.stop()


def listed(pages: dict[str, Answer], prefix: str = "") -> list[str]:
    with client(pages) as made:
        listing = GcsListing(made, Retrier(RetryPolicy(attempts=1)), threading.Event())
        return [each.name for each in listing.objects(prefix, leave_out=".edgehaul/")]


def test_pages_without_items_may_follow_each_other() -> None:
    assert listed({"": (["a"], "1"), "1": ([], "2"), "2": ([], "3"), "3": (["b"], "")}) == ["a", "b"]


@pytest.mark.parametrize(
    "pages",
    [
        {"": ([], "1"), "1": ([], "1")},
        {"": (["a"], "1"), "1": ([], "2"), "2": ([], "1")},
    ],
)
def test_a_listing_whose_pages_repeat_is_refused(pages: dict[str, Answer]) -> None:
    with pytest.raises(EndpointRejected, match="gs://b: it says that there is more, but repeats a page"):
        listed(pages)


@pytest.mark.parametrize(
    "pages",
    [{"": (["a", "c", "b"], "")}, {"": (["a"], "1"), "1": (["a"], "")}, {"": (["b"], "1"), "1": (["a"], "")}],
)
def test_a_listing_out_of_order(pages: dict[str, Answer]) -> None:
    with pytest.raises(ListingOutOfOrder, match="destination listing"):
        listed(pages)


def test_names_outside_the_prefix_are_refused() -> None:
    with pytest.raises(EndpointRejected, match="'b/1', which is not under the prefix 'a/'"):
        listed({"": (["a/1", "b/1"], "")}, prefix="a/")


def created_at_s(**fields: object) -> float:
    """Of a record, as the server that gave `fields` tells it."""

    def handle(exchange: Exchange) -> None:
        exchange.send(200, [("Content-Type", "application/json")], json.dumps({"name": "r", **fields}).encode())

    server = HttpServer(handle, name="record")
    server.start()
    curl = CurlClient(unavailable=SinkUnavailable, stage=Stage.UPLOAD, timeouts=Timeouts(connect_s=2, stall_s=2))
    made = GcsClient(curl, base_url=server.url, bucket="b", token=GoogleToken(AnonymousCredentials()))
    state = GcsState(made, Retrier(RetryPolicy(attempts=1)), threading.Event(), prefix="")
    found = state.created_at_s("r")
    server.stop()
    return found


def test_a_record_has_the_time_that_the_server_names() -> None:
    assert created_at_s(timeCreated="2026-01-31T00:00:00.250Z") == 1769817600.25
    assert created_at_s() == 0.0, "then nothing counts as older, and nothing is deleted"
