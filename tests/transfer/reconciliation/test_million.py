"""A million listed objects, a tenth of them failed, in constant memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="its peak is read from Linux's /proc")

MAX_MIB = 200


@pytest.mark.parametrize("count", [200_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_million_objects_reconcile_in_little_memory(tmp_path, count: int) -> None:
    path = os.pathsep.join(str(REPOSITORY / part) for part in ("plugins", ".", "tests/support"))
    command = [sys.executable, str(REPOSITORY / "tests/support/million.py"), str(tmp_path), str(count)]
    output = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, timeout=300, check=True, capture_output=True
    ).stdout
    found = json.loads(output)
    assert found["listed"] == found["sum"] == count
    assert (found["failed"], found["missing"], found["acked"]) == (count // 10, count // 25, count // 10)
    assert found["republished"] == found["published"] == count // 20 + count // 25
    assert found["peak_mib"] < MAX_MIB
