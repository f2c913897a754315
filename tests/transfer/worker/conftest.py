"""One set of servers for each test of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine_rig import EngineRig, engine_rig


@pytest.fixture
def rig(tmp_path, monkeypatch) -> Iterator[EngineRig]:
    """A rig whose workers pull for a short time, so that tests end soon."""
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made
