"""A worker process that ends in the middle of large objects, and the next one, which resumes them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import worker_process
from engine_rig import DESTINATION, EngineRig, fault
from large_objects import MIB, PART, large_rig, left_behind, put_in_parts, ranges_asked, records
from transfer.records.shards import read_shards

SIZE = 100 * MIB
PARTS = SIZE // PART
DELAY_S = 0.7


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    return {"parts": os.urandom(SIZE), "stream": os.urandom(SIZE)}


@pytest.fixture
def rig(tmp_path, monkeypatch, bodies):
    """A range is one part, so that requests can be counted; both objects go on record."""
    with large_rig(tmp_path, monkeypatch.setenv) as made:
        made.config = replace(made.config, part_size_bytes=PART, parallel_bytes=64 * MIB)
        put_in_parts(made, "parts", bodies["parts"])
        made.put("stream", bodies["stream"])
        yield made


def wait_until(is_so: Callable[[], object], what: str, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def slow_down(rig: EngineRig) -> None:
    """Both come well on their way, slowly enough to go on record, and then stand still."""
    slowly = [fault("GET /parts", "delay", times=12, seconds=DELAY_S), fault("GET /parts", "delay", seconds=120)]
    rig.edge.faults.replace([fault("GET /stream", "stall", at_byte=64 * MIB, seconds=120), *slowly])


def recorded(rig: EngineRig) -> dict[str, dict]:
    return {record["name"]: record for record in records(rig).values()}


def is_midway(rig: EngineRig) -> bool:
    """Some parts are on record, and most of the stream is stored."""
    found = recorded(rig)
    return (
        {"parts", "stream"} <= set(found)
        and len(found["parts"]["parts"]) >= 4
        and stored_bytes(rig, found["stream"]["token"]) > 48 * MIB
    )


def stored_bytes(rig: EngineRig, upload_id: str) -> int:
    """How much an upload session holds."""
    url = f"{rig.gcs.url}/upload/storage/v1/b/{DESTINATION}/o?uploadType=resumable&upload_id={upload_id}"
    asking = Request(url, method="PUT", headers={"Content-Range": f"bytes */{SIZE}"})
    with pytest.raises(HTTPError) as answer:
        urlopen(asking, timeout=10)
    assert answer.value.code == 308
    return int(answer.value.headers.get("Range", "bytes=0-0").partition("-")[2])


def ledger_keys(rig: EngineRig) -> list[str]:
    return sorted(line["key"] for line in read_shards(rig.state(), "ledger/"))


def finish(rig: EngineRig, summary, bodies, held: set[int]) -> list[str]:
    """The second worker: what it asked of the edge, after it is clear that everything is right."""
    rig.edge.faults.replace([])
    time.sleep(DELAY_S)  # what the first one asked for last
    with ranges_asked(rig.edge) as asked:
        process = worker_process.start(rig, summary, attempt=2)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err[-3000:]
    stats = json.loads(out.splitlines()[-1])
    assert (stats["copied"], stats["skipped"], stats["failed"]) == (2, 0, 0)
    assert stats["bytes_copied"] == 2 * SIZE
    for key, body in bodies.items():
        assert rig.stored(key) == body
    assert left_behind(rig) == []
    assert ledger_keys(rig) == ["parts", "stream"]
    proofs = {line["key"]: line["proof"] for line in read_shards(rig.state(), "ledger/")}
    assert proofs == {"parts": "etag-multipart", "stream": "etag-md5"}
    assert rig.reconcile().is_green

    parts = [f"bytes={(number - 1) * PART}-{number * PART - 1}" for number in range(1, PARTS + 1)]
    again = {number for number in range(1, PARTS + 1) if parts[number - 1] in asked}
    assert again == set(range(1, PARTS + 1)) - held  # each part on record stays, each other one is fetched
    (rest,) = [range_ for range_ in asked if range_ not in parts]
    assert rest.endswith(f"-{SIZE - 1}")
    assert int(rest[len("bytes=") :].split("-")[0]) > 48 * MIB
    print(f"{len(held)} of {PARTS} parts were on record; the stream went on from {rest}")
    assert len(asked) == len(again) + 1
    return asked


def test_after_sigkill_the_next_worker_fetches_only_what_is_not_stored(rig: EngineRig, bodies) -> None:
    rig.open(ack_deadline_s=10)
    summary = rig.list()
    slow_down(rig)
    first = worker_process.start(rig, summary, attempt=1)
    wait_until(lambda: is_midway(rig), "parts never went on record")
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    held = {number for number, *_ in recorded(rig)["parts"]["parts"]}
    assert 4 <= len(held) < PARTS
    assert rig.names() == []

    finish(rig, summary, bodies, held)


def test_after_sigterm_the_worker_ends_within_five_seconds_and_the_next_one_resumes(rig: EngineRig, bodies) -> None:
    """What it held is given back: its leases would outlast this test."""
    rig.open(ack_deadline_s=600)
    summary = rig.list()
    slow_down(rig)
    first = worker_process.start(rig, summary, attempt=1, ack_deadline_s=600)
    wait_until(lambda: is_midway(rig), "parts never went on record")
    stopped_at_s = time.monotonic()
    first.terminate()
    out, err = first.communicate(timeout=20)
    assert time.monotonic() - stopped_at_s < 5
    assert (first.returncode, out.strip()) == (0, "stopped"), err[-3000:]
    held = {number for number, *_ in recorded(rig)["parts"]["parts"]}
    assert rig.names() == []

    finish(rig, summary, bodies, held)
