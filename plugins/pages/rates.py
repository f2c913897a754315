"""The rate of all workers over time, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from pages.records import Amount, Rates
from transfer.accounting.rate_history import RateHistory, total

NOW_S = 20.0
"""Over how many seconds the rate "now" is taken: workers report every 2 s, large objects come in parts."""


class Series(Protocol):
    """Bytes and objects of equal intervals."""

    @property
    def began_at_s(self) -> float:
        """Unix time."""

    @property
    def interval_s(self) -> float:
        """The length of an interval."""

    @property
    def bytes(self) -> Sequence[int]:
        """Of each interval."""

    @property
    def objects(self) -> Sequence[int]:
        """Of each interval."""


def rates_of(histories: Sequence[RateHistory]) -> Rates | None:
    """The histories of all workers added up; None where there are none."""
    series = total(histories)
    if not series.bytes:
        return None
    slowed = [False] * len(series.bytes)
    for history in histories:
        if len(set(history.lanes) - {0}) < 2:  # the usual case: all lanes, all the time
            continue
        for index, (lanes, most) in enumerate(zip(history.lanes, accumulate(history.lanes, max), strict=True)):
            if 0 < lanes < most:  # fewer than before; at the beginning of a run they only become more
                at_s = history.began_at_s + index * history.interval_s
                slowed[min(int((at_s - series.began_at_s) // series.interval_s), len(slowed) - 1)] = True
    return Rates(
        began_at_s=series.began_at_s,
        interval_s=series.interval_s,
        bytes=tuple(series.bytes),
        objects=tuple(series.objects),
        slowed=tuple(slowed),
    )


def now_of(rates: Series, at_s: float) -> tuple[float, float]:
    """Bytes and objects per second over the last NOW_S seconds before `at_s` (Unix time)."""
    entries = max(1, round(NOW_S / rates.interval_s))
    first = max(0, len(rates.bytes) - entries)
    began_s = rates.began_at_s + first * rates.interval_s
    span_s = max(at_s - began_s, rates.interval_s)
    if at_s - (rates.began_at_s + len(rates.bytes) * rates.interval_s) > 3 * NOW_S:
        return 0.0, 0.0  # nobody has reported for long
    return sum(rates.bytes[first:]) / span_s, sum(rates.objects[first:]) / span_s


def eta_s(done: Amount, total_amount: Amount, bytes_per_s: float, objects_per_s: float) -> float | None:
    """How long the rest takes: the longer of what its bytes and its objects take; None while nothing moves."""
    bytes_left, objects_left = total_amount.size_bytes - done.size_bytes, total_amount.objects - done.objects
    spans = []
    for left, rate in ((bytes_left, bytes_per_s), (objects_left, objects_per_s)):
        if left > 0:
            if rate <= 0:
                return None
            spans.append(left / rate)
    return max(spans, default=0.0)


def rows(rates: Rates) -> Sequence[tuple[float, float, float, bool]]:
    """Unix time, bytes per second, objects per second, and whether workers were slowed, for each interval."""
    return [
        (rates.began_at_s + index * rates.interval_s, size / rates.interval_s, objects / rates.interval_s, slowed)
        for index, (size, objects, slowed) in enumerate(zip(rates.bytes, rates.objects, rates.slowed, strict=True))
    ]
