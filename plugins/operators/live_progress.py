"""A task's progress where people and programs can see it while it runs: Airflow's task state store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transfer.progress import Progress, TransferStats

PROGRESS_KEY = "progress"
INTERVAL_S = 1.0


class LiveProgress:
    """Writes `progress` to the task state store: shown on the task's Storage tab and over REST. Use from one thread."""

    def __init__(self, context: Context) -> None:
        self._store = context.get("task_state_store")
        self._shown_at_s = 0.0

    def show(self, stats: TransferStats) -> None:
        """Write the counts; about 9 ms."""
        if self._store is not None:
            self._store.set(PROGRESS_KEY, stats.to_dict())

    def show_at_most_each_second(self, progress: Progress) -> None:
        """Write the counts unless that was done within the last second."""
        now_s = time.monotonic()
        if now_s - self._shown_at_s >= INTERVAL_S:
            self._shown_at_s = now_s
            self.show(progress.stats())
