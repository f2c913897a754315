"""Writes numbers, sizes, durations and times for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from transfer.accounting.progress import human_bytes


def count(number: float) -> str:
    """A whole number with thousands separators."""
    return f"{number:,.0f}"


def duration(seconds: float | None) -> str:
    """A duration in its two largest units, such as `1 h 05 min`; a dash for none."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 and seconds % 1 else f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes} min {whole % 60:02} s"
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{days} d {hours % 24} h"


def usd(amount: float) -> str:
    """An amount of US dollars; a tenth of a cent is not zero."""
    return f"${amount:,.2f}" if amount >= 0.005 or not amount else "< $0.01"


def moment(at: datetime | None) -> Markup:
    """A time as a `<time>` element: in UTC, until the page's script writes it in the time zone of Airflow's UI."""
    if at is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC")


def minute(at: datetime | None) -> Markup:
    """A time without seconds as a `<time>` element, like `moment`."""
    if at is None:
        return Markup("–")
    return Markup('<time datetime="{}" data-minute>{}</time>').format(at.isoformat(), f"{at:%Y-%m-%d %H:%M} UTC")


def clock(at: datetime | None) -> Markup:
    """The time of day as a `<time>` element, like `moment`."""
    if at is None:
        return Markup("–")
    return Markup('<time datetime="{}" data-short>{}</time>').format(at.isoformat(), f"{at:%H:%M:%S}")


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "size": human_bytes,
    "duration": duration,
    "usd": usd,
    "moment": moment,
    "minute": minute,
    "clock": clock,
    "urlpart": lambda text: quote(text, safe=""),
    "json": json.dumps,
}
