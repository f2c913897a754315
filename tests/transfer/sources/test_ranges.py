"""A listing made of many ranges at a time, against the plain list of its keys."""

from __future__ import annotations

import random
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from page_server import PageServer, strange_entry
from transfer.backends.s3.listing import list_objects
from transfer.errors import EndpointRejected, ListingOutOfOrder, SourceUnavailable, Stage
from transfer.sources.key_space import is_fit, key_ahead
from transfer.sources.ranges import MAX_PAGES, THREADS, Page, RangedListing

characters = st.characters(exclude_categories=["Cs"])
hostile = st.text(characters, min_size=1, max_size=8) | st.text("ab/\x01\n\x7f+ %\ufffe\uffee\U0001f69a", min_size=1)
folders = st.lists(st.text("0128a!-.", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)
alike = st.builds("{}{:04d}".format, st.sampled_from(["", "a/", "a/b/c/", "a-long-beginning-"]), st.integers(0, 9999))
key_sets = st.lists(hostile | alike, unique=True, max_size=60)


class Model:
    """A bucket in memory."""

    def __init__(self, keys: Sequence[str], page_keys: int, *, skips_folders: bool = False) -> None:
        self.keys = sorted(keys)
        self.page_keys = page_keys
        self.skips_folders = skips_folders
        self.asked: list[str] = []

    def ask(self, *, after: str = "", token: str = "") -> Page[str]:
        self.asked.append(after)
        place, _, skipped = token.partition(" ") if token else (bisect_right(self.keys, after), "", after)
        keys = [key for key in self.keys if not (self.skips_folders and skipped and key.startswith(f"{skipped}/"))]
        start = int(place) if token else bisect_right(keys, after)
        end = start + self.page_keys
        return Page(items=keys[start:end], is_last=end >= len(keys), token=f"{end} {skipped}")

    def read(self, answer: Page[str]) -> Page[str]:
        return answer

    def listing(self, **fields: object) -> RangedListing[Page[str], str]:
        return RangedListing(self, key_of=lambda key: key, **fields)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(key_sets, st.integers(1, 4), st.text(characters, max_size=3))
def test_every_key_once_and_in_order(keys: list[str], page_keys: int, after: str) -> None:
    model = Model(keys, page_keys)
    assert list(model.listing(after=after).items()) == [key for key in sorted(keys) if key > after]
    assert len(model.asked) <= 2 * (len(keys) // page_keys + 1)
    assert all(is_fit(point) for point in model.asked if point)


@settings(max_examples=500, deadline=None)
@given(st.lists(folders | alike, unique=True, max_size=60), st.integers(1, 3), st.data())
def test_a_server_that_skips_folders_hides_no_key(keys: list[str], page_keys: int, data: st.DataObject) -> None:
    """From the beginning, and from any key on."""
    model = Model(keys, page_keys, skips_folders=True)
    assert list(model.listing().items()) == model.keys
    if keys:
        at = data.draw(st.integers(0, len(keys) - 1))
        after, before = model.keys[at], model.keys[at - 1] if at else ""
        assert list(model.listing(after=after, before=before).items()) == model.keys[at + 1 :]


@settings(max_examples=300, deadline=None)
@given(key_sets.filter(lambda keys: len(keys) > 2), st.data(), st.floats(0.1, 1000))
def test_a_guess_is_between_its_bounds_and_a_valid_key(keys: list[str], data: st.DataObject, pages: float) -> None:
    ordered = sorted(keys)
    low = data.draw(st.integers(1, len(ordered) - 1))
    until = data.draw(st.sampled_from([None, *ordered[low + 1 :]]))
    spans = [(ordered[0], ordered[low], 2)]
    guess = key_ahead(ordered[low], until, pages=pages, sample=ordered[:low], spans=spans, prefix="")
    if guess is not None:
        assert ordered[low] < guess and (until is None or guess < until)
        assert 0 < len(guess.encode()) <= 1024
        assert not any(c < " " or "\x7f" <= c < "\xa0" or "\ud800" <= c < "\ue000" for c in guess)


@pytest.mark.parametrize(
    ("first", "after", "until", "expected"),
    [
        ("part-000000", "part-000999", None, "part-005"),
        ("2026/01/01/a", "2026/01/02/z", None, "2026/01/1"),
        ("0000aa", "00ffee", None, "05"),
        ("a/999000", "a/999999", None, None),
        ("part-000000", "part-000999", "part-003", None),
    ],
    ids=["numbers", "dates", "hexadecimal", "no-more-of-these", "not-so-many-left"],
)
def test_a_guess_is_the_wanted_number_of_pages_ahead(
    first: str, after: str, until: str | None, expected: str | None
) -> None:
    guess = key_ahead(after, until, pages=5, sample=[first, after], spans=[(first, after, 1)], prefix="")
    assert guess is None if expected is None else (guess or "").startswith(expected)


@contextmanager
def bucket(keys: Sequence[str], **habits: object) -> Iterator[tuple[PageServer, object]]:
    with PageServer(keys=keys, **habits) as server:  # type: ignore[arg-type]
        yield (
            server,
            boto3.client(
                "s3",
                endpoint_url=server.url,
                aws_access_key_id="any",
                aws_secret_access_key="any",
                region_name="us-east-1",
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
            ),
        )


def numbered(count: int, template: str = "{:06d}") -> list[str]:
    return sorted(template.format(index) for index in range(count))


@pytest.fixture(scope="module")
def hostile_bucket() -> Iterator[tuple[PageServer, object]]:
    with bucket([], page_keys=3) as made:
        yield made


@settings(max_examples=40, deadline=None)
@given(key_sets)
def test_hostile_keys_through_boto3(hostile_bucket, keys: list[str]) -> None:
    server, client = hostile_bucket
    server.keys = sorted(keys)
    assert [item.key for item in list_objects(client, "b", "")] == server.keys


@pytest.mark.parametrize(
    "habits",
    [
        {"page_keys": 7},
        {"page_keys": 7, "start_after_wins": True},
        {"page_keys": 7, "knows_start_after": False},
        {"page_keys": 7, "skips_folders": True},
        {"page_keys": 7, "encode": False, "entry": strange_entry},
        {"page_keys": 7, "fails": lambda query: "start-after" in query},
    ],
    ids=[
        "few-keys-a-page",
        "start-after-wins",
        "no-start-after",
        "skips-folders",
        "strange-xml",
        "start-after-refused",
    ],
)
@pytest.mark.parametrize(
    "keys", [numbered(900), numbered(900, "a/b/{:05d}/c"), [f"{i % 30:x}/{i:x}" for i in range(900)]]
)
def test_habits_of_servers(habits: dict[str, object], keys: list[str]) -> None:
    with bucket(sorted(keys), **habits) as (_, client):
        found = list(list_objects(client, "b", ""))
    assert [item.key for item in found] == sorted(keys)
    assert [item.size_bytes for item in found] == list(range(len(keys)))


@pytest.mark.parametrize("knows_start_after", [True, False])
@pytest.mark.parametrize("after", ["", "000000", "000444", "000444a", "000899", "z"])
@pytest.mark.parametrize("before", ["", "000443", "000898", "000444"])
def test_a_listing_resumes_after_a_key(after: str, before: str, knows_start_after: bool) -> None:
    """Whether that key is still there or not, and whatever the one before it was."""
    keys = numbered(900)
    with bucket(keys, page_keys=7, knows_start_after=knows_start_after) as (_, client):
        found = [item.key for item in list_objects(client, "b", "", after=after, before=before)]
    assert found == [key for key in keys if key > after]


def test_a_resumed_listing_requests_nothing_before_its_key() -> None:
    keys = numbered(900)
    with bucket(keys, page_keys=100) as (server, client):
        found = list(list_objects(client, "b", "", after="000799", before="000798"))
        assert ([item.key for item in found], len(server.requests)) == (keys[800:], 2)


@pytest.mark.parametrize(
    ("keys", "after", "before"),
    [
        (["a/1", "a/2", "a/3", "b"], "a/2", "a/1"),
        (["a", "a/1", "a/2", "b"], "a/1", "a"),
        (["a", "a-1", "a/1", "a/2", "b"], "a-1", "a"),
        (["a", "a-1", "a/1", "a/2", "b"], "a/1", "a-1"),
    ],
)
def test_a_resumed_listing_skips_no_folder(keys: list[str], after: str, before: str) -> None:
    with bucket(keys, skips_folders=True) as (_, client):
        found = [item.key for item in list_objects(client, "b", "", after=after, before=before)]
    assert found == [key for key in keys if key > after]


def test_numbers_in_front_of_an_ending_are_guessed_too() -> None:
    """`img-0500` is no folder; what is guessed must not look like one, or be dropped for it."""
    keys = numbered(30_000, "img-{:06d}.jpg")
    with bucket(keys, page_keys=200, latency_s=0.02) as (server, client):
        assert [item.key for item in list_objects(client, "b", "")] == keys
    assert server.most_at_once >= THREADS / 2


def test_a_last_page_is_refused_where_later_keys_were_listed() -> None:
    """A guess has found keys behind it."""

    class Ending(Model):
        def ask(self, *, after: str = "", token: str = "") -> Page[str]:
            page = super().ask(after=after, token=token)
            time.sleep(0.005 * bool(token))  # the guess is answered first
            page.is_last |= page.items[:1] == ["000016"]
            return page

    with pytest.raises(EndpointRejected, match="'000017' and says that it is the last"):
        list(Ending(numbered(900), 2).listing().items())


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3000, 3999])
def test_a_small_bucket_needs_no_additional_request(count: int) -> None:
    with bucket(numbered(count)) as (server, client):
        assert sum(1 for _ in list_objects(client, "b", "")) == count
    assert len(server.requests) == max(1, -(-count // 1000))


LAYOUTS = {
    "flat": numbered(30_000, "part-{:012d}"),
    "hashed": sorted(f"{random.Random(index).getrandbits(64):016x}" for index in range(30_000)),
    "folders": sorted(f"{index % 97:02d}/{index:06d}" for index in range(30_000)),
    "one deep prefix": [f"a/b/c/d/e/{index:06d}" for index in range(29_000)] + numbered(1_000, "z/{:04d}"),
    "dates": sorted(f"logs/2026/{1 + index % 12:02d}/{1 + index % 28:02d}/{index:07d}.gz" for index in range(30_000)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_requests_overlap(layout: str) -> None:
    """By the count of requests in flight, not by time; and what that costs is bounded."""
    keys = LAYOUTS[layout]
    with bucket(keys, page_keys=200, latency_s=0.02) as (server, client):
        assert [item.key for item in list_objects(client, "b", "")] == keys
    assert server.most_at_once >= THREADS / 2
    assert len(server.requests) <= len(keys) / 200 * 1.35


def test_waiting_pages_are_bounded() -> None:
    model = Model(numbered(20_000), 10)
    listing = model.listing().items()
    taken = [next(listing) for _ in range(500)]
    assert taken == model.keys[:500]
    assert len(model.asked) <= 50 + MAX_PAGES + 2 * THREADS
    assert isinstance(listing, Generator)
    listing.close()


def test_a_listing_out_of_order_is_refused() -> None:
    keys = [*numbered(50), "000001"]
    with bucket(keys) as (_, client), pytest.raises(ListingOutOfOrder, match="'000001' after '000049'"):
        list(list_objects(client, "b", ""))
    with bucket(keys, page_keys=50) as (_, client), pytest.raises(ListingOutOfOrder, match="'000001' after '000049'"):
        list(list_objects(client, "b", ""))


def test_a_listing_that_names_no_next_page_is_refused() -> None:
    class Nowhere(Model):
        def ask(self, *, after: str = "", token: str = "") -> Page[str]:
            return Page(items=[], is_last=False, token="same")

    with pytest.raises(EndpointRejected, match="names no next page"):
        list(Nowhere([], 1).listing().items())


def test_an_error_in_the_middle_ends_the_listing() -> None:
    class Breaking(Model):
        def ask(self, *, after: str = "", token: str = "") -> Page[str]:
            if token.startswith("60 "):
                raise SourceUnavailable("gone", stage=Stage.LIST)
            return super().ask(after=after, token=token)

    model, found = Breaking(numbered(100), 2), []
    with pytest.raises(SourceUnavailable):
        for key in model.listing().items():
            found.append(key)
    assert found == model.keys[: len(found)]


def test_no_key_is_listed_twice_by_two_ranges() -> None:
    keys = LAYOUTS["folders"]
    model = Model(keys, 100)
    assert Counter(model.listing().items()) == Counter(keys)
    assert bisect_left(keys, "97") == len(keys)
