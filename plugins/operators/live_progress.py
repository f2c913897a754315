"""Publishes a task's progress while it runs, in Airflow's task state store, from a thread of its own.

A write waits for Airflow's API server and its database: the supervisor repeats it for 10 to 25 s while one of them is away, and
then it fails. Neither may end or delay the task's work.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, cast

from transfer.plain_text import one_line

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor
    from pydantic import JsonValue

    from transfer.accounting.progress import TransferStats
    from transfer.reconciliation.sampling import SampleReport

log = logging.getLogger(__name__)

PROGRESS_KEY = "progress"
INTERVAL_S = 2.0
"""The least time between two writes of a task, in seconds."""
WRITES_PER_S = 25
"""The most writes per second of all workers of a run together: one API server handles some 100 requests a second, and each
worker's heartbeats are among them."""
MAX_WAIT_S = 60.0
"""The longest time between two writes after some that failed, in seconds. Each failure doubles the time."""
LAST_WRITE_S = 0.5
"""How long the end of the task waits for the last write, in seconds."""


class LiveProgress:
    """Writes `progress` to the task state store: shown on the task's Storage tab and over REST. A context manager.

    Only the newest counts are written, one write at a time; a failed write is logged once until one succeeds again.

    :param workers: how many tasks write at the same time; the more, the less often each of them does.
    """

    def __init__(self, context: Context, *, workers: int = 1) -> None:
        store = context.get("task_state_store")
        self._interval_s = max(INTERVAL_S, workers / WRITES_PER_S)
        self._changed = threading.Condition()
        self._newest: JsonValue = None
        self._is_closed = False
        self._thread = (
            None
            if store is None
            else threading.Thread(target=self._publish, args=[store], name="live-progress", daemon=True)
        )

    def show(self, stats: TransferStats | SampleReport) -> None:
        """Have these counts written soon. Thread-safe; does not wait and raises nothing."""
        document = cast("JsonValue", stats.to_dict())  # numbers, and examples of a sample
        with self._changed:
            self._newest = document
            self._changed.notify()

    def __enter__(self) -> LiveProgress:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join(LAST_WRITE_S)

    def _publish(self, store: TaskStateStoreAccessor) -> None:
        failures = 0
        while (document := self._next()) is not None:
            try:
                store.set(PROGRESS_KEY, document)
                failures = 0
            except Exception as error:  # noqa: BLE001 - a failure to show progress must not end the work
                failures += 1
                if failures == 1:
                    log.warning(
                        "the progress cannot be shown in Airflow at the moment, which does not affect the work: %s: %s",
                        type(error).__name__,
                        one_line(str(error)),
                    )
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, min(self._interval_s * 2**failures, MAX_WAIT_S))
                if self._is_closed and failures:
                    return

    def _next(self) -> JsonValue:
        """Wait for counts that were not written yet, and return them; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._newest is not None)
            document, self._newest = self._newest, None
            return document
