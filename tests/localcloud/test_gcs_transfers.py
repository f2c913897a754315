"""Large transfers by Google's Python client: resumable uploads, XML multipart uploads, parallel downloads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud.storage import transfer_manager

from gcs_clients import BUCKET, MIB, Wire, connect, crc32c, serving
from localcloud.gcs import GcsServer

CHUNK = 256 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="module")
def bucket(server: GcsServer) -> Any:
    return connect(server).bucket(BUCKET)


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, 4 * CHUNK + 7])
def test_resumable_uploads_of_every_edge_size(bucket: Any, size: int) -> None:
    data = os.urandom(size)
    blob = bucket.blob(f"resumable {size}", chunk_size=CHUNK)
    blob.metadata = {"kept": "yes"}
    blob.upload_from_string(data, checksum="crc32c")
    found = bucket.get_blob(blob.name)
    assert (found.size, found.crc32c, found.metadata) == (size, crc32c(data), {"kept": "yes"})
    assert blob.download_as_bytes() == data


def test_a_resumable_upload_survives_errors_half_way(server: GcsServer, bucket: Any) -> None:
    data = os.urandom(5 * CHUNK)
    Wire(server).fail(match="PUT .*upload_id", action="status", status=503, after=2, times=2)
    bucket.blob("retried", chunk_size=CHUNK).upload_from_string(data, checksum="md5")
    assert bucket.blob("retried").download_as_bytes() == data


def test_many_files_upload_and_download(bucket: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    contents = {f"dir {number % 3}/file {number}": os.urandom(number * 100) for number in range(30)}
    for name, data in contents.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    results = transfer_manager.upload_many_from_filenames(
        bucket, list(contents), source_directory=str(source), blob_name_prefix="many/", worker_type="thread"
    )
    assert results == [None] * 30
    listed = [blob.name.removeprefix("many/") for blob in bucket.list_blobs(prefix="many/", page_size=7)]
    assert listed == sorted(contents)
    results = transfer_manager.download_many_to_path(
        bucket, [f"many/{name}" for name in contents], destination_directory=str(target), worker_type="thread"
    )
    assert results == [None] * 30
    assert {name: (target / "many" / name).read_bytes() for name in contents} == contents


def test_chunks_upload_by_xml_multipart_and_download_in_parallel(bucket: Any, tmp_path: Path) -> None:
    data = os.urandom(18 * MIB + 5)
    (tmp_path / "up").write_bytes(data)
    blob = bucket.blob("chunks/ü ?#%.bin")
    blob.metadata, blob.cache_control = {"kept": "yes"}, "no-store"
    transfer_manager.upload_chunks_concurrently(
        str(tmp_path / "up"), blob, content_type="text/x-test", chunk_size=5 * MIB, worker_type="thread"
    )
    found = bucket.get_blob(blob.name)
    assert (found.size, found.crc32c, found.md5_hash) == (len(data), crc32c(data), None)
    assert (found.metadata, found.cache_control, found.content_type) == ({"kept": "yes"}, "no-store", "text/x-test")
    transfer_manager.download_chunks_concurrently(
        found, str(tmp_path / "down"), chunk_size=4 * MIB + 1, worker_type="thread"
    )
    assert (tmp_path / "down").read_bytes() == data
