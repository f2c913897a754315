"""What the local Cloud Storage refuses, and how its answers are cut to size: names, checksums, fields, XML errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from gcs_clients import BUCKET, Wire, crc32c, serving
from localcloud.gcs import GcsServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def wire(server: GcsServer) -> Wire:
    return Wire(server)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x", "é" * 513], ids=lambda name: name[:10]
)
def test_names_cloud_storage_does_not_take(wire: Wire, name: str) -> None:
    assert wire.upload(name, b"x").status == 400
    assert wire.begin({"name": name}).status == 400
    assert wire.upload_related({"name": name}, b"x").status == 400


def test_text_that_is_not_utf8_is_refused(wire: Wire) -> None:
    assert wire.upload_related(b'{"name": "\\ud800"}', b"x").status == 400
    assert wire.upload_related(b'{"name": "n", "metadata": {"k": "\\udfff"}}', b"x").status == 400
    assert wire.call("POST", f"b/{BUCKET}/o/n/compose", {"sourceObjects": [{"name": "\udfff"}]}).status == 400
    assert wire.send("PUT", f"/{BUCKET}/%ff", b"x").status == 400
    assert wire.call("GET", f"b/{BUCKET}/o", pageToken="é").status == 400
    assert wire.call("GET", f"b/{BUCKET}/o", maxResults="9" * 5000).status == 400


def test_metadata_has_a_limit(wire: Wire) -> None:
    assert wire.upload_related({"name": "full", "metadata": {"key": "v" * 8189}}, b"x").status == 200
    assert wire.upload_related({"name": "over", "metadata": {"key": "é" * 4095}}, b"x").status == 400
    assert wire.begin({"name": "over", "metadata": {"key": "v" * 8190}}).status == 400
    assert wire.send("PUT", f"/{BUCKET}/over", b"x", {"x-goog-meta-key": "v" * 8190}).status == 400
    assert wire.call("PATCH", f"b/{BUCKET}/o/full", {"metadata": {"k": "v"}}).status == 400
    assert wire.metadata("over").status == 404
    assert "k" not in wire.metadata("full").json["metadata"]


def test_a_checksum_mismatch_leaves_no_object(wire: Wire) -> None:
    right, wrong = {"X-Goog-Hash": f"crc32c={crc32c(b'data')}"}, {"X-Goog-Hash": "crc32c=AAAAAA=="}
    bad_md5 = {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert wire.upload("sum", b"data", wrong).status == 400
    assert wire.upload("sum", b"data", bad_md5).status == 400
    assert wire.upload_related({"name": "sum", "crc32c": "AAAAAA=="}, b"data").status == 400
    assert wire.upload_related({"name": "sum", "md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}, b"data").status == 400
    answer = wire.send("PUT", f"/{BUCKET}/sum", b"data", wrong)
    assert (answer.status, ElementTree.fromstring(answer.body).findtext("Code")) == (400, "BadDigest")
    assert wire.metadata("sum").status == 404
    assert wire.send("PUT", f"/{BUCKET}/sum", b"data", right | {"x-goog-if-generation-match": "0"}).status == 200
    assert wire.send("PUT", f"/{BUCKET}/sum", b"data", {"x-goog-if-generation-match": "0"}).status == 412


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
@pytest.mark.parametrize("data", [b"", b"\r\n", b"--cut", b"\n--cut her", b"x" * 300_000])
def test_multipart_bodies_are_taken_apart_exactly(wire: Wire, data: bytes, eol: bytes) -> None:
    assert wire.upload_related({"name": "parts"}, data, eol=eol).status == 200
    assert wire.download("parts").body == data


def test_a_multipart_body_cut_short_leaves_no_object(wire: Wire) -> None:
    body = b'--b\r\n\r\n{"name": "cut"}\r\n--b\r\n\r\nhalf of the da'
    target, kind = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart", "multipart/related; boundary=b"
    assert wire.send("POST", target, body, {"Content-Type": kind}).status == 400
    assert wire.metadata("cut").status == 404


def test_fields_select_parts_of_answers(wire: Wire) -> None:
    for name in ("fields/a", "fields/b"):
        wire.upload_related({"name": name, "metadata": {"x": "1", "y": "2"}}, b"data")
    query = {"prefix": "fields/", "maxResults": "1"}
    page = wire.call("GET", f"b/{BUCKET}/o", fields="items(name,metadata/x),nextPageToken", **query).json
    assert page["items"] == [{"name": "fields/a", "metadata": {"x": "1"}}]
    assert set(page) == {"items", "nextPageToken"}
    assert wire.call("GET", f"b/{BUCKET}/o", fields="items/crc32c", **query).json == {
        "items": [{"crc32c": crc32c(b"data")}]
    }
    assert wire.metadata("fields/a", fields="size,metadata").json == {"size": "4", "metadata": {"x": "1", "y": "2"}}
    assert set(wire.upload("fields/c", b"x", fields="generation").json) == {"generation"}
    assert wire.metadata("fields/a", fields="*").json == wire.metadata("fields/a").json
    for bad in ("items(", "items)", "a,,b", "/a"):
        assert wire.metadata("fields/a", fields=bad).status == 400


def test_ranges(wire: Wire) -> None:
    wire.upload("range", b"0123456789")
    for asked, body, span in [
        ("2-4", b"234", "2-4"),
        ("7-", b"789", "7-9"),
        ("-3", b"789", "7-9"),
        ("8-99", b"89", "8-9"),
    ]:
        answer = wire.download("range", {"Range": f"bytes={asked}"})
        assert (answer.status, answer.body, answer.headers["content-range"]) == (206, body, f"bytes {span}/10")
    answer = wire.download("range", {"Range": "bytes=10-"})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10")
    assert wire.download("range", {"Range": "pages=1-2"}).status == 200


def test_the_xml_api_shows_metadata_in_headers(wire: Wire) -> None:
    headers = {"x-goog-meta-Key": "v", "Content-Type": "text/x", "Cache-Control": "no-store", "Content-Language": "de"}
    put = wire.send("PUT", f"/{BUCKET}/xml%20object", b"data", headers)
    assert (put.status, put.headers["x-goog-hash"].split(",")[0]) == (200, f"crc32c={crc32c(b'data')}")
    wire.call("PATCH", f"b/{BUCKET}/o/xml%20object", {"metadata": {"two": "line\r\nX-Not: there"}})
    head = wire.send("HEAD", f"/{BUCKET}/xml%20object")
    assert (head.status, head.headers["x-goog-meta-key"], head.headers["content-language"]) == (200, "v", "de")
    assert "x-not" not in head.headers
    assert head.headers["x-goog-generation"] == put.headers["x-goog-generation"]
    assert wire.send("DELETE", f"/{BUCKET}/xml%20object").status == 204
    missing = wire.send("GET", f"/{BUCKET}/xml%20object")
    assert (missing.status, ElementTree.fromstring(missing.body).findtext("Code")) == (404, "NoSuchKey")


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_an_s3_client_lists_by_the_xml_api(server: GcsServer, wire: Wire, operation: str) -> None:
    for name in ("s3/a b", "s3/d/1", "s3/d/2", "s3/e+ü/1", "s3/z"):
        wire.upload(name, b"x")
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=server.url, region_name="auto", config=config)
    pages = client.get_paginator(operation).paginate(
        Bucket=BUCKET, Prefix="s3/", Delimiter="/", PaginationConfig={"PageSize": 1, "MaxItems": 20}
    )
    found = [item for page in pages for item in page.get("Contents", []) + page.get("CommonPrefixes", [])]
    names = [item.get("Key") or item["Prefix"] for item in found]
    assert names == ["s3/a b", "s3/d/", "s3/e+ü/", "s3/z"]


def test_a_batch_takes_bodies_in_utf8(wire: Wire) -> None:
    wire.upload("batched", b"x")
    body = json.dumps({"metadata": {"k": "ü"}}, ensure_ascii=False)
    call = f"PATCH /storage/v1/b/{BUCKET}/o/batched HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{body}"
    part = f"--b\r\nContent-Type: application/http\r\nContent-ID: <1>\r\n\r\n{call}\r\n--b--\r\n"
    answer = wire.send("POST", "/batch/storage/v1", part.encode(), {"Content-Type": "multipart/mixed; boundary=b"})
    assert (answer.status, b"<response-1>" in answer.body) == (200, True)
    assert wire.metadata("batched").json["metadata"] == {"k": "ü"}
    assert wire.send("POST", "/batch/storage/v1", b"", {"Content-Type": "text/plain"}).status == 400


def test_a_bucket_may_be_called_like_a_path(wire: Wire) -> None:
    assert wire.call("POST", "b", {"name": "batches"}).status == 200
    assert wire.send("PUT", "/batches/object", b"x").status == 200
    assert wire.send("GET", "/batches/object").body == b"x"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])
def test_it_binds_loopback_only(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValueError):
        GcsServer(tmp_path, host=host)
