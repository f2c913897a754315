"""Listing a source bucket: the same expectations of two S3 servers that are not ours."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import boto3
import pytest

from localcloud.s3 import S3Server
from needs import program
from transfer.backends.s3.listing import list_objects
from transfer.errors import BucketMissing, SourceUnavailable

BODIES = {f"deep/{index:04d}.txt": bytes([index % 251]) * index for index in range(1_050)} | {
    "a space & more+": b"x",
    "ünïcödé": b"y",
}


@pytest.fixture(scope="module", params=["moto", "rclone"])
def client(request, tmp_path_factory) -> Iterator:
    """A boto3 client of a server whose bucket `listed` holds BODIES."""
    if request.param == "moto":
        server = S3Server(buckets=["listed"])
        server.start()
        made = boto3.client(
            "s3",
            endpoint_url=server.url,
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
            region_name=server.region,
        )
        for key, body in BODIES.items():
            made.put_object(Bucket="listed", Key=key, Body=body)
        yield made
        server.stop()
    else:
        folder = tmp_path_factory.mktemp("rclone")
        for key, body in BODIES.items():
            path = folder / "listed" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        with rclone_s3(folder) as url:
            yield boto3.client(
                "s3", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
            )


class rclone_s3:
    """`rclone serve s3` on a folder, for the time of a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        command = program("rclone")
        self._process = subprocess.Popen(
            [command, "serve", "s3", str(self._folder), "--addr", f"127.0.0.1:{port}", "--config", "", "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 20
        while True:
            try:
                urlopen(url, timeout=1).close()
                return url
            except (URLError, ConnectionError) as error:
                if not isinstance(error, ConnectionError) and getattr(error, "code", None):
                    return url  # an HTTP error is an answer
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)


def test_every_object_of_every_page_in_byte_order(client) -> None:
    found = list(list_objects(client, "listed", ""))
    assert [item.key for item in found] == sorted(BODIES)
    assert all(item.size_bytes == len(BODIES[item.key]) for item in found)
    md5s = {key: hashlib.md5(body).hexdigest() for key, body in BODIES.items()}
    assert {item.key: item.etag for item in found} == md5s
    assert all(abs(item.last_modified_s - time.time()) < 600 for item in found)


def test_a_listing_of_a_prefix(client) -> None:
    assert [item.key for item in list_objects(client, "listed", "a ")] == ["a space & more+"]
    assert list(list_objects(client, "listed", "nothing")) == []


def test_a_missing_bucket(client) -> None:
    with pytest.raises(BucketMissing, match="s3://not-there"):
        list(list_objects(client, "not-there", ""))


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    nobody = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
        config=boto3.session.Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(SourceUnavailable, match="s3://listed"):
        list(list_objects(nobody, "listed", ""))
