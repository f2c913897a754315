"""The rate of all workers over time, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Protocol

from pages.records import Amount, Rates
from transfer.accounting.rate_history import RateHistory, total

NOW_S = 20.0
"""Over how many seconds the rate "now" is taken: large objects come in parts."""
LATE_S = 60.0
"""After how many seconds without a report a worker counts as stuck: with 64 workers, each reports every 8 s."""


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


def complete(rates: Rates, ends_s: Iterable[float]) -> Rates:
    """The rates without the last intervals, about which not every worker has reported yet, so that they look slow.

    `ends_s` is until when each worker that is at work has reported; its last interval is not over. A worker that has not
    reported for more than LATE_S is not waited for.
    """
    end_s = rates.began_at_s + len(rates.bytes) * rates.interval_s
    if not (ends := list(ends_s)):
        return rates
    known_s = max(min(ends), end_s - LATE_S) - rates.interval_s
    count = max(0, int((known_s - rates.began_at_s) // rates.interval_s))
    return replace(rates, bytes=rates.bytes[:count], objects=rates.objects[:count], slowed=rates.slowed[:count])


def now_of(series: Series, at_s: float, *, unfinished: int = 0) -> tuple[float, float]:
    """Bytes and objects per second over the last NOW_S seconds that are known; 0 if that was long before `at_s` (Unix time).

    `unfinished` is how many of the last intervals are not over.
    """
    count = len(series.bytes) - unfinished
    first = max(0, count - max(1, round(NOW_S / series.interval_s)))
    if count <= 0 or at_s - (series.began_at_s + count * series.interval_s) > LATE_S + series.interval_s:
        return 0.0, 0.0
    span_s = (count - first) * series.interval_s
    return sum(series.bytes[first:count]) / span_s, sum(series.objects[first:count]) / span_s


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
