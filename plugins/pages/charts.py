"""Charts as inline SVG: colours by the stylesheet's classes, values as text for screen readers and tooltips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a bar chart."""

    label: str
    value: float
    text: str
    """The value for people."""
    tone: str = ""
    """A class of the stylesheet: `good`, `bad`, `warn`, or empty for the usual colour."""


def bars(items: Sequence[Bar], *, title: str, height: int = 48) -> Markup:
    """Upright bars without axes, for a row of a table (a sparkline); each has its label and value as a tooltip."""
    most = max((bar.value for bar in items), default=0.0) or 1.0
    step = 10
    marks = [
        Markup('<rect class="bar {}" x="{}" y="{:.1f}" width="8" height="{:.1f}"><title>{}: {}</title></rect>').format(
            bar.tone, index * step, height - tall, tall, bar.label, bar.text
        )
        for index, bar in enumerate(items)
        for tall in [max(1.0, bar.value / most * height)]
    ]
    return Markup(
        '<svg class="bars" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(title, max(1, len(items)) * step, height, Markup("").join(marks))
