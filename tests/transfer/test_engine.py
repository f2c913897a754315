"""The engine end to end on the local cloud: list, drain, reconcile, without Airflow."""

from __future__ import annotations

import hashlib
import os

import pytest
from engine_rig import DESTINATION, EngineRig, engine_rig, fault


@pytest.fixture
def rig(tmp_path, monkeypatch):
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def test_copies_everything_and_proves_it(rig: EngineRig) -> None:
    bodies = {f"dir/{index:03d}.bin": os.urandom(index * 37) for index in range(150)}
    bodies["large.bin"] = os.urandom(5 * 1024 * 1024 + 12_345)
    bodies["exactly-one-part"] = os.urandom(1024 * 1024)
    bodies["one-byte-more"] = os.urandom(1024 * 1024 + 1)
    for key, body in bodies.items():
        rig.put(key, body, ContentType="application/x-test", Metadata={"colour": "blue"})

    stats, report = rig.copy_all()

    assert (stats.copied, stats.skipped, stats.failed) == (len(bodies), 0, 0)
    assert stats.bytes_copied == sum(map(len, bodies.values()))
    assert report.is_green
    assert (report.listed, report.matched, report.extra) == (len(bodies), len(bodies), 0)
    assert {name: hashlib.sha256(rig.stored(name)).hexdigest() for name in rig.names()} == {
        key: hashlib.sha256(body).hexdigest() for key, body in bodies.items()
    }
    assert rig.edge._server.requests() if hasattr(rig.edge, "_server") else True
