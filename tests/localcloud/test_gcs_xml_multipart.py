"""Multipart uploads of the local Cloud Storage's XML API, request by request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gcs_clients import BUCKET, MIB, Answer, Wire, crc32c, serving
from localcloud.gcs import GcsServer

PART_BYTES = 5 * MIB


class Upload:
    """One multipart upload of an object."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.wire, self.target = wire, f"/{BUCKET}/{name}"
        self.id = values(wire.send("POST", f"{self.target}?uploads"), "UploadId")[0]

    def put(self, number: int, data: bytes, headers: dict[str, str] | None = None) -> Answer:
        return self.wire.send("PUT", f"{self.target}?partNumber={number}&uploadId={self.id}", data, headers)

    def complete(self, parts: Sequence[tuple[int, str]]) -> Answer:
        lines = (f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in parts)
        body = f"<CompleteMultipartUpload>{''.join(lines)}</CompleteMultipartUpload>".encode()
        return self.wire.send("POST", f"{self.target}?uploadId={self.id}", body)

    def list(self, query: str = "") -> Answer:
        return self.wire.send("GET", f"{self.target}?uploadId={self.id}{query}")

    def abort(self) -> Answer:
        return self.wire.send("DELETE", f"{self.target}?uploadId={self.id}")


def values(answer: Answer, tag: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(answer.body).iter() if node.tag.endswith(tag)]


def failure(answer: Answer) -> tuple[int, str]:
    return answer.status, values(answer, "Code")[0]


def content_files(data_dir: Path) -> int:
    return sum(path.is_file() for path in (data_dir / "content").rglob("*"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GcsServer]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def wire(server: GcsServer) -> Wire:
    return Wire(server)


def test_parts_in_any_order_and_in_parallel_make_one_object(wire: Wire) -> None:
    contents = {3: b"last", 1: os.urandom(PART_BYTES), 2: os.urandom(PART_BYTES + 1)}
    upload = Upload(wire, "whole")
    with ThreadPoolExecutor() as pool:
        tags = dict(pool.map(lambda item: (item[0], upload.put(*item).headers["etag"]), contents.items()))
    done = upload.complete(sorted(tags.items()))
    whole = b"".join(contents[number] for number in (1, 2, 3))
    assert (done.status, done.headers["x-goog-hash"]) == (200, f"crc32c={crc32c(whole)}")
    assert wire.metadata("whole").json["size"] == str(len(whole))
    assert wire.download("whole").body == whole
    across = wire.download("whole", {"Range": f"bytes={PART_BYTES - 2}-{PART_BYTES + 2}"})
    assert (across.status, across.body) == (206, whole[PART_BYTES - 2 : PART_BYTES + 3])
    assert failure(upload.list()) == (404, "NoSuchUpload")


def test_a_part_sent_again_replaces_the_first_and_unlisted_parts_go(wire: Wire, tmp_path: Path) -> None:
    upload = Upload(wire, "again")
    first = upload.put(1, b"wrong").headers["etag"]
    second = upload.put(1, b"right").headers["etag"]
    upload.put(7, b"never listed")
    assert failure(upload.complete([(1, first)])) == (400, "InvalidPart")
    assert upload.complete([(1, second)]).status == 200
    assert wire.download("again").body == b"right"
    assert content_files(tmp_path) == 1


def test_a_part_is_checked_against_its_hash_and_answers_with_it(wire: Wire, tmp_path: Path) -> None:
    upload = Upload(wire, "hashed")
    right = {"x-goog-hash": f"crc32c={crc32c(b'data')}"}
    assert upload.put(1, b"data", right).headers["x-goog-hash"].startswith(right["x-goog-hash"])
    assert failure(upload.put(2, b"other", right)) == (400, "BadDigest")
    assert failure(upload.put(2, b"other", {"Content-MD5": "jXd/OF09/siBXSD3SWAm3A=="})) == (400, "BadDigest")
    assert values(upload.list(), "PartNumber") == ["1"]
    assert content_files(tmp_path) == 1


def test_an_aborted_upload_leaves_nothing(wire: Wire, tmp_path: Path) -> None:
    upload = Upload(wire, "aborted")
    tag = upload.put(1, b"data").headers["etag"]
    assert upload.abort().status == 204
    for answer in (upload.abort(), upload.list(), upload.put(2, b"late"), upload.complete([(1, tag)])):
        assert failure(answer) == (404, "NoSuchUpload")
    assert wire.metadata("aborted").status == 404
    assert content_files(tmp_path) == 0


def test_what_may_not_be_completed_stays_open(wire: Wire) -> None:
    upload = Upload(wire, "refused")
    one, two = (upload.put(number, b"small").headers["etag"] for number in (1, 2))
    assert failure(upload.complete([(1, one), (2, two)])) == (400, "EntityTooSmall")
    assert failure(upload.complete([(2, two), (1, one)])) == (400, "InvalidPartOrder")
    assert failure(upload.complete([(1, one), (1, one)])) == (400, "InvalidPartOrder")
    assert failure(upload.complete([(3, one)])) == (400, "InvalidPart")
    assert failure(upload.complete([])) == (400, "MalformedXML")
    assert failure(wire.send("POST", f"{upload.target}?uploadId={upload.id}", b"<Complete")) == (400, "MalformedXML")
    assert wire.metadata("refused").status == 404
    assert upload.complete([(2, two)]).status == 200


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", ""])
def test_part_numbers_run_from_1_to_10000(wire: Wire, number: str) -> None:
    upload = Upload(wire, "numbers")
    answer = wire.send("PUT", f"{upload.target}?partNumber={number}&uploadId={upload.id}", b"data")
    assert failure(answer) == (400, "InvalidArgument")
    assert upload.put(10_000, b"data").status == 200


def test_an_upload_belongs_to_its_object(wire: Wire) -> None:
    upload = Upload(wire, "mine")
    upload.target = f"/{BUCKET}/other"
    assert failure(upload.put(1, b"data")) == (404, "NoSuchUpload")
    assert failure(wire.send("POST", "/no-such-bucket/mine?uploads")) == (404, "NoSuchBucket")


def test_parts_are_listed_in_pages(wire: Wire) -> None:
    upload = Upload(wire, "listed")
    tags = [upload.put(number, b"x" * number).headers["etag"] for number in (5, 9, 12)]
    page = upload.list("&max-parts=2")
    assert (values(page, "PartNumber"), values(page, "IsTruncated")) == (["5", "9"], ["true"])
    assert (values(page, "ETag"), values(page, "Size")) == (tags[:2], ["5", "9"])
    rest = upload.list(f"&max-parts=2&part-number-marker={values(page, 'NextPartNumberMarker')[0]}")
    assert (values(rest, "PartNumber"), values(rest, "IsTruncated")) == (["12"], ["false"])


def test_uploads_are_listed_in_pages(wire: Wire) -> None:
    begun = [(name, Upload(wire, name).id) for name in ("b", "a", "b", "c/d")]
    found: list[tuple[str, str]] = []
    markers = ""
    for _ in begun:
        page = wire.send("GET", f"/{BUCKET}?uploads&max-uploads=1{markers}")
        found += zip(values(page, "}Key"), values(page, "}UploadId"), strict=True)
        if values(page, "IsTruncated") == ["true"]:
            key, upload = values(page, "NextKeyMarker")[0], values(page, "NextUploadIdMarker")[0]
            markers = f"&key-marker={key}&upload-id-marker={upload}"
    assert found == sorted(begun)
    assert values(wire.send("GET", f"/{BUCKET}?uploads&prefix=c/"), "}Key") == ["c/d"]
