"""The numbers that a person may set: the default and the limits of each, for the form, the operators, and the engine."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One number. Both limits are inclusive."""

    default: int
    low: int
    high: int | None = None
    """None for no upper limit."""

    def has(self, value: float) -> bool:
        """Whether the value is within the limits. NaN never is."""
        return self.low <= value and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        return f"{self.low:,} or more" if self.high is None else f"{self.low:,} to {self.high:,}"


WORKERS = Limits(default=4, low=1, high=64)
THREADS = Limits(default=16, low=1, high=256)
"""Objects that one worker copies at a time."""
PART_SIZE_MIB = Limits(default=32, low=5, high=1024)
"""5 MiB is the smallest part that S3 and Cloud Storage accept; with 1 GiB, a broken request costs enough."""
VERIFY_SAMPLE_PERCENT = Limits(default=0, low=0, high=100)
MAX_DELETE_PERCENT = Limits(default=10, low=0, high=100)
MAX_DELETE_OBJECTS = Limits(default=10_000, low=0)
KEEP_RUNS = Limits(default=30, low=1, high=10_000)
URL_LIFETIME_S = Limits(default=3600, low=60, high=7 * 24 * 3600)
"""How long one signature of CloudFront's URLs is valid."""
MAX_ACTIVE_RUNS = Limits(default=1, low=1, high=1000)
"""Runs of one route at a time."""
