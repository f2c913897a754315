"""What every state store does: the one in Cloud Storage, and those that stand in for it in tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from memory_state import DirectoryState, MemoryState
from transfer.errors import InvalidMessage
from transfer.ports import StateStore

NAMES = ["a", "a/b", "a b", "a%2Fb", "b/ü\U0001f69a?#&", "b/\u2028", "é/é", "z" * 200]


@pytest.fixture(params=["memory", "directory", "cloud storage"])
def opened(request: pytest.FixtureRequest, tmp_path) -> Callable[[], StateStore]:
    """Opens the same records again, as another task does."""
    if request.param == "cloud storage":
        return request.getfixturevalue("rig").state
    state = MemoryState() if request.param == "memory" else DirectoryState(tmp_path)
    return lambda: state


@pytest.fixture
def state(opened: Callable[[], StateStore]) -> StateStore:
    return opened()


def write(state: StateStore, name: str, body: bytes = b"x", **metadata: str) -> None:
    state.write(name, body, content_type="text/plain", metadata=metadata)


def names(state: StateStore, prefix: str = "") -> list[str]:
    return [entry.name for entry in state.entries(prefix)]


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 1000, "ü".encode()], ids=["empty", "binary", "text"])
def test_a_record_is_read_as_it_was_written(state: StateStore, body: bytes) -> None:
    for name in NAMES:
        write(state, name, body)
    assert [state.read(name) for name in NAMES] == [body] * len(NAMES)


def test_a_record_is_replaced(state: StateStore) -> None:
    write(state, "a", b"old", closed="no", left="1")
    write(state, "a", b"new", closed="yes")
    assert state.read("a") == b"new"
    assert [(entry.name, dict(entry.metadata)) for entry in state.entries("")] == [("a", {"closed": "yes"})]


def test_a_record_that_another_task_wrote_is_replaced(opened: Callable[[], StateStore]) -> None:
    first, second = opened(), opened()
    for state in (first, second, first, second):
        write(state, "report.json", b"x")
    second.delete("report.json")
    write(second, "report.json", b"y")
    assert first.read("report.json") == b"y"


def test_entries_come_in_byte_order_with_their_metadata(state: StateStore) -> None:
    for number, name in enumerate(reversed(NAMES)):
        write(state, name, number=str(number))
    assert names(state) == sorted(NAMES, key=str.encode)
    assert names(state, "b/") == sorted((name for name in NAMES if name.startswith("b/")), key=str.encode)
    assert names(state, "a") == sorted((name for name in NAMES if name.startswith("a")), key=str.encode)
    assert names(state, "nothing") == []
    assert {entry.name: entry.metadata["number"] for entry in state.entries("")} == {
        name: str(number) for number, name in enumerate(reversed(NAMES))
    }


def test_a_record_has_one_time_of_writing(state: StateStore) -> None:
    write(state, "a")
    time.sleep(0.01)
    write(state, "b")
    times = {entry.name: entry.created_at_s for entry in state.entries("")}
    assert times["a"] <= times["b"]
    for name, created_at_s in times.items():
        assert state.created_at_s(name) == pytest.approx(created_at_s, abs=0.001)


def test_an_absent_record_is_invalid_to_read_and_no_error_to_delete(state: StateStore) -> None:
    with pytest.raises(InvalidMessage, match="a"):
        state.read("a")
    state.delete("a")
    write(state, "a")
    state.delete("a")
    state.delete("a")
    assert names(state) == []
    with pytest.raises(InvalidMessage):
        state.read("a")
    write(state, "a", b"again")
    assert state.read("a") == b"again"


def test_many_threads_write_at_a_time(state: StateStore) -> None:
    def write_and_read(number: int) -> bytes:
        write(state, f"t/{number:03d}", b"%d" % number)
        return state.read(f"t/{number:03d}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write_and_read, range(40))) == [b"%d" % number for number in range(40)]
    assert names(state, "t/") == [f"t/{number:03d}" for number in range(40)]
