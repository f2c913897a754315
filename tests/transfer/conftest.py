"""One set of servers a module for the tests of large objects, with one object for each way they go."""

from __future__ import annotations

import os

import pytest

from engine_rig import EngineRig
from large_objects import MIB, fresh, large_rig, put_in_parts

BODIES = {"stream": os.urandom(3 * MIB + 777), "parts": os.urandom(12 * MIB + 345)}


@pytest.fixture(scope="module")
def large_servers(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, large_rig(tmp_path_factory.mktemp("large"), patch.setenv) as made:
        made.put("stream", BODIES["stream"])
        put_in_parts(made, "parts", BODIES["parts"])
        yield made


@pytest.fixture
def large(large_servers) -> EngineRig:
    """`stream` goes as one stream; `parts` in parts of 5 MiB, the first two of them in one GET. Both go on record."""
    return fresh(large_servers)


@pytest.fixture
def bodies() -> dict[str, bytes]:
    return BODIES
