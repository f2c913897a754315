"""Reports the progress of a task: to a callback about once a second, and to the log, the less often the longer it lasts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from transfer.accounting.rate_history import Counted
from transfer.plain_text import one_line

log = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0
LOG_INTERVAL_S = 10.0
"""The least time between two lines of the log."""
LOG_SHARE = 0.05
"""The time between two lines of the log grows to this share of the time that the task has run."""
MAX_LOG_INTERVAL_S = 600.0
"""The longest time between two lines of the log: a task of three days writes about 500 of them."""


class Stats(Counted, Protocol):
    """The counts of a task at one moment, and how it puts them into words."""

    @property
    def seconds(self) -> float:
        """How long the task has been running."""

    def line(self, before: Self) -> str:
        """One log line: the counts so far, and the rate since `before`."""

    def last_line(self) -> str:
        """The log line at the end of the task."""


S = TypeVar("S", bound=Stats)
S_co = TypeVar("S_co", bound=Stats, covariant=True)


class Counting(Protocol[S_co]):
    """Counts the progress of a task."""

    def stats(self) -> S_co:
        """The counts at this moment."""


class ProgressReporter(Generic[S]):
    """Reports the counts of `progress` to `on_report` and to the log. Use from one thread."""

    def __init__(
        self,
        progress: Counting[S],
        on_report: Callable[[S], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._on_report = on_report
        self._clock = clock
        self._reported_at = self._logged_at = clock()
        self._logged = progress.stats()

    def report(self, *, is_last: bool = False) -> None:
        """Report if a second has passed since the last report, or if it is the last one."""
        now = self._clock()
        if not is_last and now - self._reported_at < REPORT_INTERVAL_S:
            return
        stats = self._progress.stats()
        self._reported_at = now
        try:
            self._on_report(stats)
        except Exception as error:  # noqa: BLE001 - a failure to show progress must not end the work
            log.info("progress could not be shown: %s: %s", type(error).__name__, one_line(str(error)))
        if is_last:
            log.info("%s", stats.last_line())
        elif self._is_due(stats, now - self._logged_at):
            log.info("%s", stats.line(self._logged))
            self._logged_at, self._logged = now, stats

    def _is_due(self, stats: S, since_s: float) -> bool:
        """Whether a line is to be logged, `since_s` after the previous one: rarely when nothing was done since then."""
        before = self._logged
        has_worked = (stats.objects_done, stats.bytes_done) != (before.objects_done, before.bytes_done)
        return since_s >= (log_interval_s(stats.seconds) if has_worked else MAX_LOG_INTERVAL_S)


def log_interval_s(ran_s: float) -> float:
    """The time between two lines of the log, for a task that has run for `ran_s` seconds."""
    return min(max(LOG_INTERVAL_S, LOG_SHARE * ran_s), MAX_LOG_INTERVAL_S)
