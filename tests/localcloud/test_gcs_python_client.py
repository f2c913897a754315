"""The local Cloud Storage by Google's Python client: objects, listings, preconditions, batches."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from gcs_clients import BUCKET, connect, crc32c, serving
from localcloud.gcs import GcsServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def bucket(server: GcsServer) -> Any:
    return connect(server).create_bucket(f"test-{uuid.uuid4().hex}")


def test_buckets_are_made_listed_and_deleted(server: GcsServer) -> None:
    client = connect(server)
    bucket = client.create_bucket("batch-of-buckets", location="EU")
    assert bucket.location == "EU"
    assert {BUCKET, "batch-of-buckets"} <= {found.name for found in client.list_buckets()}
    bucket.blob("a").upload_from_string(b"a")
    with pytest.raises(BadRequest):
        client.create_bucket("No Bucket")
    bucket.delete(force=True)
    assert client.lookup_bucket("batch-of-buckets") is None


def test_an_upload_keeps_content_and_metadata(bucket: Any, tmp_path: Path) -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
    blob = bucket.blob("dir/one")
    blob.metadata = {"Key": "Wert – ü", "empty": ""}
    blob.content_disposition, blob.cache_control, blob.content_language = "inline", "no-store", "de"
    blob.custom_time, blob.storage_class = moment, "NEARLINE"
    blob.upload_from_string(b"content", content_type="text/x-test")
    found = bucket.get_blob("dir/one")
    assert found.metadata == {"Key": "Wert – ü", "empty": ""}
    assert (found.content_disposition, found.cache_control, found.content_language) == ("inline", "no-store", "de")
    assert (found.custom_time, found.storage_class, found.content_type) == (moment, "NEARLINE", "text/x-test")
    assert (found.size, found.crc32c, found.md5_hash) == (7, crc32c(b"content"), "mgNkuembtIDdJeHwKEyFVQ==")
    assert (found.generation, found.metageneration, found.component_count) == (blob.generation, 1, None)
    found.download_to_filename(tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == b"content"
    assert found.download_as_bytes(start=2, end=4) == b"nte"


def test_an_empty_object_round_trips_in_every_way(bucket: Any) -> None:
    bucket.blob("multipart").upload_from_string(b"")
    bucket.blob("resumable", chunk_size=262144).upload_from_string(b"")
    for name in ("multipart", "resumable"):
        assert bucket.blob(name).download_as_bytes() == b""
        assert bucket.blob(name, chunk_size=262144).download_as_bytes() == b""
        assert bucket.get_blob(name).size == 0


def test_gzip_is_undone_for_readers_who_do_not_take_it(bucket: Any) -> None:
    packed = gzip.compress(b"text " * 1000)
    blob = bucket.blob("packed")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    assert blob.download_as_bytes(raw_download=True) == packed
    assert blob.download_as_bytes() == b"text " * 1000


def test_a_listing_folds_at_the_delimiter_and_pages(bucket: Any) -> None:
    for name in ("a", "b/1", "b/2", "b/c/3", "b/c/4", "d/", "e"):
        bucket.blob(name).upload_from_string(name)
    pages = bucket.list_blobs(delimiter="/", page_size=1)
    assert ([blob.name for blob in pages], pages.prefixes) == (["a", "e"], {"b/", "d/"})
    under = bucket.list_blobs(prefix="b/", delimiter="/")
    assert ([blob.name for blob in under], under.prefixes) == (["b/1", "b/2"], {"b/c/"})
    trailing = bucket.list_blobs(delimiter="/", include_trailing_delimiter=True, page_size=1)
    assert [blob.name for blob in trailing] == ["a", "d/", "e"]
    assert [blob.name for blob in bucket.list_blobs(start_offset="b/2", end_offset="d/", page_size=2)] == [
        "b/2",
        "b/c/3",
        "b/c/4",
    ]
    assert [blob.name for blob in bucket.list_blobs(max_results=3)] == ["a", "b/1", "b/2"]


def test_compose_joins_content_and_counts_components(bucket: Any) -> None:
    blobs = [bucket.blob(f"part-{number}") for number in range(32)]
    for number, blob in enumerate(blobs):
        blob.upload_from_string(bytes([number]) * number)
    whole = b"".join(bytes([number]) * number for number in range(32))
    target = bucket.blob("whole")
    target.content_type = "text/whole"
    target.compose(blobs)
    target.reload()
    assert target.download_as_bytes() == whole
    assert (target.component_count, target.crc32c, target.md5_hash) == (32, crc32c(whole), None)
    target.compose([target, blobs[1]])
    assert (target.component_count, target.download_as_bytes()) == (33, whole + b"\1")
    assert target.download_as_bytes(start=490, end=496) == (whole + b"\1")[490:497]
    with pytest.raises(BadRequest):
        bucket.blob("too-many").compose([*blobs, blobs[0]])
    with pytest.raises(PreconditionFailed):
        bucket.blob("never").compose(blobs[:2], if_source_generation_match=[1, None])
    assert bucket.get_blob("never") is None


def test_a_rewrite_copies_and_may_replace_metadata(bucket: Any) -> None:
    source = bucket.blob("source")
    source.metadata = {"kept": "yes"}
    source.upload_from_string(b"content", content_type="text/x-test")
    copy = bucket.copy_blob(source, bucket, "copy")
    assert (copy.metadata, copy.content_type, copy.crc32c) == ({"kept": "yes"}, "text/x-test", source.crc32c)
    changed = bucket.blob("changed")
    changed.metadata = {"new": "yes"}
    assert changed.rewrite(source) == (None, 7, 7)
    assert bucket.get_blob("changed").metadata == {"new": "yes"}
    source.delete()
    assert (copy.download_as_bytes(), changed.download_as_bytes()) == (b"content", b"content")
    copy.update_storage_class("COLDLINE")
    assert bucket.get_blob("copy").storage_class == "COLDLINE"
    with pytest.raises(PreconditionFailed):
        changed.rewrite(copy, if_generation_match=0)


def test_a_patch_merges_metadata_and_counts_a_metageneration(bucket: Any) -> None:
    blob = bucket.blob("patched")
    blob.metadata = {"a": "1", "b": "2"}
    blob.upload_from_string(b"content", content_type="text/plain")
    blob.metadata = {"b": None, "c": "3"}
    blob.patch()
    found = bucket.get_blob("patched")
    assert (found.metadata, found.metageneration, found.content_type) == ({"a": "1", "c": "3"}, 2, "text/plain")
    found.content_type = None
    found.patch(if_metageneration_match=2)
    with pytest.raises(PreconditionFailed):
        found.patch(if_metageneration_match=2)
    found.metadata = {"all": "new"}
    found.update()
    assert bucket.get_blob("patched").metadata == {"all": "new"}
    with pytest.raises(NotFound):
        bucket.blob("patched", generation=1).patch()


def test_preconditions_hold_or_fail(bucket: Any) -> None:
    blob = bucket.blob("once")
    blob.upload_from_string(b"first", if_generation_match=0)
    first = blob.generation
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"second", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("once", chunk_size=262144).upload_from_string(b"second", if_generation_match=0)
    assert blob.download_as_bytes() == b"first"
    blob.upload_from_string(b"second", if_generation_match=first)
    assert blob.generation > first
    with pytest.raises(NotFound):
        bucket.blob("once", generation=first).download_as_bytes()
    with pytest.raises(PreconditionFailed):
        blob.download_as_bytes(if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        blob.delete(if_generation_match=first)
    blob.delete(if_generation_match=blob.generation)
    assert not blob.exists()
    with pytest.raises(NotFound):
        blob.delete()


def test_a_batch_deletes_and_reports_what_is_missing(bucket: Any) -> None:
    names = [f"ä {number}/é" for number in range(40)]
    for name in names:
        bucket.blob(name).upload_from_string(name)
    with bucket.client.batch():
        for name in names:
            bucket.blob(name).delete()
    assert list(bucket.list_blobs()) == []
    bucket.blob("there").upload_from_string(b"")
    batch = bucket.client.batch(raise_exception=False)
    with batch:
        bucket.delete_blob("missing")
        bucket.blob("there").delete()
    assert [response.status_code for response in batch._responses] == [404, 204]


def test_a_batch_patches(bucket: Any) -> None:
    blobs = [bucket.blob(f"{number}") for number in range(3)]
    for blob in blobs:
        blob.upload_from_string(b"x")
    with bucket.client.batch():
        for blob in blobs:
            blob.metadata = {"ключ": "значение"}
            blob.patch()
    assert [blob.metadata for blob in bucket.list_blobs()] == [{"ключ": "значение"}] * 3


def test_the_client_finds_it_by_the_emulator_variable(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    blob = storage.Client(project="local", credentials=AnonymousCredentials()).bucket(BUCKET).blob("by variable")
    blob.upload_from_string(b"content")
    assert blob.download_as_bytes() == b"content"
