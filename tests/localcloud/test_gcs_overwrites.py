"""Readers of the local Cloud Storage while their object is overwritten or deleted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gcs_clients import BUCKET, MIB, Wire, serving
from localcloud.gcs import GcsServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GcsServer]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def wire(server: GcsServer) -> Wire:
    return Wire(server)


def store_plain(wire: Wire, data: bytes) -> None:
    wire.upload("read", data)


def store_composed(wire: Wire, data: bytes) -> None:
    for name, content in (("1", data[:MIB]), ("2", data[MIB:])):
        wire.upload(name, content)
    sources = {"sourceObjects": [{"name": "1"}, {"name": "2"}]}
    assert wire.call("POST", f"b/{BUCKET}/o/read/compose", sources).status == 200
    for name in ("1", "2"):
        wire.call("DELETE", f"b/{BUCKET}/o/{name}")


@pytest.mark.parametrize("store", [store_plain, store_composed])
def test_a_reader_gets_all_of_what_is_deleted_meanwhile(
    wire: Wire, tmp_path: Path, store: Callable[[Wire, bytes], None]
) -> None:
    data = os.urandom(2 * MIB)
    wire.call("PATCH", f"b/{BUCKET}", {"softDeletePolicy": {"retentionDurationSeconds": "0"}})
    store(wire, data)
    wire.fail(match="alt=media", action="stall", at_byte=MIB // 2, seconds=0.5)
    with ThreadPoolExecutor() as pool:
        reading = [pool.submit(wire.download, "read") for _ in range(2)]
        while sum(fault["hits"] for fault in wire.control("GET", "faults")["faults"]) < 2:
            time.sleep(0.01)
        time.sleep(0.1)  # from the fault to the look-up
        assert wire.call("DELETE", f"b/{BUCKET}/o/read").status == 204
        assert wire.metadata("read").status == 404
        assert [answer.result().body for answer in reading] == [data, data]
    deadline = time.monotonic() + 5
    while any(path.is_file() for path in (tmp_path / "content").rglob("*")):
        assert time.monotonic() < deadline, "the content of the deleted object is still there"
        time.sleep(0.01)


def test_readers_of_an_object_that_is_overwritten_get_one_version_whole(wire: Wire) -> None:
    wire.upload("hot", b"0" * 4096)
    done = threading.Event()

    def overwrite(digit: bytes) -> None:
        while not done.is_set():
            assert wire.upload("hot", digit * 4096).status == 200

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(overwrite, digit) for digit in (b"1", b"2", b"3")]
        try:
            for _ in range(500):
                answer = wire.download("hot")
                assert answer.body == answer.body[:1] * 4096
        finally:
            done.set()
        for writer in writers:
            writer.result()
