"""A million listed objects, a tenth of them failed, in constant memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="its peak is read from Linux's /proc")

COUNT = 1_000_000
MAX_MIB = 200


def test_a_million_objects_reconcile_in_little_memory(tmp_path) -> None:
    path = os.pathsep.join(str(REPOSITORY / part) for part in ("plugins", ".", "tests/support"))
    command = [sys.executable, str(REPOSITORY / "tests/support/million.py"), str(tmp_path), str(COUNT)]
    output = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, timeout=300, check=True, capture_output=True
    ).stdout
    found = json.loads(output)
    assert found["listed"] == found["sum"] == COUNT
    assert (found["failed"], found["missing"], found["acked"]) == (COUNT // 10, COUNT // 25, COUNT // 10)
    assert found["republished"] == found["published"] == COUNT // 20 + COUNT // 25
    assert found["peak_mib"] < MAX_MIB
