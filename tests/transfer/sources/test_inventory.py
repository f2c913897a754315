"""Inventories as S3 delivers them, and hostile keys in them."""

from __future__ import annotations

import gzip
import json
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine_rig import SOURCE, EngineRig, fault
from inventories import CSV_SCHEMA, HOSTILE_KEYS, INVENTORIES, Row, put_inventory
from transfer.backends.parquet import parquet_rows
from transfer.backends.s3.files import S3Files
from transfer.errors import SourceListInvalid, Stopped
from transfer.model import ObjectMeta, SkipReason
from transfer.records import sorting
from transfer.sources.files import SourceUri
from transfer.sources.inventory import inventory_objects


def read_inventory(rig: EngineRig, uri: str, *, prefix: str = "", bucket: str = SOURCE) -> list[ObjectMeta]:
    parsed = SourceUri.parse(uri)
    return list(
        inventory_objects(
            S3Files(rig.client, parsed.bucket),
            parsed,
            source_bucket=bucket,
            prefix=prefix,
            read_parquet=parquet_rows,
            stop=rig.stop,
        )
    )


@pytest.fixture
def inventory(servers: EngineRig):
    def put(*files: list[Row], file_format: str = "CSV", **changed: object) -> str:
        return put_inventory(servers.client, INVENTORIES, files, of_bucket=SOURCE, file_format=file_format, **changed)

    return put


both = pytest.mark.parametrize("file_format", ["CSV", "Parquet"])


@both
def test_an_inventory_is_read_in_byte_order(servers, inventory, file_format: str, monkeypatch) -> None:
    """Its files overlap, and none is sorted; with runs so short that it takes many merges."""
    monkeypatch.setattr(sorting, "MAX_RUNS", 3)
    keys = [f"{number % 7}/{number}" for number in range(50)]
    files = [
        [Row(key=key, size=len(key.encode()), etag=f"{len(key):032x}") for key in some]
        for some in (HOSTILE_KEYS[::2], [*keys[::2], *HOSTILE_KEYS[1::2]], keys[1::2], [])
    ]
    uri = inventory(*files, file_format=file_format)
    found = read_inventory(servers, uri)
    assert [item.key for item in found] == sorted([*HOSTILE_KEYS, *keys], key=lambda key: key.encode())
    for item in found:
        assert (item.size_bytes, item.etag) == (len(item.key.encode()), f"{len(item.key):032x}")
        assert item.last_modified_s == int(datetime(2026, 1, 31, 8, 0, 1, tzinfo=UTC).timestamp())
        assert (item.storage_class, item.unreadable, item.version_id) == ("STANDARD", None, "")
    assert [item.key for item in read_inventory(servers, uri, prefix="3/")] == sorted(
        key for key in keys if key[:2] == "3/"
    )


@both
def test_only_the_latest_version_that_is_not_deleted_is_listed(servers, inventory, file_format: str) -> None:
    later = datetime(2026, 2, 1, tzinfo=UTC)
    rows = [
        Row(key="a", etag="old", is_latest=False),
        Row(key="a", etag="new"),
        Row(key="deleted", is_latest=False),
        Row(key="deleted", is_delete_marker=True, size=None, etag="", storage_class=""),
        Row(key="twice", etag="z-earlier"),
        Row(key="twice", etag="a-later", modified=later),
        Row(key="same"),
        Row(key="same"),
    ]
    found = read_inventory(servers, inventory(rows[1::2], rows[::2], file_format=file_format))
    assert {item.key: item.etag for item in found} == {"a": "new", "twice": "a-later", "same": "0" * 32}
    assert len(found) == 3


@both
def test_archived_objects_are_marked(servers, inventory, file_format: str) -> None:
    rows = [
        Row(key="a", storage_class="INTELLIGENT_TIERING", tier="FREQUENT"),
        Row(key="b", storage_class="INTELLIGENT_TIERING", tier="ARCHIVE"),
        Row(key="c", storage_class="INTELLIGENT_TIERING", tier="DEEP_ARCHIVE"),
        Row(key="d", storage_class="GLACIER"),
    ]
    found = {item.key: item for item in read_inventory(servers, inventory(rows, file_format=file_format))}
    assert [found[key].unreadable for key in "abcd"] == [None, SkipReason.ARCHIVED, SkipReason.ARCHIVED, None]
    assert found["d"].storage_class == "GLACIER"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sourceBucket": "another"}, "is an inventory of 'another', and source_bucket is 'source-bucket'"),
        ({"fileFormat": "ORC"}, "is an inventory in ORC: have S3 write it as CSV or Parquet"),
        ({"fileSchema": "Bucket, Key, Size"}, "has no LastModifiedDate and no ETag and no StorageClass: add"),
        ({"fileSchema": f"{CSV_SCHEMA}, ChecksumAlgorithm"}, "cannot be read past row 0: a row has 13 values"),
        (
            {"fileSchema": CSV_SCHEMA.replace("Size, LastModifiedDate", "LastModifiedDate, Size")},
            "cannot be read past row 1",
        ),
        ({"files": [{"key": "gone.csv.gz", "MD5checksum": "0"}]}, "there is no such file"),
        ({"files": "none"}, "is not a manifest.json of an S3 Inventory"),
        ({"files": [{"key": "x"}]}, "is not a manifest.json of an S3 Inventory: it has no 'MD5checksum'"),
    ],
)
def test_an_invalid_inventory_is_refused_in_one_sentence(servers, inventory, changed, said: str) -> None:
    uri = inventory([Row(key="a")], **changed)
    with pytest.raises(SourceListInvalid, match=re.escape(said)):
        read_inventory(servers, uri)


def test_a_file_of_another_md5_is_refused(servers, inventory) -> None:
    uri = inventory([Row(key="a")])
    name = json.loads(servers.client.get_object(Bucket=INVENTORIES, Key=SourceUri.parse(uri).name)["Body"].read())
    key = name["files"][0]["key"]
    servers.client.put_object(Bucket=INVENTORIES, Key=key, Body=gzip.compress(b""))
    with pytest.raises(SourceListInvalid, match=r"has the MD5 .*, and the manifest says"):
        read_inventory(servers, uri)


def test_an_invalid_or_absent_manifest_json_is_refused(servers) -> None:
    servers.client.put_object(Bucket=INVENTORIES, Key="x/manifest.json", Body=b"<html>")
    with pytest.raises(SourceListInvalid, match=r"is not a manifest\.json"):
        read_inventory(servers, f"s3://{INVENTORIES}/x/manifest.json")
    with pytest.raises(SourceListInvalid, match="S3 answered 404: there is no such file; correct source_listing"):
        read_inventory(servers, f"s3://{INVENTORIES}/y/manifest.json")


@pytest.mark.parametrize("action", ["truncate", "reset"])
def test_a_body_that_breaks_off_is_requested_again(servers, inventory, action: str) -> None:
    uri = inventory([Row(key=key) for key in HOSTILE_KEYS])
    servers.s3.faults.replace([fault("GET /inventory-bucket/.*/data/", action, at_byte=100, times=2)])
    try:
        before = servers.s3.requests()["GET object 206"]
        assert len(read_inventory(servers, uri)) == len(HOSTILE_KEYS)
        assert servers.s3.requests()["GET object 206"] == before + 4, "manifest.json, and its file at the third try"
    finally:
        servers.s3.faults.replace([])


def test_a_stop_request_ends_the_reading(servers, inventory) -> None:
    uri = inventory([Row(key="a")])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        read_inventory(replace(servers, stop=stop), uri)
