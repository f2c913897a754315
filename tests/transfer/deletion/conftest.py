"""The bucket that the tests of deletions sweep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deletion_rig import deletion_rig
from engine_rig import EngineRig


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineRig]:
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with deletion_rig(tmp_path, monkeypatch.setenv) as made:
        yield made
