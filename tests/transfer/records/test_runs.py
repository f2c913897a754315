"""Which runs' records stay."""

from __future__ import annotations

from memory_state import MemoryState
from transfer.backends.pubsub.topics import RETENTION_S
from transfer.records.runs import ABANDONED_S, RunIndex

NOW_S = 1_800_000_000


def index_of(state: MemoryState, dag: str = "dag") -> RunIndex:
    return RunIndex(state, dag)


def make_run(state: MemoryState, name: str, opened_at_s: float, *, is_closed: bool = True, dag: str = "dag") -> None:
    index = index_of(state, dag)
    state.now_s = opened_at_s
    index.open(name, opened_at_s)
    for record in ("run.json", "manifest/1-000000.jsonl.gz", "report.json"):
        state.write(f"{name}/{record}", b"", content_type="")
    if is_closed:
        index.close(name, opened_at_s)


def clean(state: MemoryState, keep: int) -> list[str]:
    index = index_of(state)
    old = index.old(keep)
    for name in old:
        index.remove(name)
    return old


def folders(state: MemoryState) -> set[str]:
    return {name.split("/")[0] for name in state.records} - {"runs"}


def test_the_newest_runs_stay_and_the_others_leave_nothing() -> None:
    state = MemoryState()
    for day, name in enumerate(("one", "two", "three", "four")):
        make_run(state, name, NOW_S - 1000 + day)
    make_run(state, "another-dags", NOW_S - 5000, dag="other")
    assert clean(state, 2) == ["one", "two"]
    assert folders(state) == {"three", "four", "another-dags"}
    assert [entry.run for entry in index_of(state).entries()] == ["three", "four"]
    assert clean(state, 2) == []


def test_a_run_that_is_not_closed_stays_until_it_is_abandoned() -> None:
    state = MemoryState()
    make_run(state, "dead", NOW_S - ABANDONED_S - 1, is_closed=False)
    make_run(state, "at-work", NOW_S - ABANDONED_S + 1, is_closed=False)
    make_run(state, "done", NOW_S - 1000)
    make_run(state, "now", NOW_S, is_closed=False)
    assert clean(state, 1) == ["dead", "done"]
    assert folders(state) == {"at-work", "now"}


def test_a_machine_whose_clock_is_ahead_makes_no_living_run_look_dead() -> None:
    """It opens and closes its run a year ahead; Cloud Storage writes down both within a minute."""
    state = MemoryState()
    make_run(state, "at-work", NOW_S, is_closed=False)
    state.now_s = NOW_S + 60
    index_of(state).open("ahead", NOW_S + 365 * 24 * 3600)
    index_of(state).close("ahead", NOW_S + 365 * 24 * 3600)
    assert clean(state, 1) == []


def test_a_run_opened_again_counts_once_and_as_new() -> None:
    state = MemoryState()
    make_run(state, "again", NOW_S - 1000)
    make_run(state, "between", NOW_S - 500)
    make_run(state, "again", NOW_S - 100)
    assert clean(state, 1) == ["between"]
    assert folders(state) == {"again"}
    assert {entry.run for entry in index_of(state).entries()} == {"again"}
    make_run(state, "newest", NOW_S)
    assert clean(state, 1) == ["again"]
    assert [entry.run for entry in index_of(state).entries()] == ["newest"]


def test_the_last_run_is_the_one_before_this() -> None:
    state = MemoryState()
    assert index_of(state).last_but("this") is None
    make_run(state, "first", NOW_S - 20)
    make_run(state, "second", NOW_S - 10)
    make_run(state, "this", NOW_S, is_closed=False)
    assert index_of(state).last_but("this") == "second"


def test_a_run_counts_as_abandoned_only_once_its_messages_are_gone() -> None:
    assert ABANDONED_S >= RETENTION_S
