"""What the page "Edgehaul" shows: every route with its last runs, and which routes are late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pages.documents import Document
from pages.records import Tone, Verdict
from pages.verdicts import verdict_of

RUNS_SHOWN = 30
"""How many of its last runs a route shows."""
WORST_FIRST = (Tone.BAD, Tone.WARN, Tone.PLAIN, Tone.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What became of a copy, from its report or its plan."""

    mode: str = "transfer"
    """`transfer`, `plan` or `verify`."""
    verdict: Verdict
    objects: int = 0
    """How many it copied; `size_bytes` is their size."""
    size_bytes: int = 0
    unfinished: int = 0
    """How many it listed and neither matched nor skipped."""
    seconds: float | None = None
    usd: float | None = None
    """The costs of the run in a month without other traffic, on the cheapest way; None for a plan, which costs nothing yet."""
    source: str = ""
    destination: str = ""

    @property
    def is_green(self) -> bool:
        """Whether every object is at the destination. A plan is not green: it copies nothing."""
        return self.mode != "plan" and self.verdict.tone is Tone.GOOD


def figures_of(report: object, *, is_plan: bool) -> RunFigures | None:
    """The figures in a report.json or a plan.json, as a JSON object; None if it is none. Never raises."""
    document = Document(report)
    if not document:
        return None
    if is_plan:
        return RunFigures(mode="plan", verdict=verdict_of(document, "plan"))
    mode = "verify" if document.text("mode", 20) == "verify" else "transfer"
    listed, matched, skipped = (document.whole(name) for name in ("listed", "matched", "skipped"))
    costs = document.within("costs")
    return RunFigures(
        mode=mode,
        verdict=verdict_of(document, mode),
        objects=document.whole("copied"),
        size_bytes=document.whole("bytes_copied"),
        unfinished=max(0, listed - matched - skipped),
        seconds=document.share("seconds"),
        usd=costs.share("least_usd"),
        source=document.text("source", 300),
        destination=document.text("destination", 300),
    )


def together(copies: Sequence[RunFigures]) -> RunFigures | None:
    """The copies of one run of a DAG that makes several: their sums, and the worst of their verdicts."""
    if len(copies) < 2:
        return copies[0] if copies else None
    worst = min(copies, key=lambda copy: WORST_FIRST.index(copy.verdict.tone))
    bad = sum(copy.verdict.tone is Tone.BAD for copy in copies)
    how = f"{bad:,} of {len(copies):,} copies are not green" if bad else f"{len(copies):,} copies, the first"
    return replace(
        worst,
        verdict=Verdict(tone=worst.verdict.tone, sentence=f"{how}: {worst.verdict.sentence}"),
        objects=sum(copy.objects for copy in copies),
        size_bytes=sum(copy.size_bytes for copy in copies),
        unfinished=sum(copy.unfinished for copy in copies),
        seconds=max((copy.seconds for copy in copies if copy.seconds is not None), default=None),
        usd=sum(copy.usd or 0.0 for copy in copies),
        source=f"{len(copies):,} sources",
        destination=f"{len(copies):,} destinations",
    )


def ended(state: str, figures: RunFigures | None) -> Verdict:
    """The verdict on a run that has ended in a state of Airflow's."""
    if figures is None:
        if state == "failed":
            return Verdict(tone=Tone.BAD, sentence="The run failed before there was a report.")
        return Verdict(tone=Tone.WARN, sentence="The run has ended, but there is no report of it.")
    if state == "failed" and figures.verdict.tone is not Tone.BAD:
        return Verdict(tone=Tone.BAD, sentence=f"{figures.verdict.sentence} The run failed nevertheless.")
    return figures.verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run in the charts of its route."""

    at: datetime
    """When it was due."""
    tone: Tone
    """Of its verdict; PLAIN for a plan, and for a run that is still under way."""
    figures: RunFigures | None = None
    """None where it has no report yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run that is under way."""

    url: str
    began_at: datetime | None
    """None for a run that waits for its turn."""
    done: float | None = None
    """The part of its objects that is done, from 0 to 1; None where nothing can be said."""
    failed: int = 0
    """How many objects have failed so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Why a route stands out: it has not been green for longer than its schedule."""

    since: datetime | None
    """The date of its last green run; None for a route that never was green."""
    missed: int
    """How many runs of its schedule were due since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """One DAG that copies: a route, the form's DAG, or one of a user's own."""

    dag_id: str
    name: str
    url: str
    is_paused: bool = False
    source: str = ""
    destination: str = ""
    description: str = ""
    """Shown where source and destination are not known yet."""
    schedule: str = ""
    """In words; empty for a DAG that a person or another DAG starts."""
    cron: str = ""
    next_run_at: datetime | None = None
    late: Late | None = None
    verdict: Verdict | None = None
    """On the last run that has ended."""
    verdict_at: datetime | None = None
    verdict_url: str = ""
    """The tab Copy of that run."""
    live: tuple[LiveRun, ...] = ()
    runs: tuple[PastRun, ...] = ()
    """The last RUNS_SHOWN runs at most, oldest first."""

    @property
    def is_red(self) -> bool:
        """Whether the last run that has ended was not green."""
        return self.verdict is not None and self.verdict.tone is Tone.BAD

    @property
    def tone(self) -> Tone:
        """The colour of the route."""
        if self.late:
            return Tone.BAD
        return self.verdict.tone if self.verdict else Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All routes that a user may read, in the order of `in_order`."""

    routes: tuple[RouteView, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether a run is under way."""
        return any(route.live for route in self.routes)


def in_order(routes: Sequence[RouteView]) -> tuple[RouteView, ...]:
    """What needs attention first: late routes, then those whose last run was not green, then all others by name."""
    return tuple(
        sorted(routes, key=lambda route: (route.late is None, route.tone is not Tone.BAD, route.name.casefold()))
    )
