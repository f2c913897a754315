"""Progress is shown by a thread of its own: neither an API server that is away nor one that is slow affects a task's work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine_rig import STATE_PREFIX, engine_rig, fault
from operators import live_progress
from operators.live_progress import HISTORY_KEY, PROGRESS_KEY, LiveProgress
from transfer.accounting.progress import FailureReason, Progress, TransferStats
from transfer.errors import Stopped
from transfer.stopping import StopRequest

AT_ONCE_S = 5.0
"""Far more than a step takes, so that a busy machine does not fail a test."""


def counts(copied: int) -> TransferStats:
    return replace(Progress().stats(), copied=copied)


class Store:
    """Stands for Airflow's task state store: records the writes, and lets a test hold or fail them.

    `written` has the counts, `calls` the number of times that they were to be written.
    """

    def __init__(
        self,
        on_set: Callable[[int], object] = lambda number: None,
        on_get: Callable[[], object] = lambda: None,
        history: Any = None,
    ) -> None:
        self.written: list[Any] = []
        self.history = history
        self.histories = 0
        self._on_get = on_get
        self.calls = 0
        self.changed = threading.Condition()
        self._on_set = on_set
        self._in_flight = 0
        self.most_in_flight = 0

    def get(self, key: str) -> Any:
        assert key == HISTORY_KEY
        self._on_get()
        return self.history

    def set(self, key: str, value: Any) -> None:
        if key == HISTORY_KEY:
            with self.changed:
                assert not self._in_flight
                self.history, self.histories = value, self.histories + 1
                self.changed.notify_all()
            return
        assert key == PROGRESS_KEY
        with self.changed:
            self.calls += 1
            number = self.calls
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            self.changed.notify_all()
        try:
            self._on_set(number)
        finally:
            with self.changed:
                self._in_flight -= 1
        with self.changed:
            self.last = value
            self.written.append(value["copied"])
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, AT_ONCE_S), (self.calls, self.written)


def live(store: Store, **options: Any) -> LiveProgress:
    context: Any = {"task_state_store": store}
    return LiveProgress(context, **options)


def test_the_newest_counts_are_written_one_write_at_a_time() -> None:
    held = threading.Event()
    store = Store(lambda number: number > 1 or held.wait(AT_ONCE_S))
    with live(store) as progress:
        progress.show(counts(0))
        store.wait(lambda: store.calls == 1)
        for number in range(1, 100):
            progress.show(counts(number))  # none of them waits for the write that is held
        held.set()
        store.wait(lambda: store.written == [0])
    store.wait(lambda: store.written == [0, 99])  # the end of the task writes the last counts
    assert store.most_in_flight == 1


def test_an_api_server_that_does_not_answer_delays_the_end_of_the_task_by_half_a_second() -> None:
    held = threading.Event()
    store = Store(lambda number: held.wait(60))
    before_s = time.monotonic()
    with live(store) as progress:
        progress.show(counts(1))
        store.wait(lambda: store.calls == 1)
    assert time.monotonic() - before_s < live_progress.LAST_WRITE_S + 1.0
    held.set()


def test_failed_writes_are_logged_once_until_one_succeeds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_progress, "INTERVAL_S", 0.001)

    def on_set(number: int) -> None:
        if number in {1, 2, 3, 5}:
            raise RuntimeError("API_SERVER_ERROR\nthe database is away")

    store = Store(on_set)
    with caplog.at_level(logging.WARNING, live_progress.__name__), live(store) as progress:
        for number in range(1, 7):
            progress.show(counts(number))
            store.wait(lambda number=number: store.calls == number)  # type: ignore[misc]
        store.wait(lambda: store.written == [4, 6])
    assert len(caplog.records) == 2
    assert "does not affect the work: RuntimeError: API_SERVER_ERROR" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


def test_failed_writes_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    waits_s: list[float] = []

    def wait_for(self: Any, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        if timeout is not None and threading.current_thread().name == "live-progress":
            waits_s.append(timeout)
            return True
        return original(self, condition, timeout)

    original = threading.Condition.wait_for

    def on_set(number: int) -> None:
        raise RuntimeError("away")

    monkeypatch.setattr(threading.Condition, "wait_for", wait_for)
    store = Store(on_set)
    with live(store) as progress:
        for number in range(1, 9):
            progress.show(counts(number))
            store.wait(lambda number=number: store.calls == number)  # type: ignore[misc]
    assert waits_s[:7] == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_64_workers_write_at_most_25_times_a_second() -> None:
    """A turn writes the counts, and every other one the history."""
    assert live(Store())._interval_s == 2.0
    assert 1.5 * 64 / live(Store(), workers=64)._interval_s <= 25
    assert 1.5 * 1000 / live(Store(), workers=1000)._interval_s <= 25


def test_every_other_turn_writes_the_history_and_the_end_writes_the_last_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_progress, "INTERVAL_S", 0.001)
    store = Store()
    with live(store, opening="run-1") as progress:
        for number in range(1, 5):
            progress.show(counts(number))
            store.wait(lambda number=number: store.written[-1:] == [number])  # type: ignore[misc]
    assert store.histories <= 3
    assert (sum(store.history["objects"]), store.history["of"]) == (4, "run-1")


def test_a_retry_continues_the_history_of_the_attempt_before_it() -> None:
    first = Store()
    with live(first, opening="run-1") as progress:
        progress.show(counts(3))
    second = Store(history=first.history)
    with live(second, opening="run-1") as progress:
        progress.show(counts(2))
    assert sum(second.history["objects"]) == 5
    assert second.history["began_at_s"] == first.history["began_at_s"]


@pytest.mark.parametrize("stored", ["text", {"of": "run-1"}, {"of": "run-1", "interval_s": "x"}, {"of": "run-0"}])
def test_a_history_that_is_damaged_or_of_another_opening_is_replaced(stored: object) -> None:
    earlier = {"interval_s": 2, "began_at_s": 2, "bytes": [1], "objects": [1], "lanes": [1]}
    store = Store(history=earlier | stored if isinstance(stored, dict) and stored.get("of") == "run-0" else stored)
    with live(store, opening="run-1") as progress:
        progress.show(counts(2))
    assert sum(store.history["objects"]) == 2


def test_an_earlier_history_that_cannot_be_read_is_read_later_and_delays_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_progress, "INTERVAL_S", 0.001)
    earlier = Store()
    with live(earlier) as progress:
        progress.show(counts(3))
    reads = []

    def on_get() -> None:
        reads.append(1)
        if len(reads) == 1:
            raise RuntimeError("API_SERVER_ERROR")

    store = Store(on_get=on_get, history=earlier.history)
    with live(store) as progress:
        for number in (1, 2):
            progress.show(counts(number))
            store.wait(lambda number=number: store.written[-1:] == [number])  # type: ignore[misc]
        store.wait(lambda: store.histories > 0)
    assert sum(store.history["objects"]) == 5


def test_what_a_store_cannot_hold_is_made_plain() -> None:
    failure = FailureReason(reason="r", count=1, samples=("\ud800",), message="")
    store = Store()
    with live(store) as progress:
        progress.show(replace(counts(1), failures=(failure,)))
    assert store.last["failures"][0]["samples"] == ["?"]


def test_without_a_task_state_store_nothing_is_shown() -> None:
    with LiveProgress({}) as progress:  # `airflow tasks test` of an older version has none
        progress.show(counts(1))


def test_a_copy_continues_and_stops_in_time_while_the_api_server_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    held = threading.Event()
    store = Store(lambda number: held.wait(60))
    with engine_rig(tmp_path, monkeypatch.setenv) as rig:
        for index in range(40):
            rig.put(f"{index}")
        rig.put("slow")
        rig.edge.faults.replace([fault("GET .*slow", "stall", seconds=30, at_byte=1)])
        rig.open()
        summary = rig.list()
        stopped: list[float] = []

        def run() -> None:
            try:
                with live(store) as progress:
                    rig.worker(summary, on_report=progress.show).run()
            except Stopped:
                stopped.append(time.monotonic())

        thread = threading.Thread(target=run)
        thread.start()
        store.wait(lambda: store.calls == 1)
        deadline_s = time.monotonic() + 20
        while len(list(rig.destination_listing().objects("", leave_out=STATE_PREFIX))) < 40:
            assert time.monotonic() < deadline_s, "the copy stands still"
            time.sleep(0.05)
        asked_at_s = time.monotonic()
        rig.stop.set()
        thread.join(20)
        assert stopped and stopped[0] - asked_at_s < 5
        rig.stop = StopRequest()
        rig.edge.faults.replace([])
        assert rig.worker(summary, name="w1").run().failed == 0  # the stopped worker gave its message back
        assert rig.reconcile().is_green
    held.set()
