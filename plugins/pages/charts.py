"""Charts as inline SVG: colours by the stylesheet's classes, values as text for screen readers and tooltips.

A plot is stretched to the width of its place, so what must not be stretched (labels) stands beside it, as HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 1000, 120
"""The size of a plot in its own units."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a bar chart."""

    label: str
    value: float
    text: str
    """The value for people."""
    tone: str = ""
    """A class of the stylesheet: `good`, `bad`, `warn`, `none`, or empty for the usual colour."""
    at_s: int | None = None
    """The Unix time that the label is, in UTC: the page's script writes it in the time zone of Airflow's UI."""


def bars(items: Sequence[Bar], *, title: str, height: int = 48, slots: int = 0) -> Markup:
    """Upright bars without axes, for a row of a table (a sparkline); each has its label and value as a tooltip.

    :param slots: for how many bars there is room at least; fewer stand at the right.
    """
    most = max((bar.value for bar in items if math.isfinite(bar.value)), default=0.0) or 1.0
    step, places = 10, max(1, slots, len(items))
    marks = "".join(
        f'<g class="{escape(bar.tone)}"{_at(bar)}><rect class="room" x="{index * step}" width="{step}" height="{height}"/>'
        f'<rect class="bar" x="{index * step + 1}" y="{height - tall:.1f}" width="8" height="{tall:.1f}"/>'
        f"<title>{escape(bar.label)}: {escape(bar.text)}</title></g>"
        for index, bar in enumerate(items, places - len(items))
        for tall in [max(1.0, min(1.0, max(0.0, bar.value / most)) * height) if math.isfinite(bar.value) else 1.0]
    )
    # Numbers, and texts that are escaped above: quicker than a template, as in `area`.
    return Markup(  # noqa: S704
        f'<svg class="bars" role="img" aria-label="{escape(title)}" viewBox="0 0 {places * step} {height}"'
        f' preserveAspectRatio="none">{marks}</svg>'
    )


def _at(bar: Bar) -> str:
    return "" if bar.at_s is None else f' data-at="{bar.at_s:d}"'


@dataclass(frozen=True, slots=True)
class Point:
    """One interval of a rate chart."""

    value: float
    text: str
    """The tooltip."""
    is_marked: bool = False
    """Whether its background is marked."""


def nice_top(most: float) -> float:
    """The end of an axis that has to show `most`: 1, 2, 2.5, 4, 5 or 10 times a power of ten, at or above it."""
    if most <= 0 or not math.isfinite(most):
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 10, 20) if step * power >= most * (1 - 1e-9))


def area(points: Sequence[Point], *, top: float, title: str) -> Markup:
    """A line with its area over equal intervals, from 0 to `top`. Each interval has a tooltip."""
    step = WIDTH / max(1, len(points))
    heights = [HEIGHT * (1 - min(1.0, max(0.0, point.value) / top)) for point in points]
    # Each interval is a step: its rate holds from its beginning to its end.
    steps = " ".join(
        f"L{index * step:.1f} {height:.1f} L{(index + 1) * step:.1f} {height:.1f}"
        for index, height in enumerate(heights)
    )
    marks = "".join(
        f'<rect x="{index * step:.1f}" width="{step:.1f}" height="{HEIGHT}"/>'
        for index, point in enumerate(points)
        if point.is_marked
    )
    grid = "".join(f'<line x1="0" x2="{WIDTH}" y1="{y:g}" y2="{y:g}"/>' for y in (0, HEIGHT / 2, HEIGHT))
    tips = "".join(
        f'<rect x="{index * step:.1f}" width="{step:.1f}" height="{HEIGHT}"><title>{escape(point.text)}</title></rect>'
        for index, point in enumerate(points)
    )
    # Numbers, and texts that are escaped above. A template, or Markup.format, takes ten times as long for a long series.
    return Markup(  # noqa: S704
        f'<svg class="area" role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f'<g class="slow">{marks}</g><g class="grid">{grid}</g>'
        f'<path class="fill" d="M0 {HEIGHT} {steps} L{WIDTH} {HEIGHT} Z"/><path class="line" d="M{steps[1:]}"/>'
        f'<g class="tips">{tips}</g></svg>'
    )


def share_bar(share: float, *, label: str = "", tone: str = "") -> Markup:
    """A horizontal bar that is filled to `share` (0 to 1). With a label it is a progress bar for screen readers."""
    percent = 100 * min(1.0, max(0.0, share if math.isfinite(share) else 0.0))
    role = (
        Markup(
            'role="progressbar" aria-label="{}" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{:.0f}"'
        ).format(label, percent)
        if label
        else Markup('aria-hidden="true"')
    )
    return Markup('<svg class="share {}" {}><rect width="{:.2f}%" height="100%"/></svg>').format(tone, role, percent)
