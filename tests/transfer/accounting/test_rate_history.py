"""The rate over time: bounded, on one grid for all workers, and the same bytes however it is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.accounting.progress import TransferStats
from transfer.accounting.rate_history import INTERVAL_S, MAX_COUNT, MAX_ENTRIES, RateHistory, total

BEGAN_AT_S = 1_800_000_000.0


def counts(objects: int, size_bytes: int = 0, lanes: int = 0) -> TransferStats:
    return TransferStats(copied=objects, bytes_copied=size_bytes, lanes=lanes, threads=lanes)


def test_an_entry_has_what_was_done_in_its_two_seconds() -> None:
    history = RateHistory(BEGAN_AT_S)
    for second, objects, lanes in ((1, 3, 8), (2.5, 3, 4), (3, 7, 8), (4, 8, 8)):
        history.add(BEGAN_AT_S + second, counts(objects, 10 * objects, lanes))
    assert history.to_dict() == {
        "interval_s": 2, "began_at_s": 1_800_000_000, "objects": [3, 5, 0], "bytes": [30, 50, 0], "lanes": [4, 4, 8],
    }  # fmt: skip


def test_a_late_report_is_spread_over_the_time_since_the_last_one() -> None:
    history = RateHistory(BEGAN_AT_S)
    history.add(BEGAN_AT_S + 1, counts(0, 0))
    history.add(BEGAN_AT_S + 9, counts(9, 800))
    assert history.bytes == [100, 200, 200, 200, 100]
    assert sum(history.objects) == 9


def test_counts_that_go_back_and_come_again_count_once() -> None:
    history = RateHistory(BEGAN_AT_S)
    for second, size_bytes in enumerate((500, 900, 400, 950)):
        history.add(BEGAN_AT_S + second, counts(0, size_bytes))
    assert sum(history.bytes) == 950


def test_a_clock_that_is_set_back_adds_to_the_last_entry() -> None:
    history = RateHistory(BEGAN_AT_S)
    history.add(BEGAN_AT_S + 10, counts(10))
    history.add(BEGAN_AT_S - 3600, counts(15))
    assert (len(history.objects), history.objects[-1], sum(history.objects)) == (6, 5, 15)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**12)), max_size=60), st.integers(0, 10**6))
def test_a_history_of_any_length_is_bounded_and_loses_nothing(steps: list[tuple[float, int]], offset_s: int) -> None:
    history, at_s, size_bytes = RateHistory(BEGAN_AT_S + offset_s), BEGAN_AT_S + offset_s, 0
    for index, (wait_s, more_bytes) in enumerate(steps):
        at_s += wait_s
        size_bytes += more_bytes
        history.add(at_s, counts(index + 1, size_bytes, 16))
    assert (sum(history.bytes), sum(history.objects)) == (size_bytes, len(steps))
    assert len(history.bytes) == len(history.objects) == len(history.lanes) <= MAX_ENTRIES
    assert history.began_at_s % history.interval_s == 0
    if steps:
        end_s = history.began_at_s + history.interval_s * len(history.objects)
        assert history.began_at_s <= BEGAN_AT_S + offset_s and end_s - history.interval_s <= at_s < end_s
        assert set(history.lanes) <= {0, 16}
    assert len(json.dumps(history.to_dict())) < 8 * 1024
    assert RateHistory.of(json.loads(json.dumps(history.to_dict()))).to_dict() == history.to_dict()


def test_a_retry_continues_where_the_attempt_before_it_was_killed() -> None:
    first = RateHistory(BEGAN_AT_S)
    first.add(BEGAN_AT_S + 5, counts(10, 1000, 4))
    second = RateHistory(BEGAN_AT_S + 21)
    second.add(BEGAN_AT_S + 23, counts(6, 600, 2))
    second.continue_from(RateHistory.of(first.to_dict()))
    second.add(BEGAN_AT_S + 25, counts(8, 800, 2))  # its own counts go on, and those before are not counted again
    assert (sum(second.objects), sum(second.bytes)) == (18, 1800)
    assert second.began_at_s == first.began_at_s
    assert second.lanes == [4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2]


@given(st.integers(0, 10**7), st.integers(0, 5000), st.integers(0, 5000))
def test_a_retry_after_any_time_fits(gap_s: int, first_s: int, second_s: int) -> None:
    first = RateHistory(BEGAN_AT_S)
    first.add(BEGAN_AT_S + first_s, counts(10, 1000))
    start_s = BEGAN_AT_S + first_s + gap_s
    second = RateHistory(start_s)
    second.add(start_s + second_s, counts(5, 500))
    second.continue_from(first)
    assert (sum(second.objects), sum(second.bytes)) == (15, 1500)
    assert len(second.objects) <= MAX_ENTRIES


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**5)), max_size=6))
def test_all_workers_together_have_what_each_has(workers: list[tuple[int, int]]) -> None:
    histories = []
    for start_s, lasts_s in workers:
        histories.append(RateHistory(BEGAN_AT_S + start_s))
        histories[-1].add(BEGAN_AT_S + start_s + lasts_s, counts(7, 700, 3))
    before = [history.to_dict() for history in histories]
    together = total(histories)
    assert (sum(together.objects), sum(together.bytes)) == (7 * len(workers), 700 * len(workers))
    assert len(together.objects) <= MAX_ENTRIES
    assert max(together.lanes, default=0) <= 3 * len(workers)
    assert [history.to_dict() for history in histories] == before


def test_lanes_of_workers_at_the_same_time_add_up() -> None:
    histories = [RateHistory(BEGAN_AT_S), RateHistory(BEGAN_AT_S + 2)]
    for history in histories:
        history.add(BEGAN_AT_S + 4.5, counts(4, 400, 16))
    assert total(histories).lanes == [16, 32, 32]


@pytest.mark.parametrize(
    "damage",
    [
        {"interval_s": 3},
        {"interval_s": True},
        {"interval_s": INTERVAL_S << 30},
        {"began_at_s": 7},
        {"began_at_s": "now"},
        {"bytes": [1]},
        {"bytes": [1, "2"]},
        {"bytes": [1, -2]},
        {"bytes": [1, MAX_COUNT + 1]},
        {"bytes": {"0": 1}},
        {name: [0] * (MAX_ENTRIES + 1) for name in ("bytes", "objects", "lanes")},
    ],
)
def test_anything_else_is_an_empty_history(damage: dict[str, object]) -> None:
    sound = {"interval_s": 2, "began_at_s": 8, "bytes": [1, 2], "objects": [1, 2], "lanes": [0, 0]}
    assert RateHistory.of(sound).objects == [1, 2]
    documents: list[object] = [sound | damage, None, [], "text", {**sound, "lanes": None}]
    for document in documents:
        assert RateHistory.of(document).objects == []
