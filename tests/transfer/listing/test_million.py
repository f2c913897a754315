"""A sync of what is on both sides already: exactly what changed is published, in constant memory, for listing requests only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from benchmarks.servers import Processes

REPOSITORY = Path(__file__).resolve().parents[3]
MAX_MIB = 220
"""A hundred of them are the imports."""
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="its peak is read from Linux's /proc")


@contextmanager
def both_sides(count: int, changed_every: int) -> Iterator[str]:
    processes = Processes()
    try:
        options = ["--count", str(count), "--changed-every", str(changed_every)]
        yield processes.module("benchmarks.listing_server", *options)
    finally:
        processes.stop()


def sync(url: str, folder: Path) -> dict[str, float]:
    path = os.pathsep.join(str(REPOSITORY / part) for part in ("plugins", ".", "tests/support"))
    command = [sys.executable, str(REPOSITORY / "tests/support/million_sync.py"), url, str(folder)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, timeout=900, check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(found)
    return found


def requests(url: str) -> dict[str, int]:
    with urlopen(f"{url}/_localcloud/requests") as answer:
        counts: dict[str, int] = json.load(answer)
    return counts


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_sync_moves_exactly_what_changed(tmp_path, count: int) -> None:
    with both_sides(count, changed_every=1000) as url:
        found = sync(url, tmp_path)
        asked = requests(url)
    assert (found["listed"], found["published"], found["skipped"]) == (count, count // 1000, count - count // 1000)
    assert found["peak_mib"] < MAX_MIB
    assert set(asked) == {"list s3 200", "list gcs 200"}
    assert asked["list gcs 200"] == count // 1000
    assert asked["list s3 200"] <= 1.35 * count / 1000


def test_an_unchanged_bucket_costs_listing_requests_only(tmp_path) -> None:
    with both_sides(20_000, changed_every=0) as url:
        found = sync(url, tmp_path)
        asked = requests(url)
    assert (found["published"], found["messages"], found["skipped"]) == (0, 0, 20_000)
    assert set(asked) == {"list s3 200", "list gcs 200"}
