"""Counts the progress of a worker: outcomes, bytes, failures by reason, and what its connections sent and received."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from transfer.accounting.pacing import Pacer
from transfer.accounting.traffic import TrafficMeter
from transfer.model import Copied, Failed, Skipped, TransferFailure, TransferOutcome
from transfer.plain_text import one_line

MAX_REASONS = 20
"""How many reasons of failures are shown while a task runs; the report has all."""
SAMPLES = 3
"""How many keys are shown for each reason."""
MAX_KEY_CHARACTERS = 256
MAX_MESSAGE_CHARACTERS = 300
"""Of a key and a message in the progress: with these limits it stays below half of the 64 KiB from which Airflow's task state
store warns."""
MIN_SHARE = 0.01
"""The time that is left is estimated once this share of the work is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReason:
    """How many objects have failed for one reason, with some of their keys."""

    reason: str
    """The error code."""
    count: int
    samples: tuple[str, ...]
    message: str
    """The message of the first of these failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStats:
    """The counts of one attempt of a worker so far, which are shown while it runs and returned at its end."""

    copied: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_copied: int = 0
    objects_total: int = 0
    """What all workers of the run share, like `bytes_total`."""
    bytes_total: int = 0
    seconds: float = 0.0
    lanes: int = 0
    """The number of lanes that may work now; less than `threads` after a response that asked to slow down."""
    threads: int = 0
    """The largest number of lanes."""
    edge_requests: int = 0
    """Requests to the edge, repeated ones included; like the following, counted where they are sent."""
    edge_bytes: int = 0
    """Bytes of bodies that the edge has sent."""
    gcs_requests: int = 0
    """Requests to Cloud Storage, except for those of the run's own records."""
    failures: tuple[FailureReason, ...] = field(default=())
    """The failures by reason, most frequent first."""
    is_alone: bool = field(default=False, repr=False)
    """Whether this is the only attempt of the only worker, so that the totals are what it has to do itself."""

    @property
    def objects_done(self) -> int:
        """How many objects have an outcome."""
        return self.copied + self.skipped + self.failed

    @property
    def bytes_done(self) -> int:
        """How many bytes were copied, those of unfinished large objects included."""
        return self.bytes_copied

    def to_dict(self) -> dict[str, object]:
        """The counts and the failures as JSON, as stored in the task state store."""
        return {**self.counts(), "failures": [asdict(each) | {"samples": [*each.samples]} for each in self.failures]}

    def counts(self) -> dict[str, int | float]:
        """The counts alone, as stored in XCom."""
        document = asdict(self)
        del document["is_alone"], document["failures"]
        return document

    def line(self, before: TransferStats) -> str:
        """One log line: the counts so far, the share of the whole, and the rate since the counts of the previous line."""
        span_s = max(self.seconds - before.seconds, 1e-3)
        objects_per_s = (self.objects_done - before.objects_done) / span_s
        rate = f"now {objects_per_s:,.0f} objects/s, {human_bytes((self.bytes_done - before.bytes_done) / span_s)}/s"
        slowed = f"; slowed to {self.lanes} of {self.threads} lanes" if self.lanes < self.threads else ""
        left = f"; about {human_seconds(left_s)} left" if (left_s := self._left_s()) is not None else ""
        return f"{self._counts()} in {human_seconds(self.seconds)}; {rate}{left}{slowed}"

    def last_line(self) -> str:
        """The log line at the end, with the average rate."""
        span_s = max(self.seconds, 1e-3)
        rate = f"{self.objects_done / span_s:,.0f} objects/s, {human_bytes(self.bytes_done / span_s)}/s"
        return f"{self._counts()} in {human_seconds(self.seconds)}, {rate} on average"

    def _counts(self) -> str:
        copied = f"{self.copied:,} copied"
        done = f"{self.skipped:,} skipped, {self.failed:,} failed, {human_bytes(self.bytes_copied)}"
        if self.is_alone:
            total = f"{self.objects_total:,} objects, {human_bytes(self.bytes_total)}: {100 * self._share():.0f} %"
            return f"{copied}, {done} (of {total})"
        total = f"{self.objects_total:,} objects, {human_bytes(self.bytes_total)}"
        return f"{copied}, {done} by this attempt (all workers share {total})"

    def _share(self) -> float:
        """The share of the work that is done, 0 to 1: by bytes or by objects, whichever is less."""
        shares = [(self.objects_done, self.objects_total)]
        if not self.failed and not self.skipped:  # their bytes are not copied
            shares.append((self.bytes_done, self.bytes_total))
        return min(1.0, *(done / total if total else 1.0 for done, total in shares))

    def _left_s(self) -> float | None:
        """About how many seconds are left, at the average rate so far; None when that cannot be known."""
        share = self._share()
        return self.seconds * (1 - share) / share if self.is_alone and MIN_SHARE <= share < 1 else None


