"""Some seeds of the chaos suite at the engine's level; `make chaos-engine` takes hundreds (docs/chaos.md)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (10, 103, 109, 308)
"""Two runs at once; one that a person ended; an upload in parts whose start was never answered; overwrite=always in a storm."""


def test_no_object_is_lost_wrong_or_unexplained_whichever_process_dies() -> None:
    path = os.pathsep.join(str(ROOT / part) for part in ("plugins", "", "tests/support"))
    seeds = [part for seed in SEEDS for part in ("--seed", str(seed))]
    ended = subprocess.run(
        [sys.executable, "-m", "engine_chaos", *seeds],
        env=os.environ | {"PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-3000:]
    assert f"{len(SEEDS)} seeds" in ended.stdout
