"""The edge as an HTTP server: raw keys, ranges, conditions, headers, limits and faults."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from localcloud.edge import EdgeServer
from localcloud.s3 import S3Server
from needs import program
from public_edge import ask, public_edge

BUCKET = "edge-http"
HOSTILE_KEYS = [
    "plain.txt",
    "with space",
    "plus+percent%hash#question?ampersand&equals=",
    "%2F%2B%252F",
    "double//slash",
    "/leading",
    "//",
    "a/../b",
    "../up",
    "./here",
    "a/./b",
    "..",
    "trailing/",
    "quote'\"<>`{}|\\^~",
    "!*();:@,$[]",
    "emoji-🦀",
    "combining-e\u0301-\u00e9",
    "tab\tdel\x7f",
    "日本語/キー",
    "Policy=x&Signature=y&Key-Pair-Id=z",
    "k" * 1024,
    "é" * 512,
]


@pytest.fixture(scope="module")
def edge(s3: S3Server) -> Iterator[EdgeServer]:
    with public_edge(s3, BUCKET) as server:
        yield server


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda key: ascii(key)[:30])
def test_a_hostile_key_arrives_as_it_is(edge: EdgeServer, client: Any, key: str) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    answer = ask(edge, "/" + quote(key, safe="/"))
    assert (answer.status, answer.body) == (200, key.encode())


def test_curl_agrees_on_raw_paths(edge: EdgeServer, client: Any) -> None:
    for key in ("x/../y", "x//y", "x/./y"):
        client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        command = [program("curl"), "--silent", "--fail", "--path-as-is", f"{edge.url}/{key}"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == key.encode()


def test_metadata_and_the_edges_own_headers(edge: EdgeServer, client: Any) -> None:
    client.put_object(
        Bucket=BUCKET,
        Key="described",
        Body=b"text",
        ContentType="text/plain; charset=utf-8",
        ContentDisposition='attachment; filename="a.txt"',
        ContentLanguage="de",
        ContentEncoding="identity",
        CacheControl="max-age=60",
        StorageClass="STANDARD_IA",
        Metadata={"color": "blue", "under_score": "kept"},
    )
    first, second = ask(edge, "/described"), ask(edge, "/described")
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="described")["Contents"][0]
    expected = {
        "ETag": listed["ETag"],
        "Content-Length": "4",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Disposition": 'attachment; filename="a.txt"',
        "Content-Language": "de",
        "Content-Encoding": "identity",
        "Cache-Control": "max-age=60",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-meta-color": "blue",
        "x-amz-meta-under_score": "kept",
        "X-Cache": "Miss from cloudfront",
        "Server": "AmazonS3",
    }
    assert {name: first.headers[name] for name in expected} == expected
    assert "Last-Modified" in first.headers
    assert "x-amz-request-id" in first.headers
    assert first.headers["Via"].endswith(".cloudfront.net (CloudFront)")
    assert first.headers["X-Amz-Cf-Pop"]
    assert first.headers["X-Amz-Cf-Id"] != second.headers["X-Amz-Cf-Id"]
    assert not [name for name in first.headers if name.startswith("x-amz-checksum")]
    assert "x-amz-checksum-crc32" in ask(edge, "/described", x_amz_checksum_mode="ENABLED").headers


def test_versions_are_reached_by_query(edge: EdgeServer, client: Any) -> None:
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket=BUCKET, Key="versioned", Body=b"old")["VersionId"]
    new = client.put_object(Bucket=BUCKET, Key="versioned", Body=b"new")["VersionId"]
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    assert ask(edge, "/versioned").headers["x-amz-version-id"] == new
    assert ask(edge, f"/versioned?versionId={old}").body == b"old"


def test_ranges_and_head(edge: EdgeServer, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="ten", Body=b"0123456789")
    middle = ask(edge, "/ten", Range="bytes=2-4")
    assert (middle.status, middle.body, middle.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert ask(edge, "/ten", Range="bytes=-3").body == b"789"
    assert ask(edge, "/ten", Range="bytes=7-").body == b"789"
    assert ask(edge, "/ten", Range="bytes=10-").status == 416
    head = ask(edge, "/ten", "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "10")


def test_conditions(edge: EdgeServer, client: Any) -> None:
    etag = client.put_object(Bucket=BUCKET, Key="conditional", Body=b"body")["ETag"]
    modified = ask(edge, "/conditional").headers["Last-Modified"]
    assert ask(edge, "/conditional", If_None_Match=etag).status == 304
    assert ask(edge, "/conditional", If_None_Match='"other"').status == 200
    assert ask(edge, "/conditional", If_Modified_Since=modified).status == 304
    assert ask(edge, "/conditional", If_Match=etag).status == 200
    failed = ask(edge, "/conditional", If_Match='"other"')
    assert failed.status == 412
    assert b"PreconditionFailed" in failed.body


def test_what_a_distribution_does_not_take(edge: EdgeServer) -> None:
    assert ask(edge, "/ten", "PUT", body="x").status == 403
    assert ask(edge, "/ten", "GET", body="x").status == 403
    assert ask(edge, "/" + "u" * 8192).status == 413
    assert ask(edge, "/ten", x_long="h" * 20_480).status == 413
    assert b"Generated by cloudfront" in ask(edge, "/ten", "DELETE").body


@pytest.mark.parametrize("target", ["/\u00e9", "http://elsewhere/x", "*", "/x\x01"])
def test_a_target_that_is_no_escaped_path_is_refused(edge: EdgeServer, target: str) -> None:
    address = urlsplit(edge.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as viewer:
        viewer.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert viewer.recv(12) == b"HTTP/1.1 400"


def test_many_viewers_at_once_get_their_own_objects(edge: EdgeServer, client: Any) -> None:
    for number in range(40):
        client.put_object(Bucket=BUCKET, Key=f"many/{number}", Body=f"{number}".encode() * 1000)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda number: ask(edge, f"/many/{number}").body, range(40))
    assert list(answers) == [f"{number}".encode() * 1000 for number in range(40)]


def test_only_loopback_is_bound() -> None:
    with pytest.raises(ValueError, match="loopback"):
        EdgeServer("http://127.0.0.1:1", "b", access_key_id="a", secret_access_key="s", restrict=False, host="0.0.0.0")


def test_as_a_process_of_its_own(s3: S3Server, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="process", Body=b"served")
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": s3.origin_access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.origin_secret_access_key,
    }
    command = [sys.executable, "-m", "localcloud.edge", "--origin", s3.url, "--bucket", BUCKET, "--public"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 20)[0]
        ready = json.loads(process.stdout.readline())
        answer = ask(SimpleNamespace(url=ready["url"]), "/process")
        process.terminate()
        assert (ready["service"], answer.body, process.wait(timeout=10)) == ("edge", b"served", 0)
