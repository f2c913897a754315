"""Which runs are made: cases of one workload, one number of threads and one latency, each with its contenders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.runs import BARE, ENGINE, RCLONE, RCLONE_CHECKED
from benchmarks.workloads import Workload

LATENCY_MS = 20.0
DEFAULT_THREADS = 16
DEFAULT_LARGE_THREADS = 4
SHARE = {
    "small": {RCLONE: 1_000, RCLONE_CHECKED: 1_000, "operator": 100, "transfer_manager": 200, "script": 400},
    "medium": {RCLONE: 1_000, "operator": 50, "transfer_manager": 100, "script": 200},
    "large": {"operator": 1, "transfer_manager": 2, "script": 4},
}
"""How many objects the slow contenders copy: enough for a second or more; rates and costs are per object."""
SPREAD_OBJECTS = 5_000
"""How many the engine copies at the other numbers of threads, and on the local cloud."""
LATENCY_OBJECTS_PER_THREAD = 100
QUICK_DIVISOR = 4
SPREAD_THREADS = {"small": (1, 4, 64), "large": (1, 16)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Contenders that run in turn, in several rounds."""

    workload: Workload
    threads: int
    contenders: tuple[str, ...]
    delay_ms: float = 0.0
    is_faithful: bool = False
    """On the local cloud's Cloud Storage in place of the discarding one."""
    is_quick: bool = False

    def share_of(self, contender: str) -> Workload:
        """What this contender copies: all of it, or the stated subset."""
        workload = self.workload
        count = SHARE.get(workload.name.partition("-")[0], {}).get(contender, workload.count)
        if self.delay_ms:
            count = min(count, LATENCY_OBJECTS_PER_THREAD * self.threads)
        if self.is_quick and not workload.is_large:
            count = count if contender in (ENGINE, BARE) else count // QUICK_DIVISOR
        return workload.subset(count)

    @property
    def title(self) -> str:
        """`20,000 × 4 KiB, 16 threads`."""
        latency = f", {self.delay_ms:g} ms of latency on the edge" if self.delay_ms else ""
        sink = ", local cloud's Cloud Storage" if self.is_faithful else ""
        return f"{self.workload}, {self.threads} thread{'s' if self.threads > 1 else ''}{latency}{sink}"


def cases(
    workloads: Sequence[Workload], threads: Sequence[int] | None, peers: Sequence[str], *, is_quick: bool
) -> list[Case]:
    """The plan for these workloads, with the most important cases first. With `threads` None, it has the usual numbers of
    threads and some more."""
    first: list[Case] = []
    for workload in workloads:
        for count in threads or [usual_threads(workload)]:
            contenders = (ENGINE, BARE, *_able(peers, workload))
            first.append(Case(workload=workload, threads=count, contenders=contenders, is_quick=is_quick))
    if threads:
        return first
    pair = (ENGINE, *(peer for peer in peers if peer == RCLONE))
    latency = [
        Case(workload=workload, threads=count, contenders=pair, delay_ms=LATENCY_MS, is_quick=is_quick)
        for workload in workloads
        if workload.name == "small"
        for count in (1, 64)
    ]
    if is_quick:
        return first + latency
    spread = [
        Case(workload=workload.subset(SPREAD_OBJECTS), threads=count, contenders=pair)
        for workload in workloads
        for count in SPREAD_THREADS.get(workload.name, ())
    ]
    faithful = [
        Case(
            workload=workload.subset(SPREAD_OBJECTS),
            threads=usual_threads(workload),
            contenders=pair,
            is_faithful=True,
        )
        for workload in workloads
        if workload.name in SPREAD_THREADS
    ]
    return first + latency + spread + faithful


def usual_threads(workload: Workload) -> int:
    """How many threads the contenders are compared at."""
    return DEFAULT_LARGE_THREADS if workload.is_large else DEFAULT_THREADS


def _able(peers: Sequence[str], workload: Workload) -> tuple[str, ...]:
    """Without those that would hold 4 GiB in tmpfs twice, and rclone's second way only where objects are small."""
    if workload.name == "huge":
        return tuple(peer for peer in peers if peer == RCLONE)
    return tuple(peer for peer in peers if peer != RCLONE_CHECKED or workload.name == "small")
