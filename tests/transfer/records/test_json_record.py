"""Records that are one JSON document: written and read back exactly, and damage named."""

from __future__ import annotations

import pytest

from memory_state import MemoryState
from transfer.errors import InvalidMessage, RecordDamaged
from transfer.records.json_record import find_json, read_json, write_json

DAMAGED = [b"", b"{", b"[]", b'"text"', b"null", b"\xff", b"[" * 100_000, b'{"other": 1}']


def key_of(fields: dict[str, str]) -> str:
    return fields["key"]


@pytest.mark.parametrize("key", ["plain", "ключ", "a\u2028b", "lone \udc80 surrogate", "\x00"])
def test_a_document_is_read_back_as_it_was_written(key: str) -> None:
    state = MemoryState()
    write_json(state, "one.json", {"key": "earlier"})
    write_json(state, "one.json", {"key": key})
    assert read_json(state, "one.json", key_of) == find_json(state, "one.json", key_of) == key


@pytest.mark.parametrize("body", DAMAGED)
def test_a_damaged_document_is_named_or_taken_for_none(body: bytes) -> None:
    state = MemoryState()
    state.write("one.json", body, content_type="application/json")
    with pytest.raises(RecordDamaged, match=r"memory:one\.json cannot be read .*start another run"):
        read_json(state, "one.json", key_of)
    assert find_json(state, "one.json", key_of) is None


def test_a_document_that_was_never_written_is_not_damaged() -> None:
    with pytest.raises(InvalidMessage, match=r"one\.json is gone"):
        read_json(MemoryState(), "one.json", key_of)
    assert find_json(MemoryState(), "one.json", key_of) is None
