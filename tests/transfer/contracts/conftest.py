"""The local cloud that the real implementations run on. Every suite here runs through all implementations of one protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from engine_rig import DESTINATION, EngineRig, engine_rig

_numbers = count()


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch, engine_rig(tmp_path_factory.mktemp("rig"), patch.setenv) as made:
        yield made


@pytest.fixture
def rig(servers: EngineRig) -> EngineRig:
    """A run of its own on servers without faults and with an empty destination."""
    for server in (servers.s3, servers.edge, servers.gcs, servers.pubsub):
        assert server is not None
        server.faults.replace([])
    for blob in servers.storage.list_blobs(DESTINATION):
        blob.delete()
    return replace(servers, run_id=f"run-{next(_numbers)}")
