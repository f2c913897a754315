"""Servers for the tests of lists: the source bucket, and a bucket with inventories and manifests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine_rig import EngineRig, engine_rig
from inventories import INVENTORIES


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch, engine_rig(tmp_path_factory.mktemp("lists"), patch.setenv) as made:
        made.client.create_bucket(Bucket=INVENTORIES)
        yield made