class Progress:
    """Counts the outcomes and bytes of a worker. Thread-safe.

    Args:
        objects_total: how many objects all workers of the run have to copy.
        bytes_total: the total size of these objects.
        is_alone: whether this attempt of this worker has to copy all of them.
    """

    def __init__(
        self,
        *,
        objects_total: int = 0,
        bytes_total: int = 0,
        is_alone: bool = False,
        pacer: Pacer | None = None,
        traffic: TrafficMeter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pacer = pacer
        self._traffic = traffic or TrafficMeter()
        self._clock = clock
        self._started_at = clock()
        self._lock = threading.Lock()
        self._objects_total = objects_total
        self._bytes_total = bytes_total
        self._is_alone = is_alone
        self._failures: dict[str, FailureReason] = {}
        self._copied = self._skipped = self._failed = self._bytes = self._part_bytes = 0

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
                case Failed(failure=failure):
                    self._failed += 1
                    self._add_failure(failure)

    def _add_failure(self, failure: TransferFailure) -> None:
        known = self._failures.get(failure.error_code)
        if known is None and len(self._failures) == MAX_REASONS:
            return
        samples = known.samples if known else ()
        if failure.key and len(samples) < SAMPLES:
            samples += (failure.key[:MAX_KEY_CHARACTERS],)
        self._failures[failure.error_code] = FailureReason(
            reason=failure.error_code,
            count=known.count + 1 if known else 1,
            samples=samples,
            message=known.message if known else one_line(failure.message, MAX_MESSAGE_CHARACTERS),
        )

    def stats(self) -> TransferStats:
        """The counts at this moment."""
        traffic = self._traffic.so_far()
        with self._lock:
            return TransferStats(
                copied=self._copied,
                skipped=self._skipped,
                failed=self._failed,
                bytes_copied=self._bytes + self._part_bytes,
                objects_total=self._objects_total,
                bytes_total=self._bytes_total,
                seconds=round(self._clock() - self._started_at, 3),
                lanes=self._pacer.limit if self._pacer else 0,
                threads=self._pacer.threads if self._pacer else 0,
                edge_requests=traffic.edge_requests,
                edge_bytes=traffic.edge_bytes,
                gcs_requests=traffic.gcs_requests,
                failures=tuple(sorted(self._failures.values(), key=lambda each: -each.count)),
                is_alone=self._is_alone,
            )


def human_bytes(count: float) -> str:
    """A number of bytes as text in the largest suitable binary unit (B to TiB)."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.2f} TiB"


def human_seconds(seconds: float) -> str:
    """A time span as text in its two largest units, such as `45 s`, `3 min 5 s` or `2 d 4 h`."""
    whole = round(seconds)
    for unit, unit_s, smaller, smaller_s in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= unit_s:
            rest = whole % unit_s // smaller_s
            return f"{whole // unit_s} {unit}{f' {rest} {smaller}' if rest else ''}"
    return f"{whole} s"
