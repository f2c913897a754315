"""The engine end to end on the local cloud: list, drain, reconcile, without Airflow."""

from __future__ import annotations

import gzip
import hashlib
import json
import os

import pytest

from engine_rig import DESTINATION, ERROR_TOPIC, SOURCE, EngineRig
from transfer.accounting.traffic import WorkerTraffic
from transfer.config import Overwrite
from transfer.errors import BucketMissing
from transfer.naming import Naming
from transfer.reconciliation.verdicts import Verdict
from transfer.records.ledger import ledger_traffic
from transfer.stopping import StopRequest

HOSTILE_KEYS = [
    "with space",
    "plus+percent%hash#question?ampersand&",
    "percent%2Fescaped%20already",
    "double//slash",
    "/leading/slash",
    "a/../b",
    "./dot/./segments/..",
    "emoji-🚚/é-e\u0301-ü",
    "quote\"'`<>|\\^{}[]~",
    "k" * 1024,
    "é" * 512,
    "folder/",
    "tab\tand;semi=colon,comma:colon@at$dollar!bang*star(paren)",
    "line separator \u2028 within",
]


def test_copies_everything_and_proves_it(rig: EngineRig) -> None:
    bodies = {f"dir/{index:03d}.bin": os.urandom(index * 37) for index in range(120)}
    bodies["large.bin"] = os.urandom(3 * 1024 * 1024 + 12_345)
    bodies["exactly-whole"] = os.urandom(256 * 1024)
    bodies["one-byte-more"] = os.urandom(256 * 1024 + 1)
    for key, body in bodies.items():
        rig.put(key, body)

    stats, report = rig.copy_all()

    assert (stats.copied, stats.skipped, stats.failed) == (len(bodies), 0, 0)
    assert stats.bytes_copied == sum(map(len, bodies.values()))
    assert report.is_green
    assert (report.listed, report.matched, report.extra) == (len(bodies), len(bodies), 0)
    assert report.bytes_copied == stats.bytes_copied
    assert (stats.edge_requests, stats.edge_bytes) == (sum(rig.edge.requests().values()), stats.bytes_copied)
    assert stats.gcs_requests >= len(bodies)
    assert ledger_traffic(rig.state(), ["1"]) == WorkerTraffic(
        edge_requests=stats.edge_requests, edge_bytes=stats.edge_bytes, gcs_requests=stats.gcs_requests
    )
    assert {name: hashlib.sha256(rig.stored(name)).digest() for name in rig.names()} == {
        key: hashlib.sha256(body).digest() for key, body in bodies.items()
    }


def test_one_get_for_each_small_object_and_no_head(rig: EngineRig) -> None:
    for index in range(30):
        rig.put(f"{index}")
    rig.copy_all()
    assert rig.edge.requests() == {"GET object 200": 30}


def test_hostile_keys_are_copied_under_the_same_names(rig: EngineRig) -> None:
    for key in HOSTILE_KEYS:
        rig.put(key, key.encode())
    stats, report = rig.copy_all()
    assert stats.failed == 0
    assert report.is_green
    assert sorted(rig.names()) == sorted(HOSTILE_KEYS)
    assert all(rig.stored(key) == key.encode() for key in HOSTILE_KEYS)


def test_metadata_and_headers_are_kept(rig: EngineRig) -> None:
    packed = gzip.compress(b"text " * 100)
    rig.put(
        "page.html.gz",
        packed,
        ContentType="text/html; charset=utf-8",
        ContentEncoding="gzip",
        ContentLanguage="de-AT",
        ContentDisposition='attachment; filename="page.html"',
        CacheControl="max-age=60, private",
        StorageClass="STANDARD_IA",
        Metadata={"owner": "data team", "empty": ""},
    )
    listed = rig.client.head_object(Bucket=SOURCE, Key="page.html.gz")
    rig.copy_all()
    blob = rig.storage.bucket(DESTINATION).get_blob("page.html.gz")
    assert blob.content_type == "text/html; charset=utf-8"
    assert blob.content_encoding == "gzip"
    assert blob.content_language == "de-AT"
    assert blob.content_disposition == 'attachment; filename="page.html"'
    assert blob.cache_control == "max-age=60, private"
    assert blob.storage_class == "NEARLINE"
    assert blob.metadata == {
        "owner": "data team",
        "empty": "",
        "goog-reserved-file-mtime": str(int(listed["LastModified"].timestamp())),
        "x-goog-source-etag": listed["ETag"].strip('"'),
        "edgehaul-proof": f"crc32c={blob.crc32c}; proof=etag-md5",
        "s3-storage-class": "STANDARD_IA",
    }
    assert rig.stored("page.html.gz") == packed


