"""Publishes a task's progress while it runs, in Airflow's task state store, from a thread of its own.

A read or a write waits for Airflow's API server and its database: the supervisor repeats it for 10 to 25 s while one of them is
away, and then it fails. Neither may end or delay the task's work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from operators.xcom_record import plain_json
from transfer.accounting.rate_history import Counted, RateHistory
from transfer.plain_text import one_line

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

log = logging.getLogger(__name__)

PROGRESS_KEY = "progress"
HISTORY_KEY = "history"
OPENING = "of"
"""The field of the history that names the opening of the run that it belongs to."""
INTERVAL_S = 2.0
"""The least time between two turns of a task, in seconds. Each turn writes the progress, every other one the history, too."""
WRITES_PER_TURN = 1.5
WRITES_PER_S = 25
"""The most writes per second of all workers of a run together: one API server handles some 100 requests a second, and each
worker's heartbeats are among them."""
MAX_WAIT_S = 60.0
"""The longest time between two writes after some that failed, in seconds. Each failure doubles the time."""
LAST_WRITE_S = 0.5
"""How long the end of the task waits for the last writes, in seconds."""


class Shown(Counted, Protocol):
    """The counts of a task, as they are shown."""

    def to_dict(self) -> Mapping[str, object]:
        """The counts as JSON."""


class LiveProgress:
    """Writes `progress` and `history` to the task state store: shown on the task's Storage tab and over REST. A context manager.

    `progress` has the newest counts, `history` the rate over time, over all attempts of the task since the run was opened
    (`transfer.accounting.rate_history`). One write at a time; a failed one is logged once until one succeeds again.

    :param opening: the opening of the run that the task works for: a history of another one is replaced.
    :param workers: how many tasks write at the same time; the more, the less often each of them does.
    """

    def __init__(self, context: Context, *, opening: str = "", workers: int = 1) -> None:
        self._store: TaskStateStoreAccessor | None = context.get("task_state_store")
        self._opening = opening
        self._interval_s = max(INTERVAL_S, WRITES_PER_TURN * workers / WRITES_PER_S)
        self._changed = threading.Condition()
        self._newest: Mapping[str, object] | None = None
        self._history = RateHistory(time.time())
        self._written: dict[str, Any] = {}
        """The history as it was written last."""
        self._is_continued = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._publish, name="live-progress", daemon=True)

    def show(self, stats: Shown) -> None:
        """Have these counts written soon. Thread-safe; does not wait and raises nothing."""
        document = stats.to_dict()
        with self._changed:
            self._newest = document
            self._history.add(time.time(), stats)
            self._changed.notify()

    def history(self) -> dict[str, Any]:
        """The rate over time until now, as it is stored. Thread-safe."""
        with self._changed:
            return self._history.to_dict() | {OPENING: self._opening}

    def __enter__(self) -> LiveProgress:
        if self._store is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._store is not None:
            self._thread.join(LAST_WRITE_S)

    def _publish(self) -> None:
        assert self._store is not None
        failures = turns = 0
        while not (self._is_closed and failures):
            document = self._next()
            try:
                if document is not None:
                    self._store.set(PROGRESS_KEY, plain_json(document))
                if document is None or turns % 2 == 0:
                    self._write_history(self._store)
                turns += 1
                failures = 0
            except Exception as error:  # noqa: BLE001 - a failure to show progress must not end the work
                failures += 1
                if failures == 1:
                    log.warning(
                        "the progress cannot be shown in Airflow at the moment, which does not affect the work: %s: %s",
                        type(error).__name__,
                        one_line(str(error)),
                    )
            if document is None:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, min(self._interval_s * 2**failures, MAX_WAIT_S))

    def _next(self) -> Mapping[str, object] | None:
        """Wait for counts that were not written yet, and return them; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._newest is not None)
            document, self._newest = self._newest, None
            return document

    def _write_history(self, store: TaskStateStoreAccessor) -> None:
        """Write the rates, if there are new ones. Those of earlier attempts are read before the first write."""
        if not self._is_continued:
            earlier = store.get(HISTORY_KEY)
            with self._changed:
                if isinstance(earlier, dict) and earlier.get(OPENING) == self._opening:
                    self._history.continue_from(RateHistory.of(earlier))
            self._is_continued = True
        document = self.history()
        if document["objects"] and document != self._written:
            store.set(HISTORY_KEY, document)
            self._written = document
