"""The sections of the page of a run, as HTML: the same for the live page and for report.html."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from pages import charts, rates
from pages.documents import moment_of
from pages.numbers import duration
from pages.records import Band, Rates
from pages.rendering import render
from pages.run_view import RunView

MIB = 1024**2
LEAST_TOP = 0.1
"""The end of an axis is not below this many MiB/s or objects/s: less is as good as nothing."""
SECTIONS = (
    "heading",
    "actions",
    "phases",
    "progress",
    "chart",
    "failures",
    "counts",
    "skipped",
    "sizes",
    "costs",
    "times",
    "requests",
    "proof",
    "workers",
    "downloads",
    "parameters",
)
"""In the order of the page. Each has a template of its name."""


def run_sections(view: RunView) -> dict[str, str]:
    """The HTML of each section by its id, in the order of the page. A section without content is empty."""
    values: dict[str, Any] = {
        "view": view,
        "chart": chart_of(view.rates) if view.rates and view.rates.bytes else None,
        "histogram": histogram(view.result.sizes) if view.result else (),
        "share_bar": charts.share_bar,
    }
    return {name: render(f"run/{name}.html", **values).strip() for name in SECTIONS}


def histogram(bands: Sequence[Band]) -> list[tuple[Band, Markup]]:
    """Each band with the bar of its objects."""
    most = max((band.amount.objects for band in bands), default=0) or 1
    return [(band, charts.share_bar(band.amount.objects / most)) for band in bands]


def chart_of(series: Rates) -> dict[str, Any]:
    """The rate chart: two plots over the same time, one of bytes and one of objects."""
    rows = rates.rows(series)
    texts = [
        f"after {duration(at_s - series.began_at_s)}: {size / MIB:,.1f} MiB/s, {objects:,.1f} objects/s"
        f"{'; slowed down' if is_slowed else ''}"
        for at_s, size, objects, is_slowed in rows
    ]
    slowed = sum(series.slowed)
    span = f"over {duration(len(rows) * series.interval_s)}" + (
        f"; slowed down in {slowed:,} intervals" if slowed else ""
    )
    return {
        "plots": [
            _plot("MiB/s", [size / MIB for _, size, _, _ in rows], texts, series.slowed, span),
            _plot("objects/s", [objects for _, _, objects, _ in rows], texts, series.slowed, span),
        ],
        "times": _times(series),
        "slowed_s": slowed * series.interval_s,
        "interval_s": series.interval_s,
    }


def _plot(
    unit: str, values: Sequence[float], texts: Sequence[str], slowed: Sequence[bool], span: str
) -> dict[str, object]:
    most = max(values, default=0.0)
    top = charts.nice_top(max(most, LEAST_TOP))
    points = [
        charts.Point(value, text, is_marked) for value, text, is_marked in zip(values, texts, slowed, strict=True)
    ]
    title = f"{unit} of all workers {span}; at most {most:,.1f}"
    return {"unit": unit, "top": f"{top:,g}", "half": f"{top / 2:,g}", "svg": charts.area(points, top=top, title=title)}


def _times(series: Rates) -> list[datetime | None]:
    """Five moments, evenly from the beginning of the chart to its end."""
    length_s = len(series.bytes) * series.interval_s
    return [moment_of(series.began_at_s + length_s * quarter / 4) for quarter in range(5)]
