"""Object names that URLs, shells and file systems would change, by both APIs, and the order of listings."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from gcs_clients import BUCKET, Wire, connect, serving
from localcloud.gcs import GcsServer

NAMES = [
    *("//", "/", "/a", "a//b", "a/", "a/../b", "../x", "./x", "a/./b", "...", "a/.."),
    *(
        " ",
        " a ",
        "a b",
        "a+b",
        "a%2Fb",
        "%",
        "100%",
        "%00",
        "a%20b",
        "?",
        "a?b=c&d",
        "#",
        "a#b",
        "&amp;",
        "<k>",
        '"',
        "'",
    ),
    *("\\", "a\\b", "[x]*", "{a}", "|", "^", "~", "`", ":", "a:b", ";", ",", "=", "@", "$", "!", "\t", "\x01", "\x7f"),
    *("é", "e\u0301", "ﬁ", "日本語", "🦀", "👩‍👩‍👧", "\u202egnp.exe", "\ufeff", "\uffee", "\U0001f69a", "\u2028"),
    *("o", "b/x/o/y", "uploads", "_localcloud/faults", "storage/v1/b", "rewriteTo", "x" * 1024, "é" * 512, "🦀" * 256),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="module")
def stored(server: GcsServer) -> list[str]:
    bucket = connect(server).bucket(BUCKET)
    for number, name in enumerate(NAMES):
        options = {"chunk_size": 262144} if number % 3 == 0 else {}  # some by a resumable upload
        bucket.blob(name, **options).upload_from_string(name)
    return NAMES


def test_the_python_client_reads_every_name(server: GcsServer, stored: list[str]) -> None:
    bucket = connect(server).bucket(BUCKET)
    for name in stored:
        assert bucket.blob(name).download_as_bytes() == name.encode()
        assert bucket.get_blob(name).name == name


def test_the_xml_api_reads_every_name(server: GcsServer, stored: list[str]) -> None:
    wire = Wire(server)
    for name in stored:
        for safe in ("", "/"):
            if not (safe and name.startswith("_localcloud/")):
                answer = wire.send("GET", f"/{BUCKET}/{quote(name, safe=safe)}")
                assert (answer.status, answer.body) == (200, name.encode())


def test_names_written_by_the_xml_api_copy_and_go(server: GcsServer) -> None:
    wire, bucket = Wire(server), connect(server).create_bucket("by-xml")
    for name in NAMES:
        assert wire.send("PUT", f"/by-xml/{quote(name, safe='')}", name.encode()).status == 200
    for name in NAMES:
        copy = bucket.copy_blob(bucket.blob(name), bucket, f"{name[-200:]}2")
        assert copy.download_as_bytes() == name.encode()
        copy.delete()
    for name in NAMES:
        bucket.blob(name).delete()
    assert list(bucket.list_blobs()) == []


@pytest.mark.parametrize("page_size", [1, 2, 7, None])
def test_listings_are_in_utf8_order_whatever_the_page(
    server: GcsServer, stored: list[str], page_size: int | None
) -> None:
    blobs = connect(server).bucket(BUCKET).list_blobs(page_size=page_size)
    listed = [blob.name for blob in blobs]
    assert listed == sorted(stored, key=str.encode)
    assert listed.index("\uffee") < listed.index("\U0001f69a")  # UTF-16 would have it the other way


@pytest.mark.parametrize("page_size", [1, 3])
@pytest.mark.parametrize("delimiter", ["/", "é", "🦀", "b="])
def test_folding_finds_what_a_plain_listing_finds(
    server: GcsServer, stored: list[str], delimiter: str, page_size: int
) -> None:
    pages = connect(server).bucket(BUCKET).list_blobs(delimiter=delimiter, page_size=page_size)
    assert {blob.name for blob in pages} == {name for name in stored if delimiter not in name}
    assert pages.prefixes == {name.partition(delimiter)[0] + delimiter for name in stored if delimiter in name}


def test_prefixes_and_offsets_are_compared_as_bytes(server: GcsServer, stored: list[str]) -> None:
    bucket = connect(server).bucket(BUCKET)
    for prefix in ("a", "a/", "%", "\uffee", "e", "é", "/"):
        listed = [blob.name for blob in bucket.list_blobs(prefix=prefix, page_size=2)]
        assert listed == sorted((name for name in stored if name.startswith(prefix)), key=str.encode)
    listed = [blob.name for blob in bucket.list_blobs(start_offset="\uffee", end_offset="🦀", page_size=1)]
    assert listed == ["\uffee", "👩‍👩‍👧", "\U0001f69a"]
