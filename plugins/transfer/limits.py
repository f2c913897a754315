"""The defaults and limits of numeric parameters, used by the trigger form, the operators and the engine."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The default and the limits of one numeric parameter. Both limits are inclusive."""

    default: int
    low: int
    high: int | None = None
    """The largest value; None for no upper limit."""

    def has(self, value: float) -> bool:
        """Whether the value is within the limits. NaN is never within them."""
        return self.low <= value and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        return f"{self.low:,} or more" if self.high is None else f"{self.low:,} to {self.high:,}"


WORKERS = Limits(default=4, low=1, high=64)
"""The number of workers that copy objects in one run."""
THREADS = Limits(default=16, low=1, high=256)
"""The number of objects that one worker copies at the same time."""
PART_SIZE_MIB = Limits(default=32, low=5, high=1024)
"""The size of a part, in MiB.

5 MiB is the smallest part that S3 and Cloud Storage accept. Above 1 GiB, repeating a failed request would cost too much.
"""
VERIFY_SAMPLE_PERCENT = Limits(default=0, low=0, high=100)
"""The percentage of matched objects that are read back from both sides and compared."""
MAX_DELETE_PERCENT = Limits(default=10, low=0, high=100)
"""The largest percentage of the destination's objects that a run may delete."""
MAX_DELETE_OBJECTS = Limits(default=10_000, low=0)
"""The largest number of objects that a run may delete."""
KEEP_RUNS = Limits(default=30, low=1, high=10_000)
"""The number of runs whose records are kept."""
URL_LIFETIME_S = Limits(default=3600, low=60, high=7 * 24 * 3600)
"""How long a signed CloudFront URL is valid, in seconds."""
MAX_ACTIVE_RUNS = Limits(default=1, low=1, high=1000)
"""The number of runs of one route that may be active at the same time."""
