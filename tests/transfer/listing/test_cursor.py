"""A lister that dies goes on where it was: nothing lost, nothing twice that counts."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections import Counter
from dataclasses import replace
from math import inf
from types import SimpleNamespace

import pytest
from google.cloud import pubsub_v1
from hypothesis import given, settings
from hypothesis import strategies as st

import lister_process
from engine_rig import DESTINATION, TOPIC, EngineRig, engine_rig
from localcloud.gcs import GcsServer
from localcloud.pubsub import PubSubServer
from memory_state import MemoryState
from operators.stored_cursor import StoredCursor
from page_server import PageServer
from transfer.backends.pubsub.topics import PubSubQueue, PubSubRequests, create_subscription, ensure_topic
from transfer.config import Overwrite
from transfer.event_log import NoEventLog
from transfer.listing.cursor import ListingCursor
from transfer.listing.publish import Lister, ListingJob, ListingSummary
from transfer.model import DestinationObject, ObjectMeta, TransferRequest
from transfer.naming import Naming
from transfer.records.layout import CURSOR_JSON
from transfer.records.manifest import Manifest, read_manifest
from transfer.records.messages import decode_request
from transfer.records.numbers import parse_numbers


def item(key: str) -> ObjectMeta:
    return ObjectMeta(key=key, size_bytes=len(key), etag=key.encode().hex() or "e", last_modified_s=1)


class Crash(Exception):
    """The process is gone."""


class World:
    """What outlives a lister: the topic, its records, its cursor. Every step may be its last."""

    def __init__(self, keys: list[str], there: list[str], draw: random.Random) -> None:
        self.keys, self.there = sorted(keys), sorted(there)
        self.state = MemoryState()
        self.topic: list[TransferRequest] = []
        self.cursor: ListingCursor | None = None
        self.seen: list[str] = []
        """What a lister should name that came to its end."""
        self.steps_left = 0
        self._draw = draw
        self._unsure: list[TransferRequest] = []

    def step(self) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:  # what was not flushed may have arrived, or not
            self.topic += [request for request in self._unsure if self._draw.random() < 0.5]
            self._unsure = []
            raise Crash

    def publish(self, request: TransferRequest) -> int:
        self.step()
        self._unsure.append(request)
        return 1_000

    def flush(self) -> None:
        self.step()
        self.topic += self._unsure
        self._unsure = []

    def save(self, cursor: ListingCursor) -> None:
        self.step()
        self.cursor = ListingCursor.of(json.loads(json.dumps(cursor.to_dict())))
        self.step()

    def write(self, name: str, body: bytes, **fields: object) -> None:
        self.step()
        self.state.write(name, body, **fields)  # type: ignore[arg-type]
        self.step()

    def lister(self, attempt: int, shard_lines: int) -> ListingSummary:
        cursor = self.cursor
        after, listing = (cursor.after, cursor.listing) if cursor else ("", f"try-{attempt}")
        self.seen = [key for key in self.seen if key <= after] + [key for key in self.keys if key > after]
        store = SimpleNamespace(write=self.write, delete=self.state.delete)
        job = ListingJob(
            run_id="run",
            listing=listing,
            naming=Naming(source_prefix="", destination_prefix="", state_prefix=".edgehaul/"),
            overwrite=Overwrite.NEVER,
            began_at_s=float(attempt),
        )
        lister = Lister(
            job,
            publisher=self,
            manifest=Manifest(store, listing, shard_lines=shard_lines, shards=cursor.shards if cursor else 0),
            cursor=cursor,
            on_cursor=self.save,
        )
        return lister.run(
            [item(key) for key in self.keys if key > after],
            [DestinationObject(name=key, size_bytes=0, generation=7) for key in self.there if key > after],
            stop=threading.Event(),
        )


keys = st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=40)


@settings(max_examples=200, deadline=None)
@given(keys, keys, st.integers(1, 7), st.lists(st.integers(0, 30), max_size=8), st.randoms(use_true_random=False))
def test_any_crash(
    listed: list[str], there: list[str], shard_lines: int, crashes: list[int], draw: random.Random
) -> None:
    world = World(listed, there, draw)
    for attempt, steps in enumerate([*crashes, 10_000], 1):
        world.steps_left = steps
        try:
            summary = world.lister(attempt, shard_lines)
            break
        except Crash:
            world.keys = world.keys[: draw.randrange(len(world.keys) + 1)]  # the others are deleted meanwhile
    listing = world.cursor.listing if world.cursor else f"try-{attempt}"
    manifest = list(read_manifest(world.state, listing))
    assert [entry.key for entry, _ in manifest] == world.seen
    assert (summary.counts.listed, summary.counts.skipped) == (len(world.seen), len(set(world.seen) & set(there)))
    assert listing == f"try-{summary.began_at_s:.0f}", "what counts as older is so for the first page, too"
    if world.cursor and world.cursor.after:
        place = world.seen.index(world.cursor.after)
        assert world.cursor.before == (world.seen[place - 1] if place else "")
    of_listing = [request for request in world.topic if request.listing == listing]
    assert len({request.number for request in of_listing}) == len(of_listing), "a number stands for one message"
    skipped_numbers = set(parse_numbers(summary.skipped_numbers))
    counted = [request for request in of_listing if request.number not in skipped_numbers]
    assert len(counted) == summary.counts.messages
    moved = [each.key for request in counted for each in request.objects]
    assert moved == [entry.key for entry, skipped in manifest if skipped is None]
    assert summary.counts.objects == len(moved)


def test_a_lister_that_is_killed(tmp_path, monkeypatch) -> None:
    """SIGKILL in mid-listing, twice, on real servers."""
    names = [f"{index:05d}" for index in range(6_000)]
    pubsub, gcs = PubSubServer(None), GcsServer(tmp_path / "gcs", buckets=[DESTINATION])
    pubsub.start()
    gcs.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.url)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    subscription = TOPIC.replace("topics", "subscriptions")
    ensure_topic(publisher, TOPIC)
    create_subscription(subscriber, subscription, topic=TOPIC, run_id="run", ack_deadline_s=60)
    cursor = tmp_path / "cursor.json"
    shard_lines = 500

    def shards() -> int:
        return json.loads(cursor.read_text())["shards"] if cursor.exists() else 0

    with PageServer(keys=names, page_keys=100, latency_s=0.05) as s3:

        def start(attempt: int) -> subprocess.Popen[str]:
            return lister_process.start(
                s3_url=s3.url,
                gcs_url=gcs.url,
                bucket=DESTINATION,
                topic=TOPIC,
                listing=f"try-{attempt}",
                shard_lines=shard_lines,
                cursor=str(cursor),
            )

        for attempt in (1, 2):
            before, lister = shards(), start(attempt)
            deadline = time.monotonic() + 60
            while shards() < before + 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            lister.kill()
            lister.wait()
            assert before + 2 <= shards() < 12, "it was killed in mid-listing"
        pages_before, done = len(s3.requests), json.loads(cursor.read_text())["listed"]
        last = start(3)
        output, _ = last.communicate(timeout=60)
        assert last.returncode == 0
        summary = json.loads(output)
        assert len(s3.requests) - pages_before <= 2 * (len(names) - done) / 100 + 1, "not from the beginning"
    queue = PubSubQueue(subscriber, subscription, ack_deadline_s=60)
    requests, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline and (pulled := queue.pull(1000, 2.0)):
        requests += [decode_request(each.body, each.attributes) for each in pulled]
        queue.ack([each.ack_id for each in pulled])
    numbers = set(parse_numbers(summary["skipped_numbers"]))
    assert {request.listing for request in requests} == {"try-1"}
    counted = [request for request in requests if request.number not in numbers]
    assert Counter(each.key for request in counted for each in request.objects) == Counter(names)
    skipped_numbers = sum(len(request.objects) for request in requests if request.number in numbers)
    assert skipped_numbers <= 2 * shard_lines, "no more than a shard for each death"
    assert (summary["listed"], summary["messages"]) == (len(names), len(counted))
    pubsub.stop()
    gcs.stop()


@pytest.fixture
def rig(tmp_path, monkeypatch):
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def test_a_worker_drops_what_does_not_count(rig: EngineRig) -> None:
    rig.open()
    for key in ("stray", "counts"):
        rig.put(key)
    summary = rig.list()
    assert (summary.counts.messages, summary.skipped_numbers) == (2, "")
    requests = PubSubRequests(rig.publisher, TOPIC, NoEventLog())
    requests.publish(TransferRequest(run_id=rig.run_id, listing="1", number=40, objects=(item("never-listed"),)))
    requests.flush()
    stats = rig.worker(replace(summary, skipped_numbers="30-49")).run()
    assert (stats.copied, stats.failed) == (2, 0)
    assert rig.reconcile().is_green


def test_the_destination_is_listed_from_there_only(rig: EngineRig) -> None:
    for name in ("a", "b", "b/1", "c"):
        rig.storage.bucket(DESTINATION).blob(name).upload_from_string(b"x")
    found = rig.destination_listing().objects("", leave_out=".edgehaul/", is_dated=False, after="b")
    assert [(each.name, each.size_bytes, each.created_at_s) for each in found] == [("b/1", 1, inf), ("c", 1, inf)]


def test_a_cursor_is_for_the_same_run_with_the_same_settings() -> None:
    state, cursor = (
        MemoryState(),
        ListingCursor(
            listing="1-abc-1",
            after="a/\x00ü\U0001f69a",
            before="a/\x00\udc80",
            began_at_s=1.5,
            shards=3,
            skipped_numbers="8-50007",
        ),
    )

    def stored(**settings: object) -> StoredCursor:
        operator = SimpleNamespace(template_fields=tuple(settings), **settings)
        return StoredCursor(state, operator)  # type: ignore[arg-type]

    assert stored(run={"transfer_id": "1"}, source_prefix="a/").load() is None
    stored(run={"transfer_id": "1"}, source_prefix="a/").save(cursor)
    record = state.read(CURSOR_JSON)
    assert record.isascii()
    assert stored(run={"transfer_id": "1"}, source_prefix="a/").load() == cursor
    assert stored(run={"transfer_id": "2"}, source_prefix="a/").load() is None
    assert stored(run={"transfer_id": "1"}, source_prefix="b/").load() is None
    for damaged in (record.replace(b'"shards"', b'"of_another_version"'), record[:-9], b"[]", b'{"settings": 1}'):
        state.write(CURSOR_JSON, damaged, content_type="application/json")
        assert stored(run={"transfer_id": "1"}, source_prefix="a/").load() is None
    state.write(CURSOR_JSON, record, content_type="application/json")
    stored(run={"transfer_id": "1"}, source_prefix="a/").forget()
    assert stored(run={"transfer_id": "1"}, source_prefix="a/").load() is None
