"""Publishes a task's progress while it runs, in Airflow's task state store."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue

    from transfer.accounting.progress import TransferStats
    from transfer.reconciliation.sampling import SampleReport

PROGRESS_KEY = "progress"


class LiveProgress:
    """Writes `progress` to the task state store: shown on the task's Storage tab and over REST. Use from one thread."""

    def __init__(self, context: Context) -> None:
        self._store = context.get("task_state_store")

    def show(self, stats: TransferStats | SampleReport) -> None:
        """Write the counts; takes about 9 ms."""
        if self._store is not None:
            self._store.set(PROGRESS_KEY, cast("JsonValue", stats.to_dict()))  # numbers, and examples of a sample
