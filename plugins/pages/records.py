"""The parts of what the page of a run shows. Numbers are plain; the templates write them for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PhaseState(StrEnum):
    """How far a phase of a run is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of a run, in its time line."""

    name: str
    state: PhaseState = PhaseState.PENDING
    began_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    note: str = ""
    """A few words on what is going on, such as that a task waits for its next attempt."""
    url: str = ""
    """The page of its task in Airflow's UI; empty where there is none."""


class Tone(StrEnum):
    """The colour of a verdict."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a run is or ended, in one sentence."""

    tone: Tone
    sentence: str
    details: tuple[str, ...] = ()
    """Further lines, such as the message of the task that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number of objects, and their total size."""

    objects: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    done: Amount = Amount()
    total: Amount | None = None
    """What there is to copy; None until the listing has ended."""
    listed: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_per_s: float = 0.0
    """Over the last seconds; so is `objects_per_s`."""
    objects_per_s: float = 0.0
    average_bytes_per_s: float = 0.0
    """Since the copying began; so is `average_objects_per_s`."""
    average_objects_per_s: float = 0.0
    eta_s: float | None = None
    """Seconds until everything is copied, at the present rate; None where nothing can be said."""

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1: of the bytes, or of the objects where that is less or all are empty."""
        if self.total is None:
            return None
        pairs = ((self.done.objects, self.total.objects), (self.done.size_bytes, self.total.size_bytes))
        return min((min(1.0, done / total) for done, total in pairs if total), default=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The rates of all workers together over time; entry i covers `interval_s` seconds from `began_at_s + i * interval_s`."""

    began_at_s: float
    interval_s: float
    bytes: tuple[int, ...]
    objects: tuple[int, ...]
    slowed: tuple[bool, ...]
    """Whether fewer lanes worked than may, because a server asked to slow down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One worker of a run."""

    label: str
    state: PhaseState
    lanes: int = 0
    threads: int = 0
    bytes_per_s: float = 0.0
    done: Amount = Amount()
    failed: int = 0
    attempt: int = 0
    attempts: int = 0
    """How many attempts the task may have."""
    host: str = ""
    url: str = ""
    """The page of its log in Airflow's UI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRow:
    """One reason why objects did not end as copied or matched."""

    verdict: str
    reason: str
    count: int
    samples: tuple[str, ...] = ()
    message: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The objects of one range of sizes."""

    label: str
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What one way out of S3 costs in a month without other traffic."""

    way: str
    usd: float
    note: str = ""
    is_cheapest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """What a run costs: every way out of S3, and everything else."""

    ways: tuple[CostRow, ...]
    common: tuple[tuple[str, float], ...]
    """What every way costs besides, by its name."""
    least_usd: float
    """The total with the cheapest way."""
    prices_as_of: str = ""
    prices_scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    """One row of a table of counts."""

    label: str
    amount: Amount
    note: str = ""
    has_bytes: bool = True
    is_total: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished run or plan reports. Parts that are empty are not shown."""

    counts: tuple[CountRow, ...] = ()
    extra: tuple[CountRow, ...] = ()
    """Objects at the destination only."""
    failures: tuple[ReasonRow, ...] = ()
    skipped: tuple[ReasonRow, ...] = ()
    proof: tuple[tuple[str, str, int], ...] = ()
    """Claim, evidence, and for how many objects."""
    proof_notes: tuple[str, ...] = ()
    sizes: tuple[Band, ...] = ()
    times: tuple[tuple[str, float], ...] = ()
    """Seconds by phase."""
    facts: tuple[tuple[str, str], ...] = ()
    """Single figures with their names, such as the average rate."""
    requests: tuple[tuple[str, int], ...] = ()
    requests_note: str = ""
    edge_bytes: int = 0
    costs: CostTable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link to a page outside of this one."""

    label: str
    url: str
    is_airflow: bool = False
    """Whether it is a page of Airflow's UI, which replaces the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A run that a person may want to start next."""

    name: str
    label: str
    explanation: str
    """What the confirmation says."""
    request: Mapping[str, object] = field(default_factory=dict)
    """The body for Airflow's REST API, POST …/dagRuns."""
    is_main: bool = False
    """Whether it is the next step that most people want."""
