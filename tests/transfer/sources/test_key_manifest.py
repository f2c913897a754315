"""Manifests of keys in every form that is accepted, and hostile keys in them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
from urllib.parse import quote_plus

import pytest

from engine_rig import SOURCE, EngineRig
from inventories import HOSTILE_KEYS, INVENTORIES
from transfer.backends.gcs.files import GcsFiles
from transfer.backends.s3.files import S3Files
from transfer.errors import SourceListInvalid
from transfer.reconciliation.report import FailuresFile
from transfer.records.layout import ARCHIVED_COLUMNS
from transfer.sources.files import FileStore, SourceUri
from transfer.sources.key_manifest import HEAD_BYTES, check_header, manifest_keys


def csv_text(rows, *, quoting=csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows(rows)
    return text.getvalue().encode()


def read_keys(rig: EngineRig, name: str, body: bytes, *, scheme: str = "s3", prefix: str = "") -> list[tuple[str, str]]:
    if scheme == "s3":
        rig.client.put_object(Bucket=INVENTORIES, Key=name, Body=body)
        store: FileStore = S3Files(rig.client, INVENTORIES)
        bucket = INVENTORIES
    else:
        client = rig.gcs_client()
        rig.storage.bucket(client.bucket).blob(name).upload_from_string(body)
        store, bucket = GcsFiles(client, rig.retrier(), rig.stop), client.bucket
    uri = SourceUri.parse(f"{scheme}://{bucket}/{name}")
    return list(manifest_keys(store, uri, source_bucket=SOURCE, prefix=prefix, stop=rig.stop))


KEYS = [*HOSTILE_KEYS, "a", "a"]


EXPECTED = [(key, "") for key in sorted(set(KEYS), key=lambda key: key.encode())]


@pytest.mark.parametrize("scheme", ["s3", "gs"])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("list.csv", csv_text([["key"], *([key] for key in KEYS)])),
        ("list.csv.gz", gzip.compress(csv_text([["size", "Key", "Storage Class"], *(["1", key, ""] for key in KEYS)]))),
        ("bom.csv", b"\xef\xbb\xbf" + csv_text([["key"], *([key] for key in KEYS)], quoting=csv.QUOTE_ALL)),
        ("list.jsonl", "".join(json.dumps({"key": key}) + "\n" for key in KEYS).encode()),
        ("gzip-in-secret.ndjson", gzip.compress("\n\n".join(json.dumps({"key": key}) for key in KEYS).encode())),
    ],
)
def test_a_manifest_is_read_in_byte_order_and_each_key_once(servers, scheme, name, body) -> None:
    assert read_keys(servers, f"lists/ä {name}", body, scheme=scheme) == EXPECTED


def test_a_manifest_of_batch_operations(servers) -> None:
    rows = [[SOURCE, quote_plus(key, safe="/")] for key in KEYS]
    assert read_keys(servers, "batch.csv", csv_text(rows)) == EXPECTED
    rows = [[SOURCE, "b%20c", "v2"], [SOURCE, "a", ""]]
    assert read_keys(servers, "batch.csv", csv_text(rows)) == [("a", ""), ("b c", "v2")]


def test_version_ids_are_read(servers) -> None:
    body = b'{"key": "b", "version_id": "v2"}\n{"key": "a", "version_id": null}\n{"key": "b", "version_id": "v2"}\n'
    assert read_keys(servers, "v.jsonl", body) == [("a", ""), ("b", "v2")]
    assert read_keys(servers, "v.csv", b"version_id,key\nv2,b\n,a\n") == [("a", ""), ("b", "v2")]


@pytest.mark.parametrize(
    "name", ["VersionId", "version", "VERSION_ID", "version-id", "versionid", "Version ID", "versionId", "version_id"]
)
def test_a_version_is_understood_however_it_is_spelt(servers, name: str) -> None:
    assert read_keys(servers, "v.csv", f"Key,{name}\na,v1\n".encode()) == [("a", "v1")]
    assert read_keys(servers, "v.jsonl", json.dumps({"Key": "a", name: "v1"}).encode()) == [("a", "v1")]


def test_a_listing_of_s3_is_a_valid_manifest(servers) -> None:
    """As `aws s3api list-objects-v2` gives it, an object a line."""
    line = {
        "Key": "a",
        "LastModified": "2026-01-01T00:00:00+00:00",
        "ETag": '"e"',
        "ChecksumAlgorithm": ["CRC32C"],
        "ChecksumType": "FULL_OBJECT",
        "Size": 4,
        "StorageClass": "STANDARD",
        "Owner": {"ID": "x"},
    }
    assert read_keys(servers, "s3.jsonl", json.dumps(line).encode()) == [("a", "")]
    rows = [["bucket", "key", "version_id"], [SOURCE, "a", "v"], ["", "b", ""]]
    assert read_keys(servers, "b.csv", csv_text(rows)) == [("a", "v"), ("b", "")]


def test_failures_csv_is_a_valid_manifest(servers) -> None:
    for columns in (FailuresFile.COLUMNS, ARCHIVED_COLUMNS):
        assert read_keys(servers, "f.csv", f"{','.join(columns)}\na\n".encode()) == [("a", "")]


HEADERS = [
    ("x.csv", b"key,verison_id\na,1\n", "'verison_id' is not known: did you mean version_id?"),
    ("x.csv", b"key,version_id,VersionId\na,1,2\n", "'version_id' and 'VersionId' both mean the version_id: keep one"),
    ("x.csv", b"key,Key\na,b\n", "'key' and 'Key' both mean the key: keep one"),
    ("x.csv", b"key,\na,\n", "'' is not known"),
    ("x.csv", b"key,is_latest\na,false\n", "'is_latest' is not known"),
    ("x.csv", b"kye,version_id\na,1\n", "has no column key (is 'kye' a misspelling?)"),
    ("x.jsonl", b'{"key": "a", "versoin": "1"}\n', "line 1: 'versoin' is not known: did you mean version_id?"),
    ("x.jsonl", b'{"key": "a", "version": "1", "versionId": "2"}\n', "both mean the version_id: keep one"),
    ("x.jsonl", b'{"key": "a", "key": "b"}\n', "both mean the key: keep one"),
    ("x.jsonl", b'{"kee": "a"}\n', "line 1 is not a JSON object with a key"),
    ("x.jsonl", b'{"Bucket": "another", "key": "a"}\n', "it names the bucket 'another', but source_bucket is"),
]


@pytest.mark.parametrize(("name", "body", "said"), HEADERS)
def test_an_invalid_header_is_refused_by_the_first_bytes(name: str, body: bytes, said: str) -> None:
    uri = SourceUri.parse(f"s3://lists/{name}")
    for head in (body, gzip.compress(body), body + b"\xff" * 2 * HEAD_BYTES):
        with pytest.raises(SourceListInvalid, match=re.escape(said)) as caught:
            check_header(head[:HEAD_BYTES], uri, SOURCE)
        assert str(uri) in caught.value.message


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("x.csv", b"key,version_id\na"),
        ("x.csv", b"key"),
        ("x.csv", f"{SOURCE},a%20b\n".encode()),
        ("x.csv", gzip.compress(b"key\n" + os.urandom(2 * HEAD_BYTES))[:HEAD_BYTES]),
        ("x.jsonl", b'{"key": "a"}\n{"broken'),
        ("x.jsonl", b'{"key": "' + b"a" * HEAD_BYTES),  # the reading will tell
    ],
)
def test_a_valid_header_passes(name: str, head: bytes) -> None:
    check_header(head, SourceUri.parse(f"s3://lists/{name}"), SOURCE)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        *HEADERS,
        ("x.csv", b"key\na,b.txt\n", "line 2 has 2 values for 1 columns: put a key with commas in quotes"),
        ("x.csv", b"source-bucket,a,v,more\n", "line 1 names more than a bucket, a key and a version"),
        ("x.jsonl", b"[" * 100_000, "line 1 is not a JSON object with a key"),
        ("x.csv", b"a\nb\n", "has no column key: write key, or key,version_id, on its first line"),
        ("x.csv", b"", "has no column key"),
        ("x.csv", b"key\n\xff\n", "cannot be read at or after line 0: 'utf-8' codec can't decode"),
        ("x.csv", b'key\na\n"b', "cannot be read at or after line 2: unexpected end of data"),
        ("x.csv", b"key,version_id\na,1\n,2\n", "cannot be read at or after line 3: it has no key"),
        ("x.csv", b"source-bucket,a\nanother,b\n", "line 2 names no key of 'source-bucket', as the first line does"),
        (
            "x.csv",
            b"key,version_id\na,1\na,2\n",
            "names 'a' in two versions, '1' and '2', but the destination has one name",
        ),
        ("x.csv", b"key,version_id\na,1\na,\n", "names 'a' in two versions, the current one and '1'"),
        ("x.csv.gz", gzip.compress(b"key\na\n")[:-6], "cannot be read at or after line"),
        ("x.jsonl", b'{"key": "a"}\n{"kee": "b"}\n', "line 2 is not a JSON object with a key"),
        ("x.jsonl", b'{"key": "a"}\n[1]\n', "line 2 is not a JSON object with a key"),
        ("x.jsonl", b'{"key": 7}\n', "a key or version id that is not a text"),
        ("x.jsonl", b'{"key": ""}\n', "it has no key"),
        ("x.jsonl", b'{"key": "a", "version_id": 7}\n', "a key or version id that is not a text"),
    ],
)
def test_an_invalid_manifest_is_refused_in_one_sentence(servers, name: str, body: bytes, said: str) -> None:
    with pytest.raises(SourceListInvalid, match=re.escape(said)) as caught:
        read_keys(servers, name, body)
    assert f"s3://{INVENTORIES}/{name}" in caught.value.message


def test_a_key_outside_the_prefix_is_refused(servers) -> None:
    assert read_keys(servers, "p.csv", b"key\nin/a\n", prefix="in/") == [("in/a", "")]
    with pytest.raises(
        SourceListInvalid, match=r"p.csv, line 3, names the key 'out/b', which is not under source_prefix 'in/'"
    ):
        read_keys(servers, "p.csv", b"key\nin/a\nout/b\n", prefix="in/")


def test_archived_csv_is_a_valid_manifest(servers) -> None:
    assert read_keys(servers, "archived.csv", b"key,version_id,bytes,class\r\na,,4,GLACIER\r\nb,v1,4,GLACIER\r\n") == [
        ("a", ""),
        ("b", "v1"),
    ]
