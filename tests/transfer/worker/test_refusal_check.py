"""Whether many refusals concern single objects or every object: the table, and the objects that are read to find out."""

from __future__ import annotations

from typing import Any

import pytest

from memory_state import MemoryState
from refused_objects import copied, item, refused
from transfer.errors import (
    EdgeBlocked,
    RetriesExhausted,
    SinkUnavailable,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    Stage,
)
from transfer.model import SkipReason
from transfer.records.ledger import Ledger
from transfer.records.manifest import Manifest
from transfer.worker.refusal_check import ProbeResult, is_systemic, probe_result_of, recently_copied, sample_listing

WORKS, REFUSED, UNKNOWN = ProbeResult
AT: dict[str, Any] = {"stage": Stage.DOWNLOAD}


@pytest.mark.parametrize(
    ("copied_before", "others", "expected"),
    [
        (WORKS, [], False),
        (REFUSED, [], True),
        (REFUSED, [WORKS], True),
        (UNKNOWN, [REFUSED, REFUSED, WORKS], False),
        (UNKNOWN, [REFUSED, UNKNOWN], True),
        (UNKNOWN, [UNKNOWN], False),
        (UNKNOWN, [], True),
    ],
)
def test_the_table_of_what_is_systemic(copied_before: ProbeResult, others: list[ProbeResult], expected: bool) -> None:
    assert is_systemic(copied_before, others) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, WORKS),
        (SourceChanged("", **AT), WORKS),
        (SourceForbidden("", **AT), REFUSED),
        (RetriesExhausted(EdgeBlocked("", **AT), 5), REFUSED),
        (EdgeBlocked("", **AT), REFUSED),
        (RetriesExhausted(SinkUnavailable("", **AT), 5), UNKNOWN),
        (SourceNotFound("", **AT), UNKNOWN),
    ],
)
def test_the_result_of_a_test_request(error, expected: ProbeResult) -> None:
    assert probe_result_of(error) is expected


def test_an_object_that_any_worker_copied_is_read_again() -> None:
    state = MemoryState()
    Ledger(state, listing="1", worker="w0-1").write([refused("a")], [0])
    Ledger(state, listing="1", worker="w1-1").write([refused("b"), copied("c"), copied("d")], [1])
    state.write("ledger/1-w2-1-000000.jsonl.gz", b"damaged", content_type="")
    assert [found.key for found in recently_copied(state)] == ["c"]


def test_else_objects_from_all_over_the_listing_are_read_other_folders_first() -> None:
    state = MemoryState()
    manifest = Manifest(state, "1-a-1", shard_lines=1_000)
    for folder in ("locked", *(f"f{number:03d}" for number in range(100))):
        for number in range(50):
            manifest.add(item(f"{folder}/{number:02d}"))
        manifest.add(item(f"{folder}/archived"), SkipReason.ARCHIVED)
    manifest.flush()
    found = sample_listing(state, "1-a-1.001", ["locked/00", "locked/01"])
    first = [other.key.partition("/")[0] for other in found[:25]]
    assert len(set(first)) == 25 and "locked" not in first
    assert len(found) <= 100
    assert not {"locked/00", "locked/01"} & {other.key for other in found}
    assert not [other.key for other in found if other.key.endswith("archived")]


def test_a_small_listing_is_read_whole() -> None:
    state = MemoryState()
    manifest = Manifest(state, "1")
    for number in range(50):
        manifest.add(item(f"{number}"))
    manifest.flush()
    assert {found.key for found in sample_listing(state, "1", ["7"])} == {f"{number}" for number in range(50)} - {"7"}
