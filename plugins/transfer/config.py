"""The settings of a run: mode, overwriting, timeouts, retries, limits of uploads in parts, and the settings of a worker."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from transfer.limits import MIB, PART_SIZE_MIB, THREADS


class Overwrite(StrEnum):
    """When to replace an object that exists at the destination."""

    CHANGED = "changed"
    """Replace it if its content differs from the source or cannot be shown to be equal."""
    NEVER = "never"
    """Keep it, whatever it contains."""
    ALWAYS = "always"
    """Replace it even if its content is equal."""


class Mode(StrEnum):
    """The purpose of a run."""

    TRANSFER = "transfer"
    """List both sides, and copy the objects that need it."""
    PLAN = "plan"
    """List both sides, and report which objects a transfer would copy and its cost."""
    VERIFY = "verify"
    """List both sides, and report missing and differing objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for the source or the destination, in seconds."""

    connect_s: float = 10.0
    stall_s: float = 60.0
    """A request that transfers less than 1 KiB per second for this long is aborted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015)."""

    attempts: int = 7
    base_s: float = 0.5
    cap_s: float = 32.0
    """Cloud Storage's guidance for truncated exponential back-off caps at 32 to 64 s."""
    total_s: float = 300.0
    """No further attempt is started this long after the first one that failed."""


MIN_PART_BYTES = PART_SIZE_MIB.low * MIB
"""The smallest part of an upload in parts, except for the last part (Cloud Storage and S3, "Quotas")."""
MAX_PART_BYTES = 5 * 1024**3
"""The largest part of an upload in parts (Cloud Storage and S3, "Quotas")."""
MAX_PARTS = 10_000
"""The largest number of parts of one upload (Cloud Storage and S3, "Quotas")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConfig:
    """The settings with which a worker copies objects."""

    threads: int = THREADS.default
    """The number of objects that are copied at the same time."""
    part_size_bytes: int = PART_SIZE_MIB.default * MIB
    """The number of bytes that one GET fetches of an object that is copied in parts.

    It is also the size of the uploaded parts if the part size of the source object is not known.
    """
    whole_bytes: int = 256 * 1024
    """Objects up to this size are fetched completely before they are sent. This bounds the memory of a lane."""
    parallel_bytes: int = 64 * 1024 * 1024
    """From this size on, an upload can be resumed after a crash and is shared by several lanes."""
    bandwidth_limit_bytes_per_s: float | None = None
    """The most bytes per second that this worker reads from the edge; None for no limit."""
    max_requests_per_s: float | None = None
    """The most requests per second that this worker sends to both sides together; None for no limit."""
    is_ramped: bool = True
    """Whether writes follow Cloud Storage's ramp-up guideline (`transfer/accounting/pacing.py`); not needed for a busy bucket."""
    workers: int = 1
    """The number of workers that write to the bucket at the same time; each gets an equal share of the ramp-up."""
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
            raise ValueError(f"workers is {self.workers}: choose a number of workers of 1 or more")


MAX_GET_BYTES = 32 * 1024**3
"""The largest object that is fetched with one GET; larger ones are fetched in ranges.

CloudFront serves up to 50 GB in one cacheable response (CloudFront Developer Guide, "Quotas").
"""
MAX_OBJECT_BYTES = 5 * 1024**4
"""The largest object that Cloud Storage accepts: 5 TiB (Cloud Storage, "Quotas and limits")."""
