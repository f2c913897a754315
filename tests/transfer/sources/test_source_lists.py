"""What stands in place of a listing: inventories as S3 delivers them, manifests that people write, and hostile keys in both."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from engine_rig import SOURCE, EngineRig, engine_rig, fault
from inventories import CSV_SCHEMA, Row, parquet_file, put_inventory
from transfer.backends.gcs.files import GcsFiles
from transfer.backends.parquet import parquet_rows
from transfer.backends.s3.files import S3Files, head_all
from transfer.errors import CredentialsRejected, EndpointRejected, SourceListInvalid, SourceUnavailable, Stopped
from transfer.model import ObjectMeta, SkipReason
from transfer.records import sorting
from transfer.sources.files import SourceUri
from transfer.sources.inventory import inventory_objects
from transfer.sources.key_manifest import HEAD_BYTES, check_header, manifest_keys

INVENTORIES = "inventory-bucket"
HOSTILE = [
    "with space",
    "plus+plus",
    "%2B%20",
    "a,b",
    'quo"ted',
    "x//y",
    "/lead",
    "p/../q",
    "./r",
    "line\nfeed",
    "carriage\rreturn",
    "tab\t",
    "nul\x00",
    "\u2028",
    "\uffee",
    "\U0001f69a",
    "ünï-e\u0301",
    "k" * 1000,
    "key",
    "#?&=",
    "'",
    "\\",
]


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
        with engine_rig(tmp_path_factory.mktemp("lists"), patch.setenv) as made:
            made.client.create_bucket(Bucket=INVENTORIES)
            yield made


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
        for some in (HOSTILE[::2], [*keys[::2], *HOSTILE[1::2]], keys[1::2], [])
    ]
    uri = inventory(*files, file_format=file_format)
    found = read_inventory(servers, uri)
    assert [item.key for item in found] == sorted([*HOSTILE, *keys], key=lambda key: key.encode())
    for item in found:
        assert (item.size_bytes, item.etag) == (len(item.key.encode()), f"{len(item.key):032x}")
        assert item.last_modified_s == int(datetime(2026, 1, 31, 8, 0, 1, tzinfo=UTC).timestamp())
        assert (item.storage_class, item.unreadable, item.version_id) == ("STANDARD", None, "")
    assert [item.key for item in read_inventory(servers, uri, prefix="3/")] == sorted(
        key for key in keys if key[:2] == "3/"
    )


@both
def test_of_versions_the_latest_that_is_there(servers, inventory, file_format: str) -> None:
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
def test_what_is_archived_is_told(servers, inventory, file_format: str) -> None:
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
        ({"files": "none"}, "is no manifest.json of an S3 Inventory"),
        ({"files": [{"key": "x"}]}, "is no manifest.json of an S3 Inventory: it has no 'MD5checksum'"),
    ],
)
def test_a_bad_inventory_is_one_sentence(servers, inventory, changed, said: str) -> None:
    uri = inventory([Row(key="a")], **changed)
    with pytest.raises(SourceListInvalid, match=re.escape(said)):
        read_inventory(servers, uri)


def test_a_file_that_was_changed_is_not_believed(servers, inventory) -> None:
    uri = inventory([Row(key="a")])
    name = json.loads(servers.client.get_object(Bucket=INVENTORIES, Key=SourceUri.parse(uri).name)["Body"].read())
    key = name["files"][0]["key"]
    servers.client.put_object(Bucket=INVENTORIES, Key=key, Body=gzip.compress(b""))
    with pytest.raises(SourceListInvalid, match=r"has the MD5 .*, and the manifest says"):
        read_inventory(servers, uri)


def test_a_manifest_json_that_is_none_or_not_there(servers) -> None:
    servers.client.put_object(Bucket=INVENTORIES, Key="x/manifest.json", Body=b"<html>")
    with pytest.raises(SourceListInvalid, match=r"is no manifest\.json"):
        read_inventory(servers, f"s3://{INVENTORIES}/x/manifest.json")
    with pytest.raises(SourceListInvalid, match="S3 answered 404: there is no such file; correct source_listing"):
        read_inventory(servers, f"s3://{INVENTORIES}/y/manifest.json")


def test_parquet_of_another_writer(servers, inventory, tmp_path) -> None:
    """Texts as plain bytes, times in nanoseconds, columns elsewhere and more of them."""
    schema = pa.schema(
        [
            ("storage_class", pa.binary()),
            ("last_modified_date", pa.timestamp("ns")),
            ("key", pa.binary()),
            ("e_tag", pa.large_string()),
            ("size", pa.int64()),
            ("object_owner", pa.string()),
        ]
    )
    path = tmp_path / "x.parquet"
    plain = [Row(key=key, modified=datetime(2026, 1, 31, 8, 0, 1)) for key in HOSTILE]
    path.write_bytes(parquet_file(plain, SOURCE, schema))
    rows = list(parquet_rows(path))
    assert [row[0] for row in rows] == HOSTILE
    assert {row[1:] for row in rows} == {(1769846401, 1, "0" * 32, "STANDARD", None, None, None)}
    path.write_bytes(parquet_file(plain, SOURCE, pa.schema([("key", pa.string()), ("size", pa.int64())])))
    with pytest.raises(SourceListInvalid, match="has no LastModifiedDate and no ETag and no StorageClass"):
        list(parquet_rows(path))


@pytest.mark.parametrize("action", ["truncate", "reset"])
def test_a_body_that_breaks_off_is_asked_for_again(servers, inventory, action: str) -> None:
    uri = inventory([Row(key=key) for key in HOSTILE])
    servers.s3.faults.replace([fault("GET /inventory-bucket/.*/data/", action, at_byte=100, times=2)])
    try:
        before = servers.s3.requests()["GET object 206"]
        assert len(read_inventory(servers, uri)) == len(HOSTILE)
        assert servers.s3.requests()["GET object 206"] == before + 4, "manifest.json, and its file at the third try"
    finally:
        servers.s3.faults.replace([])


def test_a_stop_request_is_heeded(servers, inventory) -> None:
    uri = inventory([Row(key="a")])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        read_inventory(replace(servers, stop=stop), uri)


# A manifest that a person writes


def csv_text(rows, *, quoting=csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows(rows)
    return text.getvalue().encode()


def read_keys(rig: EngineRig, name: str, body: bytes, *, scheme: str = "s3", prefix: str = "") -> list[tuple[str, str]]:
    if scheme == "s3":
        rig.client.put_object(Bucket=INVENTORIES, Key=name, Body=body)
        store: S3Files | GcsFiles = S3Files(rig.client, INVENTORIES)
        bucket = INVENTORIES
    else:
        client = rig.gcs_client()
        rig.storage.bucket(client.bucket).blob(name).upload_from_string(body)
        store, bucket = GcsFiles(client, rig.retrier(), rig.stop), client.bucket
    uri = SourceUri.parse(f"{scheme}://{bucket}/{name}")
    return list(manifest_keys(store, uri, source_bucket=SOURCE, prefix=prefix, stop=rig.stop))


KEYS = [*HOSTILE, "a", "a"]
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
    from urllib.parse import quote_plus

    rows = [[SOURCE, quote_plus(key, safe="/")] for key in KEYS]
    assert read_keys(servers, "batch.csv", csv_text(rows)) == EXPECTED
    rows = [[SOURCE, "b%20c", "v2"], [SOURCE, "a", ""]]
    assert read_keys(servers, "batch.csv", csv_text(rows)) == [("a", ""), ("b c", "v2")]


def test_version_ids(servers) -> None:
    body = b'{"key": "b", "version_id": "v2"}\n{"key": "a", "version_id": null}\n{"key": "b", "version_id": "v2"}\n'
    assert read_keys(servers, "v.jsonl", body) == [("a", ""), ("b", "v2")]
    assert read_keys(servers, "v.csv", b"version_id,key\nv2,b\n,a\n") == [("a", ""), ("b", "v2")]


@pytest.mark.parametrize(
    "name", ["VersionId", "version", "VERSION_ID", "version-id", "versionid", "Version ID", "versionId", "version_id"]
)
def test_a_version_is_understood_however_it_is_spelt(servers, name: str) -> None:
    assert read_keys(servers, "v.csv", f"Key,{name}\na,v1\n".encode()) == [("a", "v1")]
    assert read_keys(servers, "v.jsonl", json.dumps({"Key": "a", name: "v1"}).encode()) == [("a", "v1")]


def test_what_s3_lists_is_a_manifest(servers) -> None:
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


def test_failures_csv_is_a_manifest(servers) -> None:
    from transfer.reconciliation.report import FailuresFile
    from transfer.records.layout import ARCHIVED_COLUMNS

    for columns in (FailuresFile.COLUMNS, ARCHIVED_COLUMNS):
        assert read_keys(servers, "f.csv", f"{','.join(columns)}\na\n".encode()) == [("a", "")]


HEADERS = [
    ("x.csv", b"key,verison_id\na,1\n", "'verison_id' is not known: did you mean version_id?"),
    ("x.csv", b"key,version_id,VersionId\na,1,2\n", "'version_id' and 'VersionId' both mean the version_id: keep one"),
    ("x.csv", b"key,Key\na,b\n", "'key' and 'Key' both mean the key: keep one"),
    ("x.csv", b"key,\na,\n", "'' is not known"),
    ("x.csv", b"key,is_latest\na,false\n", "'is_latest' is not known"),
    ("x.csv", b"kye,version_id\na,1\n", "has no column key (did you mean it by 'kye'?)"),
    ("x.jsonl", b'{"key": "a", "versoin": "1"}\n', "line 1: 'versoin' is not known: did you mean version_id?"),
    ("x.jsonl", b'{"key": "a", "version": "1", "versionId": "2"}\n', "both mean the version_id: keep one"),
    ("x.jsonl", b'{"key": "a", "key": "b"}\n', "both mean the key: keep one"),
    ("x.jsonl", b'{"kee": "a"}\n', "line 1 is no JSON object with a key"),
    ("x.jsonl", b'{"Bucket": "another", "key": "a"}\n', "it names the bucket 'another', and source_bucket is"),
]


@pytest.mark.parametrize(("name", "body", "said"), HEADERS)
def test_a_wrong_header_is_refused_before_anything_is_read(name: str, body: bytes, said: str) -> None:
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
def test_a_right_header_passes(name: str, head: bytes) -> None:
    check_header(head, SourceUri.parse(f"s3://lists/{name}"), SOURCE)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        *HEADERS,
        ("x.csv", b"key\na,b.txt\n", "line 2 has 2 values for 1 columns: put a key with commas in quotes"),
        ("x.csv", b"source-bucket,a,v,more\n", "line 1 names more than a bucket, a key and a version"),
        ("x.jsonl", b"[" * 100_000, "line 1 is no JSON object with a key"),
        ("x.csv", b"a\nb\n", "has no column key: write key, or key,version_id, on its first line"),
        ("x.csv", b"", "has no column key"),
        ("x.csv", b"key\n\xff\n", "cannot be read at or after line 0: 'utf-8' codec can't decode"),
        ("x.csv", b'key\na\n"b', "cannot be read at or after line 2: unexpected end of data"),
        ("x.csv", b"key,version_id\na,1\n,2\n", "cannot be read at or after line 3: it has no key"),
        ("x.csv", b"source-bucket,a\nanother,b\n", "line 2 names no key of 'source-bucket', which the first line does"),
        (
            "x.csv",
            b"key,version_id\na,1\na,2\n",
            "names 'a' in two versions, '1' and '2', and the destination has one name",
        ),
        ("x.csv", b"key,version_id\na,1\na,\n", "names 'a' in two versions, the current one and '1'"),
        ("x.csv.gz", gzip.compress(b"key\na\n")[:-6], "cannot be read at or after line"),
        ("x.jsonl", b'{"key": "a"}\n{"kee": "b"}\n', "line 2 is no JSON object with a key"),
        ("x.jsonl", b'{"key": "a"}\n[1]\n', "line 2 is no JSON object with a key"),
        ("x.jsonl", b'{"key": 7}\n', "a key or version id that is no text"),
        ("x.jsonl", b'{"key": ""}\n', "it has no key"),
        ("x.jsonl", b'{"key": "a", "version_id": 7}\n', "a key or version id that is no text"),
    ],
)
def test_a_bad_manifest_is_one_sentence(servers, name: str, body: bytes, said: str) -> None:
    with pytest.raises(SourceListInvalid, match=re.escape(said)) as caught:
        read_keys(servers, name, body)
    assert f"s3://{INVENTORIES}/{name}" in caught.value.message


def test_a_key_outside_the_prefix_is_no_silent_loss(servers) -> None:
    assert read_keys(servers, "p.csv", b"key\nin/a\n", prefix="in/") == [("in/a", "")]
    with pytest.raises(
        SourceListInvalid, match=r"p.csv, line 3, names the key 'out/b', which is not under source_prefix 'in/'"
    ):
        read_keys(servers, "p.csv", b"key\nin/a\nout/b\n", prefix="in/")


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
def test_a_uri_that_is_none(uri: str) -> None:
    with pytest.raises(SourceListInvalid, match=r"source_listing is .*: write s3:// or gs://"):
        SourceUri.parse(uri)


# What S3 has under the keys


def test_heads_tell_what_a_listing_does(servers) -> None:
    keys = [key for key in HOSTILE if "\n" not in key and "\r" not in key and "\x00" not in key]
    for key in keys:
        servers.put(f"head/{key}", key.encode())
    asked = [(f"head/{key}", "") for key in keys] + [("head/not there", "")]
    found = list(head_all(servers.client, SOURCE, asked, lanes=4))
    assert [item.key for item in found] == [key for key, _ in asked]
    from transfer.backends.s3.listing import list_objects

    listed = {item.key: item for item in list_objects(servers.client, SOURCE, "head/")}
    assert {item.key: item for item in found[:-1]} == listed
    assert (found[-1].unreadable, found[-1].size_bytes) == (SkipReason.ABSENT, 0)


def test_heads_tell_what_is_archived_and_what_is_restored(servers) -> None:
    servers.put("cold/a", b"x", StorageClass="GLACIER")
    servers.put("cold/b", b"x", StorageClass="DEEP_ARCHIVE")
    servers.client.restore_object(Bucket=SOURCE, Key="cold/b", RestoreRequest={"Days": 1})
    found = list(head_all(servers.client, SOURCE, [("cold/a", ""), ("cold/b", "")]))
    assert [(item.storage_class, item.is_restored) for item in found] == [("GLACIER", False), ("DEEP_ARCHIVE", True)]


def test_heads_that_are_refused_end_the_listing(servers) -> None:
    servers.s3.faults.replace([fault("HEAD", "status", status=403)])
    try:
        with pytest.raises(
            CredentialsRejected, match=r"asking for 'a'.*allow s3:GetObject on arn:aws:s3:::source-bucket"
        ):
            list(head_all(servers.client, SOURCE, [("a", "")]))
        servers.s3.faults.replace([fault("HEAD", "status", status=503)])
        with pytest.raises(SourceUnavailable):
            list(head_all(servers.client, SOURCE, [("a", "")]))
    finally:
        servers.s3.faults.replace([])


@pytest.mark.parametrize(("status", "why"), [(403, SkipReason.FORBIDDEN), (400, SkipReason.ENCRYPTED)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_key_that_is_refused_does_not_end_the_list(servers, status: int, why: SkipReason, place: int) -> None:
    for key in ("one/0", "one/1", "one/2"):
        servers.put(key)
    servers.s3.faults.replace([fault(f"HEAD .*one/{place}", "status", status=status)])
    try:
        found = list(head_all(servers.client, SOURCE, [(f"one/{number}", "") for number in range(3)]))
    finally:
        servers.s3.faults.replace([])
    assert [item.key for item in found] == ["one/0", "one/1", "one/2"]
    assert [item.unreadable for item in found] == [why if number == place else None for number in range(3)]


def test_credentials_that_end_midway_end_the_list(servers) -> None:
    """An expired token is 400 as well, and a HEAD has no words: what was told of before is asked for again."""
    for number in range(4):
        servers.put(f"mid/{number}")
    servers.s3.faults.replace([fault("HEAD .*mid/", "status", status=400, after=2)])
    try:
        with pytest.raises(EndpointRejected, match="400"):
            list(head_all(servers.client, SOURCE, [(f"mid/{number}", "") for number in range(4)], lanes=1))
    finally:
        servers.s3.faults.replace([])


def test_archived_csv_is_a_manifest(servers) -> None:
    assert read_keys(servers, "archived.csv", b"key,version_id,bytes,class\r\na,,4,GLACIER\r\nb,v1,4,GLACIER\r\n") == [
        ("a", ""),
        ("b", "v1"),
    ]