def test_a_prefix_is_replaced_and_nothing_else_is_touched(rig: EngineRig) -> None:
    rig.naming = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/")
    for key in ("in/a", "in/b/c", "inside", "other"):
        rig.put(key)
    stats, report = rig.copy_all()
    assert rig.names() == ["out/a", "out/b/c"]
    assert (stats.copied, report.listed, report.matched) == (2, 2, 2)


@pytest.mark.parametrize(
    ("overwrite", "copied", "content"),
    [(Overwrite.CHANGED, 2, b"new"), (Overwrite.ALWAYS, 3, b"new"), (Overwrite.NEVER, 1, b"old")],
)
def test_a_second_run_copies_as_overwrite_says(
    rig: EngineRig, overwrite: Overwrite, copied: int, content: bytes
) -> None:
    rig.put("same", b"same")
    rig.put("changes", b"old")
    rig.copy_all()
    rig.put("changes", b"new")
    rig.put("added", b"added")

    rig.run_id = "run-2"
    rig.open()
    stats = rig.worker(rig.list(overwrite=overwrite)).run()
    report = rig.reconcile()

    assert stats.copied == copied
    assert report.is_green
    assert report.matched + report.skipped == report.listed == 3
    assert rig.stored("changes") == content
    assert rig.stored("added") == b"added"


def test_an_unchanged_bucket_costs_no_get_and_no_message(rig: EngineRig) -> None:
    for index in range(5):
        rig.put(f"{index}")
    rig.copy_all()
    before = rig.edge.requests()
    rig.run_id = "run-2"
    rig.open()
    summary = rig.list()
    assert (summary.counts.listed, summary.counts.messages, summary.counts.skipped) == (5, 0, 5)
    assert rig.edge.requests() == before
    assert rig.worker(summary).run().copied == 0
    assert rig.reconcile().is_green


def test_archived_objects_are_skipped_with_their_reason(rig: EngineRig) -> None:
    rig.put("cold", StorageClass="DEEP_ARCHIVE")
    rig.put("warm")
    stats, report = rig.copy_all()
    assert stats.copied == 1
    assert report.is_green
    assert [(reason.verdict, reason.reason, reason.samples) for reason in report.reasons] == [
        (Verdict.SKIPPED, "archived", ("cold",))
    ]


def test_a_failure_reaches_the_error_topic_and_the_others_continue(rig: EngineRig) -> None:
    for key in ("good-1", "good-2", ".well-known/acme-challenge/token"):
        rig.put(key)
    watcher = "projects/test-project/subscriptions/watcher"
    rig.open()
    rig.subscriber.create_subscription(name=watcher, topic=ERROR_TOPIC)
    stats = rig.worker(rig.list()).run()
    report = rig.reconcile()

    assert (stats.copied, stats.failed) == (2, 1)
    assert not report.is_green
    assert (report.matched, report.failed) == (2, 1)
    (message,) = rig.subscriber.pull(subscription=watcher, max_messages=10).received_messages
    record = json.loads(message.message.data)
    assert record["key"] == ".well-known/acme-challenge/token"
    assert record["stage"] == "upload"
    assert record["error_code"] == "InvalidName"
    assert "acme-challenge" in record["message"]
    assert message.message.attributes["run"] == rig.run_id
    (reason,) = report.reasons
    assert (reason.reason, reason.count, reason.samples) == ("InvalidName", 1, (".well-known/acme-challenge/token",))


def test_an_object_deleted_and_one_replaced_after_the_listing(rig: EngineRig) -> None:
    for key in ("deleted", "replaced", "stays"):
        rig.put(key)
    rig.open()
    summary = rig.list()
    rig.client.delete_object(Bucket=SOURCE, Key="deleted")
    rig.put("replaced", b"other content")
    stats = rig.worker(summary).run()
    report = rig.reconcile()
    assert (stats.copied, stats.failed) == (1, 2)
    assert {reason.reason: reason.samples for reason in report.reasons} == {
        "SourceNotFound": ("deleted",),
        "SourceChanged": ("replaced",),
    }
    assert rig.names() == ["stays"]


def test_missing_buckets_are_named(rig: EngineRig) -> None:
    rig.put("a")
    rig.open()
    summary = rig.list()
    rig.storage.bucket(DESTINATION).delete(force=True)
    with pytest.raises(BucketMissing, match=DESTINATION):
        rig.worker(summary).run()
    rig.stop = StopRequest()  # the next task's
    rig.client.delete_object(Bucket=SOURCE, Key="a")
    rig.client.delete_bucket(Bucket=SOURCE)
    with pytest.raises(BucketMissing, match=SOURCE):
        rig.list()
