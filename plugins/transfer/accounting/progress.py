"""Counts the progress of a running task, and reports it as counts and as a log line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from transfer.accounting.pacing import Pacer
from transfer.model import Copied, Failed, Skipped, TransferOutcome
from transfer.plain_text import one_line

log = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0
LOG_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStats:
    """The counts of a task so far, which are shown while it runs and returned at its end."""

    listed: int = 0
    copied: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_copied: int = 0
    objects_total: int = 0
    bytes_total: int = 0
    seconds: float = 0.0
    lanes: int = 0
    """The number of lanes that may work now; less than `threads` after a response that asked to slow down.

    Both are 0 for a task without lanes.
    """
    threads: int = 0
    """The largest number of lanes."""

    def to_dict(self) -> dict[str, int | float]:
        """The counts as a dict, as stored in the task state store and in XCom."""
        return asdict(self)


class Progress:
    """Counts the outcomes and bytes of a task. Thread-safe."""

    def __init__(
        self,
        *,
        objects_total: int = 0,
        bytes_total: int = 0,
        pacer: Pacer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pacer = pacer
        self._clock = clock
        self._started_at = clock()
        self._lock = threading.Lock()
        self._objects_total = objects_total
        self._bytes_total = bytes_total
        self._listed = self._copied = self._skipped = self._failed = self._bytes = self._part_bytes = 0

    def listed(self, objects: int, size_bytes: int) -> None:
        """Count objects that were listed."""
        with self._lock:
            self._listed += objects
            self._objects_total += objects
            self._bytes_total += size_bytes

    def part(self, size_bytes: int) -> None:
        """Count a part of a large object that was copied; a negative size removes its parts once the object itself counts."""
        with self._lock:
            self._part_bytes += size_bytes

    def settled(self, outcome: TransferOutcome) -> None:
        """Count the outcome of an object."""
        with self._lock:
            match outcome:
                case Copied(size_bytes=size_bytes):
                    self._copied += 1
                    self._bytes += size_bytes
                case Skipped():
                    self._skipped += 1
                case Failed():
                    self._failed += 1

    def stats(self) -> TransferStats:
        """The counts at this moment."""
        with self._lock:
            return TransferStats(
                listed=self._listed,
                copied=self._copied,
                skipped=self._skipped,
                failed=self._failed,
                bytes_copied=self._bytes + self._part_bytes,
                objects_total=self._objects_total,
                bytes_total=self._bytes_total,
                seconds=round(self._clock() - self._started_at, 3),
                lanes=self._pacer.limit if self._pacer else 0,
                threads=self._pacer.threads if self._pacer else 0,
            )


class ProgressReporter:
    """Reports progress: to a callback about once a second, to the log every ten seconds. Use from one thread."""

    def __init__(
        self,
        progress: Progress,
        on_report: Callable[[TransferStats], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress = progress
        self._on_report = on_report
        self._clock = clock
        self._reported_at = self._logged_at = clock()
        self._logged = progress.stats()

    def report(self, *, force: bool = False) -> None:
        """Report if a second has passed since the last report, or if forced."""
        now = self._clock()
        if not force and now - self._reported_at < REPORT_INTERVAL_S:
            return
        stats = self.progress.stats()
        self._reported_at = now
        try:
            self._on_report(stats)
        except Exception as error:  # noqa: BLE001 - a failure to show progress must not end the work
            log.info("progress could not be shown: %s: %s", type(error).__name__, one_line(str(error)))
        if force or now - self._logged_at >= LOG_INTERVAL_S:
            log.info("%s", progress_line(stats, self._logged))
            self._logged_at, self._logged = now, stats


def progress_line(now: TransferStats, before: TransferStats) -> str:
    """One log line: the counts so far, and the rate since the counts of the previous line."""
    span_s = max(now.seconds - before.seconds, 1e-3)
    if now.listed:
        rate = (now.listed - before.listed) / span_s
        size = human_bytes(now.bytes_total)
        return f"{now.listed:,} listed, {size} to copy, in {now.seconds:,.0f} s; now {rate:,.0f} objects/s"
    done = now.copied + now.skipped + now.failed
    done_before = before.copied + before.skipped + before.failed
    rate_bytes = (now.bytes_copied - before.bytes_copied) / span_s
    slowed = f"; slowed to {now.lanes} of {now.threads} lanes" if now.lanes < now.threads else ""
    return (
        f"{now.copied:,} copied, {now.skipped:,} skipped, {now.failed:,} failed, {human_bytes(now.bytes_copied)} in"
        f" {now.seconds:,.0f} s; now {(done - done_before) / span_s:,.0f} objects/s, {human_bytes(rate_bytes)}/s{slowed}"
    )


def human_bytes(count: float) -> str:
    """A number of bytes as text in the largest suitable binary unit (B to TiB)."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.2f} TiB"
