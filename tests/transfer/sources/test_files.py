"""URIs of inventories and manifests, and files that are read from them."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from pathlib import Path

import pytest

from memory_files import MemoryFiles
from transfer.errors import SourceListInvalid, Stopped
from transfer.sources.files import Kind, SourceUri, is_gzip, on_disk


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "list.csv",
        "s3://b",
        "s3://b/",
        "s3://b/x",
        "gs://b/x.orc",
        "https://b/x.csv",
        "s3:///x.csv",
        "s3://b/x.json.gz",
        "s3://b/.csv/",
    ],
)
def test_an_invalid_uri_is_refused(uri: str) -> None:
    with pytest.raises(SourceListInvalid, match=r"source_listing is .*: write s3:// or gs://"):
        SourceUri.parse(uri)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://b/a/b.csv.gz", ("s3", "b", "a/b.csv.gz", Kind.CSV)),
        ("gs://b/ü?#.jsonl", ("gs", "b", "ü?#.jsonl", Kind.JSON_LINES)),
        ("s3://b/x.ndjson", ("s3", "b", "x.ndjson", Kind.JSON_LINES)),
        ("s3://b/i/2026/manifest.json", ("s3", "b", "i/2026/manifest.json", Kind.INVENTORY)),
    ],
)
def test_a_uri_has_its_parts(uri: str, parts: tuple[str, str, str, Kind]) -> None:
    parsed = SourceUri.parse(uri)
    assert (parsed.scheme, parsed.bucket, parsed.name, parsed.kind) == parts
    assert str(parsed) == uri


BODY = os.urandom(3 * 1024**2 + 7)


def test_a_file_on_disk_is_a_copy_that_is_removed_at_the_end() -> None:
    with on_disk(MemoryFiles({"f": BODY}), "f", threading.Event(), md5=hashlib.md5(BODY).hexdigest().upper()) as path:
        assert path.read_bytes() == BODY
    assert not path.exists()


def test_a_file_of_another_md5_is_refused() -> None:
    with (
        pytest.raises(SourceListInvalid, match=r"s3://lists/f has the MD5 .*take another inventory"),
        on_disk(MemoryFiles({"f": BODY}), "f", threading.Event(), md5="0" * 32),
    ):
        raise AssertionError("nothing may be read of it")


def test_a_stop_request_ends_the_copying_to_disk() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped), on_disk(MemoryFiles({"f": BODY}), "f", stop):
        raise AssertionError("nothing may be read of it")


def test_a_compressed_file_is_recognized_by_its_bytes(tmp_path: Path) -> None:
    for name, body, expected in (
        ("a.csv", gzip.compress(b"x"), True),
        ("b.csv.gz", b"key\n", False),
        ("c", b"", False),
    ):
        (tmp_path / name).write_bytes(body)
        assert is_gzip(tmp_path / name) is expected
