"""How a run copies: its mode and overwriting, timeouts, retries, limits of parts, and a worker's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from transfer.limits import MIB, PART_SIZE_MIB, THREADS


class Overwrite(StrEnum):
    """What to do with an object that is at the destination already."""

    CHANGED = "changed"
    NEVER = "never"
    ALWAYS = "always"


class Mode(StrEnum):
    """What a run is for."""

    TRANSFER = "transfer"
    PLAN = "plan"
    """List both sides and say what a transfer would do and cost."""
    VERIFY = "verify"
    """List both sides and say what is missing or differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for either side, in seconds."""

    connect_s: float = 10.0
    stall_s: float = 60.0
    """A transfer that moves less than 1 KiB a second for this long is broken off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015)."""

    attempts: int = 7
    base_s: float = 0.5
    cap_s: float = 32.0
    """Cloud Storage's guidance for truncated exponential back-off caps at 32 to 64 s."""
    total_s: float = 300.0
    """No further try is begun this long after the first that failed."""


MIN_PART_BYTES = PART_SIZE_MIB.low * MIB
"""Of an upload in parts, for all but the last one (Cloud Storage and S3, "Quotas")."""
MAX_PART_BYTES = 5 * 1024**3
"""Of an upload in parts (the same pages)."""
MAX_PARTS = 10_000
"""Of an upload in parts, in Cloud Storage and in S3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConfig:
    """How a worker moves objects."""

    threads: int = THREADS.default
    """Objects on their way at a time."""
    part_size_bytes: int = PART_SIZE_MIB.default * MIB
    """How much of an object in parts one GET fetches, and the size of its parts where the source's own is not known."""
    whole_bytes: int = 256 * 1024
    """Objects up to this size are fetched whole before they are sent; it bounds the memory of a lane."""
    parallel_bytes: int = 64 * 1024 * 1024
    """From this size on an upload is worth going on with after a crash, and worth several lanes."""
    bandwidth_limit_bytes_per_s: float | None = None
    """What this worker may read from the edge; None for no limit."""
    max_requests_per_s: float | None = None
    """What this worker may send, to both sides together; None for no limit."""
    is_ramped: bool = True
    """Whether writes keep to Cloud Storage's ramp-up guideline (`transfer/accounting/pacing.py`); a warm bucket needs none."""
    workers: int = 1
    """How many workers write to the bucket at a time: each gets its share of the ramp-up."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if not THREADS.has(self.threads):
            raise ValueError(f"threads is {self.threads}: choose {THREADS}")
        if self.part_size_bytes < MIN_PART_BYTES:
            raise ValueError(f"part_size_bytes is {self.part_size_bytes}: choose {MIN_PART_BYTES} (5 MiB) or more")
        for name in ("bandwidth_limit_bytes_per_s", "max_requests_per_s"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"{name} is {limit}: choose a number above 0, or None for no limit")
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}: choose how many share the bucket, 1 or more")


MAX_GET_BYTES = 32 * 1024**3
"""CloudFront serves up to 50 GB in one cacheable answer ("Quotas"); more is fetched by ranges."""
MAX_OBJECT_BYTES = 5 * 1024**4
"""Cloud Storage, "Quotas and limits": 5 TiB."""
