"""Watches a run from outside: what it has done so far, and the longest time in which nothing of it made progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from demo.airflow_api import FINISHED, AirflowApi, AirflowError, Run, TaskInstance

SAMPLE_S = 0.5
ANSWER_S = 5.0
"""How long the API server may take to answer before the sample does without it."""


@dataclass(slots=True)
class RunWatch:
    """What has been seen of a run. Progress is an attempt of a task in another state, or one more answered upload.

    `uploads` counts the answered uploads without asking Airflow, so that an absence of Airflow is no standstill of the run.
    """

    api: AirflowApi
    run: Run
    uploads: Callable[[], int]
    state: str = "queued"
    tasks: tuple[TaskInstance, ...] = ()
    uploaded: int = 0
    """The answered uploads since the first sample. Workers' own counts begin again with each attempt."""
    longest_standstill_s: float = 0.0
    started_s: float = field(default_factory=time.monotonic)
    ended_s: float = 0.0
    _progressed_s: float = field(default_factory=time.monotonic)
    _seen: object = None
    _uploads_before: int | None = None
    _ending: threading.Event = field(default_factory=threading.Event)

    def until(self, holds: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
        """Wait for something that has been seen. Raises AssertionError after `timeout_s`, or when the run ends before."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert self.state not in FINISHED, f"the run ended before {what}"
            assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
            time.sleep(SAMPLE_S / 5)

    def until_uploaded(self, count: int, timeout_s: float) -> None:
        """Wait until Cloud Storage has answered this many uploads."""
        self.until(lambda: self.uploaded >= count, f"{count} uploads were answered", timeout_s)

    def until_the_end(self, timeout_s: float) -> None:
        """Wait for the end of the run."""
        self.until(lambda: self.ended_s, "its end was seen", timeout_s)

    def attempts(self) -> dict[str, int]:
        """How many attempts each task instance has taken that was not skipped."""
        return {f"{task.task_id}[{task.map_index}]".removesuffix("[-1]"): task.try_number for task in self.tasks}

    def sample(self) -> None:
        """Look once."""
        uploads = self.uploads()
        if self._uploads_before is None:
            self._uploads_before = uploads
        self.uploaded = uploads - self._uploads_before
        state = self.state
        try:
            state = self.api.run_state(self.run)
            self.tasks = tuple(self.api.task_instances(self.run))
        except AirflowError:
            pass  # away: the uploads still tell
        now_s = time.monotonic()
        self.longest_standstill_s = max(self.longest_standstill_s, now_s - self._progressed_s)
        seen = (uploads, [(task.state, task.try_number) for task in self.tasks])
        if seen != self._seen:
            self._seen, self._progressed_s = seen, now_s
        if state in FINISHED:
            self.ended_s = now_s
        self.state = state

    def _watch(self) -> None:
        while not self.ended_s and not self._ending.wait(SAMPLE_S):
            self.sample()


@contextmanager
def watching(api: AirflowApi, run: Run, uploads: Callable[[], int]) -> Iterator[RunWatch]:
    """A watch on a run, with a client of its own, until the run or the block ends."""
    watch = RunWatch(AirflowApi(api.url, credentials=api.credentials, timeout_s=ANSWER_S), run, uploads)
    thread = threading.Thread(target=watch._watch, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch._ending.set()
        thread.join()
