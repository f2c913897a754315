"""The sections of the page "Edgehaul", as HTML: a summary, a filter, and one section for each route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from statistics import median

from markupsafe import Markup

from pages import charts, numbers
from pages.overview import RUNS_SHOWN, Overview, PastRun, RouteView, RunFigures
from pages.records import Tone
from pages.rendering import render
from transfer.accounting.progress import human_bytes

Value = Callable[[RunFigures], float | None]
Write = Callable[[float], str]
WORDS = {Tone.GOOD: "green", Tone.BAD: "not green", Tone.WARN: "no report", Tone.PLAIN: "plan"}
"""A verdict in a word, by its tone."""


def overview_sections(overview: Overview) -> dict[str, str]:
    """The HTML of each section by its id, in the order of the page."""
    return {
        "summary": render("overview/summary.html", routes=overview.routes, figures=_figures(overview.routes)).strip(),
        "filter": render("overview/filter.html", is_shown=bool(overview.routes)).strip(),
        **{section_id(route.dag_id): _route(route) for route in overview.routes},
        "empty": "" if overview.routes else render("overview/empty.html").strip(),
    }


def section_id(dag_id: str) -> str:
    """The id of a route's section: short, and without the characters that ids of DAGs may have."""
    return f"route-{blake2s(dag_id.encode(), digest_size=6).hexdigest()}"


@lru_cache(maxsize=512)
def _route(route: RouteView) -> str:
    """Kept, because most routes are the same as when the page asked last. One with 30 runs has 31 KB."""
    word = WORDS[route.verdict.tone] if route.verdict else ""
    return render(
        "overview/route.html",
        route=route,
        id=section_id(route.dag_id),
        word=word,
        trends=trends(route.runs),
        share_bar=charts.share_bar,
    ).strip()


def _figures(routes: Sequence[RouteView]) -> list[tuple[str, str, str]]:
    """Name, text and tone of each figure on top."""
    late, red = sum(route.late is not None for route in routes), sum(route.is_red for route in routes)
    copies = [run.figures for route in routes for run in route.runs if run.figures]
    return [
        ("Routes", f"{len(routes):,}", ""),
        ("Late", f"{late:,}", "bad" if late else ""),
        ("Last run not green", f"{red:,}", "bad" if red else ""),
        ("Runs under way", f"{sum(len(route.live) for route in routes):,}", ""),
        ("Paused", f"{sum(route.is_paused for route in routes):,}", ""),
        (f"Copied in the last {RUNS_SHOWN} runs of each", human_bytes(sum(run.size_bytes for run in copies)), ""),
        ("Objects in these runs", f"{sum(run.objects for run in copies):,}", ""),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One figure of the last runs."""

    name: str
    chart: Markup
    whole: str
    """All runs together, as text: their sum, or their median."""
    last: str
    """The last run that has this figure."""
    is_bad: bool = False


def trends(runs: Sequence[PastRun]) -> list[Trend]:
    """The charts of a route: one bar a run, oldest first."""
    return [
        _trend("Bytes copied", runs, lambda run: run.size_bytes, lambda size: human_bytes(int(size)), sum),
        _trend("Objects copied", runs, lambda run: run.objects, numbers.count, sum),
        _trend("Failures", runs, lambda run: run.unfinished, numbers.count, sum, is_bad=True),
        # Sums would mislead: the month of a flat-rate plan is paid once, however many runs there are in it.
        _trend("Usual duration", runs, lambda run: run.seconds, numbers.duration, median),
        _trend("Usual cost", runs, lambda run: run.usd, numbers.usd, median),
    ]


def _trend(
    name: str,
    runs: Sequence[PastRun],
    value: Value,
    write: Write,
    whole: Callable[[list[float]], float],
    *,
    is_bad: bool = False,
) -> Trend:
    bars, known = [], []
    for run in runs:
        amount = value(run.figures) if run.figures and run.figures.mode != "plan" else None
        if amount is not None:
            known.append(amount)
        text = _why_none(run) if amount is None else write(amount)
        tone = "none" if not amount else "" if run.tone is Tone.GOOD else run.tone
        bars.append(charts.Bar(f"{run.at:%Y-%m-%d %H:%M} UTC", amount or 0.0, text, tone, int(run.at.timestamp())))
    title = f"{name} of the last {len(runs):,} runs"
    if known:
        title += f": {write(whole(known))}, at most {write(max(known))}, {write(known[-1])} in the last one"
    return Trend(
        name=name,
        chart=charts.bars(bars, title=title, slots=RUNS_SHOWN),
        whole=write(whole(known)) if known else "–",
        last=write(known[-1]) if known else "",
        is_bad=is_bad and bool(known) and known[-1] > 0,
    )


def _why_none(run: PastRun) -> str:
    if run.figures is None:
        return "no report" if run.tone is not Tone.PLAIN else "not over yet"
    return "a plan" if run.figures.mode == "plan" else "not known"
