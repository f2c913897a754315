"""What every file store does: that of S3, that of Cloud Storage, and the one that stands in for them in tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from engine_rig import DESTINATION, SOURCE, EngineRig
from memory_files import MemoryFiles
from transfer.backends.gcs.files import GcsFiles
from transfer.backends.s3.files import PIECE_BYTES, S3Files
from transfer.errors import SourceListInvalid, Stage
from transfer.sources.files import FileStore

NAMES = ["a.csv", "ä b/%2B+?#&\u2028.csv.gz", "x//y"]
BODIES = {"empty": b"", "small": b"key\na\n", "one byte more than a piece": bytes(PIECE_BYTES) + b"x"}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A store, and how a file gets into it."""

    store: FileStore
    put: Callable[[str, bytes], object]


def of_s3(rig: EngineRig) -> Bucket:
    return Bucket(store=S3Files(rig.client, SOURCE), put=rig.put)


def of_cloud_storage(rig: EngineRig) -> Bucket:
    def put(name: str, body: bytes) -> None:
        rig.storage.bucket(DESTINATION).blob(name).upload_from_string(body)

    return Bucket(store=GcsFiles(rig.gcs_client(), rig.retrier(), rig.stop), put=put)


def of_memory(rig: EngineRig) -> Bucket:
    files: dict[str, bytes] = {}
    return Bucket(store=MemoryFiles(files), put=files.__setitem__)


@pytest.fixture(params=[of_s3, of_cloud_storage, of_memory], ids=["s3", "cloud storage", "memory"])
def bucket(request: pytest.FixtureRequest, rig: EngineRig) -> Bucket:
    return request.param(rig)


def read(store: FileStore, name: str) -> bytes:
    pieces: list[bytes] = []
    store.copy(name, pieces.append)
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_file_is_read_as_it_is_stored(bucket: Bucket, body: bytes) -> None:
    bucket.put("list.csv", body)
    assert bucket.store.stat("list.csv") == len(body)
    assert read(bucket.store, "list.csv") == body


@pytest.mark.parametrize("name", NAMES)
def test_a_name_may_be_anything(bucket: Bucket, name: str) -> None:
    bucket.put(name, name.encode())
    assert read(bucket.store, name) == name.encode()


def test_a_file_that_is_absent_is_the_users_to_correct(bucket: Bucket) -> None:
    for ask in (bucket.store.stat, lambda name: read(bucket.store, name)):
        with pytest.raises(SourceListInvalid, match="absent"):
            ask("absent.csv")


def test_the_uri_is_that_of_the_bucket(bucket: Bucket) -> None:
    assert bucket.store.uri.startswith(("s3://", "gs://"))
    assert bucket.store.uri.endswith("/")


def test_an_error_of_the_writer_comes_through(bucket: Bucket) -> None:
    """So a reader can refuse a file that is too large, or stop."""
    bucket.put("list.csv", b"x")

    def refuse(piece: bytes) -> None:
        raise SourceListInvalid("too large", stage=Stage.LIST)

    with pytest.raises(SourceListInvalid, match="too large"):
        bucket.store.copy("list.csv", refuse)
