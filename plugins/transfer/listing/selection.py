"""Selects the objects that a run copies by name, size, time and storage class. The others are skipped with a reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from transfer.errors import InvalidSelection
from transfer.model import UNRESOLVED, ObjectMeta, SkipReason
from transfer.naming import NameFilter

SIZE = r"^\d+(\.\d+)? ?([KMGT]i?B|B)?$"
MOMENT = r"^(\d{1,5}[dh]|\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+\-]\d{2}:\d{2})?)?)$"
MEANING = {
    SIZE: "a size: a number and B, KiB, MiB, GiB or TiB, as in 10 MiB; bytes without a unit",
    MOMENT: "a date or date-time of ISO 8601, as in 2026-01-31 or 2026-01-31T08:00:00+01:00 (UTC without an offset), or"
    " how long before the run, as in 7d or 12h",
}
"""The accepted form of a bound's text, in words, for error messages."""

_UNITS = {
    "B": 1,
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", start=1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)},
}
_SECONDS = {"d": 86_400, "h": 3_600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The conditions that an object has to fulfil to be copied. None means no condition."""

    name_filter: NameFilter | None = None
    """Whether the globs select a name: a key without the source prefix, or an object's name without the destination prefix."""
    min_bytes: int | None = None
    max_bytes: int | None = None
    since_s: float | None = None
    """Modified at this time or later."""
    before_s: float | None = None
    """Modified before this time."""
    classes: frozenset[str] | None = None

    def why_not(self, item: ObjectMeta, name: str) -> SkipReason | None:
        """Why an object is not selected, or None when it is. `name` is its key below the source prefix."""
        if self.name_filter is not None and not self.name_filter(name):
            return SkipReason.OTHER_NAME
        if item.unreadable in UNRESOLVED:
            return None  # nothing but its name is known: it was requested, and is reported as not found
        if self.min_bytes is not None and item.size_bytes < self.min_bytes:
            return SkipReason.OTHER_SIZE
        if self.max_bytes is not None and item.size_bytes > self.max_bytes:
            return SkipReason.OTHER_SIZE
        if self.since_s is not None and item.last_modified_s < self.since_s:
            return SkipReason.OTHER_TIME
        if self.before_s is not None and item.last_modified_s >= self.before_s:
            return SkipReason.OTHER_TIME
        if self.classes is not None and item.storage_class not in self.classes:
            return SkipReason.OTHER_CLASS
        return None


def read_selection(
    *,
    name_filter: NameFilter | None = None,
    min_size: str = "",
    max_size: str = "",
    modified_since: str = "",
    modified_before: str = "",
    storage_classes: Sequence[str] = (),
    now_s: float,
) -> Selection | None:
    """The selection from the texts of a run's parameters; None without any condition.

    A relative time counts back from `now_s`, which is Airflow's clock, while the times of objects are by S3's clock. A
    difference between the clocks shifts the bound by as much in every run, and causes no deletion.

    Raises InvalidSelection.
    """
    selection = Selection(
        name_filter=name_filter,
        min_bytes=_size("min_size", min_size),
        max_bytes=_size("max_size", max_size),
        since_s=_moment("modified_since", modified_since, now_s),
        before_s=_moment("modified_before", modified_before, now_s),
        classes=frozenset(storage_classes) or None,
    )
    low, high = selection.min_bytes, selection.max_bytes
    if low is not None and high is not None and low > high:
        raise InvalidSelection("min_size", f"min_size is {min_size} and max_size {max_size}: no object is both")
    since, before = selection.since_s, selection.before_s
    if since is not None and before is not None and since >= before:
        raise InvalidSelection(
            "modified_since",
            f"modified_since is {modified_since} and modified_before {modified_before}: no object is both",
        )
    return None if selection == Selection() else selection


def _size(field: str, text: str) -> int | None:
    if not (text := text.strip()):
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]i?B|B)?", text, re.ASCII)
    if not found:
        raise InvalidSelection(field, f"{field} is {text!r}: write {MEANING[SIZE]}")
    return int(Decimal(found[1]) * _UNITS[found[2] or "B"])


def _moment(field: str, text: str, now_s: float) -> float | None:
    if not (text := text.strip()):
        return None
    try:
        if not re.fullmatch(MOMENT, text, re.ASCII):
            raise ValueError
        if text[-1] in _SECONDS:
            return now_s - int(text[:-1]) * _SECONDS[text[-1]]
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidSelection(field, f"{field} is {text!r}: write {MEANING[MOMENT]}") from error
