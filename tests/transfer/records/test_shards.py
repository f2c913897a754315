"""Numbers of settled messages, and lines that survive their shard."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memory_state import MemoryState
from transfer.errors import Stage
from transfer.model import Copied, Failed, ObjectMeta, Proof, Skipped, SkipReason, TransferFailure
from transfer.records.ledger import Ledger, ledger_failures
from transfer.records.manifest import Manifest, read_manifest
from transfer.records.numbers import format_numbers, parse_numbers
from transfer.records.shards import read_shards
from transfer.worker.settlement import MAX_GROUP_MESSAGES


@given(st.sets(st.integers(min_value=0, max_value=10**9)))
def test_numbers_round_trip(numbers: set[int]) -> None:
    assert set(parse_numbers(format_numbers(numbers))) == numbers


def test_a_full_group_fits_an_objects_metadata() -> None:
    assert len(format_numbers(range(10**8, 10**8 + 2 * MAX_GROUP_MESSAGES, 2))) < 4096


def test_text_that_is_no_numbers_is_passed_over() -> None:
    assert list(parse_numbers("x,3,--,5-6,")) == [3, 5, 6]


@given(st.lists(st.text(min_size=1), unique=True))
def test_the_manifest_gives_back_every_key(keys: list[str]) -> None:
    state = MemoryState()
    manifest = Manifest(state, "1", shard_lines=3)
    items = [ObjectMeta(key=key, size_bytes=len(key), etag="e", last_modified_s=0) for key in keys]
    for index, item in enumerate(items):
        manifest.add(item, SkipReason.ARCHIVED if index % 2 else None)
    manifest.flush()
    Manifest(state, "11").flush()
    assert [(item.key, item.size_bytes, skipped) for item, skipped in read_manifest(state, "1")] == [
        (item.key, item.size_bytes, SkipReason.ARCHIVED if index % 2 else None) for index, item in enumerate(items)
    ]


def test_the_ledger_says_what_is_settled_and_what_failed() -> None:
    state = MemoryState()
    failure = TransferFailure(
        key="f", stage=Stage.UPLOAD, error_code="InvalidName", http_status=None, attempts=1, message="m"
    )
    copied = Copied(
        key="c",
        size_bytes=1,
        proof=Proof.CRC32C,
        crc32c="x",
        generation=1,
        attempts=2,
        seconds=0.5,
        edge_request_id="i",
    )
    first, second = Ledger(state, listing="1", worker="a"), Ledger(state, listing="1", worker="b")
    first.write([copied], [0, 1, 5])
    second.write([Skipped(key="s", size_bytes=1, reason=SkipReason.IDENTICAL), Failed(failure=failure)], [2])
    Ledger(state, listing="2", worker="a").write([], [77])
    assert first.settled() == second.settled() == {0, 1, 2, 5}
    assert [(found.key, found.error_code) for found in ledger_failures(state, "1")] == [("f", "InvalidName")]
    lines = list(read_shards(state, "ledger/1-"))
    assert [(line["key"], line["outcome"]) for line in lines] == [("c", "copied"), ("s", "skipped"), ("f", "failed")]
    assert lines[0]["proof"] == "crc32c"
    assert lines[0]["edge_request_id"] == "i"
