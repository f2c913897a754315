"""The rate of a task over time: what was done in each interval, in at most MAX_ENTRIES intervals however long the task runs.

Intervals of all tasks lie on one grid (the beginning of each is a multiple of its length in Unix time), so that the histories
of all workers can be added up entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import add
from typing import Any, Protocol

INTERVAL_S = 2
"""The length of an interval at first, in seconds. When all entries are used, neighbours are merged and it doubles."""
MAX_ENTRIES = 240
_INTERVALS_S = frozenset(INTERVAL_S << doublings for doublings in range(21))
"""The possible lengths: the last one makes a history of 16 years."""
MAX_COUNT = 2**53
"""The largest number in a history, which every reader of JSON represents exactly."""


class Counted(Protocol):
    """The counts of a task so far."""

    @property
    def objects_done(self) -> int:
        """How many objects are done."""

    @property
    def bytes_done(self) -> int:
        """How many bytes are done."""

    @property
    def lanes(self) -> int:
        """The number of lanes that may work now; 0 for a task without lanes."""


class RateHistory:
    """The bytes and objects done in each interval, and the fewest lanes that were allowed in it. Not thread-safe.

    Args:
        began_at_s: the Unix time when counting begins; the counts are 0 then.
    """

    def __init__(self, began_at_s: float = 0.0) -> None:
        self.interval_s = INTERVAL_S
        self.bytes: list[int] = []
        self.objects: list[int] = []
        self.lanes: list[int] = []
        """0 where no lanes are known: for a task without lanes, and while no attempt of it ran."""
        self._first = int(began_at_s // INTERVAL_S)
        """The position of the first entry on the grid of `interval_s`."""
        self._at_s = began_at_s
        self._objects_done = self._bytes_done = 0

    @property
    def began_at_s(self) -> int:
        """The Unix time at which the first entry begins."""
        return self._first * self.interval_s

    def add(self, at_s: float, counted: Counted) -> None:
        """Add what was done since the last call, spread evenly over the time since then.

        `at_s` is Unix time. A clock that was set back adds to the last entry.
        """
        start_s, at_s = self._at_s, max(at_s, self._at_s, float(self.began_at_s))
        # Counts may go back a little: the parts of a large object are taken back before the object itself counts.
        done_bytes = max(0, counted.bytes_done - self._bytes_done)
        done_objects = max(0, counted.objects_done - self._objects_done)
        self._bytes_done += done_bytes
        self._objects_done += done_objects
        self._at_s = at_s
        self._reach(at_s)
        first, last = (max(0, int(moment // self.interval_s) - self._first) for moment in (start_s, at_s))
        given_bytes = given_objects = 0
        for index in range(first, last + 1):
            end_s = (self._first + index + 1) * self.interval_s
            share = 1.0 if index == last else (end_s - start_s) / (at_s - start_s)
            upto_bytes, upto_objects = int(done_bytes * share), int(done_objects * share)
            self.bytes[index] += upto_bytes - given_bytes
            self.objects[index] += upto_objects - given_objects
            self.lanes[index] = _fewest(self.lanes[index], counted.lanes)
            given_bytes, given_objects = upto_bytes, upto_objects

    def continue_from(self, earlier: RateHistory) -> None:
        """Put the entries of an earlier attempt before these. Entries of the time in between are empty."""
        if not earlier.objects:
            return
        own = self._copy()
        self.interval_s, self._first = earlier.interval_s, earlier._first
        self.bytes, self.objects, self.lanes = [*earlier.bytes], [*earlier.objects], [*earlier.lanes]
        if own.began_at_s < self.began_at_s:  # a clock was set back: keep the times in order
            own._first = -(-self.began_at_s // own.interval_s)
        self._at_s = max(own._at_s, float(own.began_at_s))
        self._include(own, _fewest)

    def to_dict(self) -> dict[str, Any]:
        """The history as JSON, of at most 8 KiB."""
        return {
            "interval_s": self.interval_s,
            "began_at_s": self.began_at_s,
            "bytes": [*self.bytes],
            "objects": [*self.objects],
            "lanes": [*self.lanes],
        }

    @classmethod
    def of(cls, document: object) -> RateHistory:
        """The history that `to_dict` wrote; an empty one for anything else."""
        history = cls()
        if not isinstance(document, Mapping):
            return history
        interval_s, began_at_s = document.get("interval_s"), document.get("began_at_s")
        columns = [document.get(name) for name in ("bytes", "objects", "lanes")]
        if (
            not (_is_count(interval_s) and _is_count(began_at_s))
            or interval_s not in _INTERVALS_S
            or began_at_s % interval_s
            or not all(isinstance(column, list) and len(column) <= MAX_ENTRIES for column in columns)
            or len({len(column) for column in columns if isinstance(column, list)}) != 1
            or not all(_are_counts(column) for column in columns if isinstance(column, list))
        ):
            return history
        history.interval_s, history._first = interval_s, began_at_s // interval_s
        history.bytes, history.objects, history.lanes = ([*column] for column in columns if isinstance(column, list))
        history._at_s = float(began_at_s + interval_s * len(history.objects))
        return history

    def _include(self, other: RateHistory, add_lanes: Callable[[int, int], int]) -> None:
        """Add the entries of another history, which begins no earlier."""
        while self.interval_s < other.interval_s:
            self._merge()
        self._reach((other._first + len(other.objects)) * other.interval_s - 1)
        while other.interval_s < self.interval_s:
            other._merge()
        first = other._first - self._first
        here = slice(first, first + len(other.objects))
        self.bytes[here] = map(add, self.bytes[here], other.bytes)
        self.objects[here] = map(add, self.objects[here], other.objects)
        self.lanes[here] = map(add_lanes, self.lanes[here], other.lanes)

    def _reach(self, at_s: float) -> None:
        """Have an entry for this moment, merging neighbours as often as necessary."""
        while at_s // self.interval_s - self._first >= MAX_ENTRIES:
            self._merge()
        missing = int(at_s // self.interval_s) - self._first + 1 - len(self.objects)
        if missing > 0:
            for column in (self.bytes, self.objects, self.lanes):
                column += [0] * missing

    def _merge(self) -> None:
        """Double the interval."""
        odd = [0] * (self._first % 2)  # the first new entry begins with an old one that is empty
        self.bytes = [sum(pair) for pair in _pairs([*odd, *self.bytes])]
        self.objects = [sum(pair) for pair in _pairs([*odd, *self.objects])]
        self.lanes = [_fewest(*pair) for pair in _pairs([*odd, *self.lanes])]
        self.interval_s *= 2
        self._first //= 2

    def _copy(self) -> RateHistory:
        copy = RateHistory(self._at_s)
        copy.interval_s, copy._first = self.interval_s, self._first
        copy.bytes, copy.objects, copy.lanes = [*self.bytes], [*self.objects], [*self.lanes]
        return copy


def total(histories: Iterable[RateHistory]) -> RateHistory:
    """The history of all these tasks together; the lanes of an entry are those of all tasks that had some."""
    known = [history._copy() for history in histories if history.objects]
    all_of_them = RateHistory()
    if not known:
        return all_of_them
    first = min(known, key=lambda history: history.began_at_s)
    all_of_them.interval_s = max(history.interval_s for history in known)
    all_of_them._first = first.began_at_s // all_of_them.interval_s
    for history in known:
        all_of_them._include(history, add)
    return all_of_them


def _pairs(column: list[int]) -> Iterable[tuple[int, int]]:
    column += [0] * (len(column) % 2)
    return zip(column[::2], column[1::2], strict=True)


def _fewest(one: int, other: int) -> int:
    """The smaller number of lanes; 0 stands for an unknown number."""
    return min(one, other) if one and other else one or other


def _are_counts(column: list[Any]) -> bool:
    """Whether all values are counts: in C, because a page reads 64 histories every 2 s."""
    return set(map(type, column)) <= {int} and min(column, default=0) >= 0 and max(column, default=0) <= MAX_COUNT


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
