"""Reads JSON that somebody else wrote: whatever is missing, or of another type than expected, reads as nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from transfer.plain_text import one_line

_CODE = re.compile(r"[A-Za-z0-9_-]{1,60}")
MAX_NUMBER = 2.0**63
MAX_ITEMS = 1_000
"""How many items of a list are read, so that no document makes a page too large to show."""


class Document:
    """One JSON object. Never raises: the page of a run has to open, whatever its records hold."""

    def __init__(self, value: object = None) -> None:
        # The wrapper in which older versions of Airflow kept tuples and other classes.
        if isinstance(value, Mapping) and "__classname__" in value:
            value = value.get("__data__")
        self._fields: Mapping[str, object] = value if isinstance(value, Mapping) else {}

    def __bool__(self) -> bool:
        return bool(self._fields)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def updated(self, other: Document) -> Document:
        """These fields, with those of another document in their place where it has them."""
        return Document({**self._fields, **other._fields})

    def number(self, name: str) -> float:
        """A finite number; 0 for anything else."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
            return 0.0
        return float(value)

    def whole(self, name: str) -> int:
        """A count, 0 or more."""
        return max(0, int(self.number(name)))

    def share(self, name: str) -> float | None:
        """A number, or None where there is none."""
        return self.number(name) if isinstance(self._fields.get(name), int | float) else None

    def flag(self, name: str) -> bool:
        """Whether the value is true."""
        return self._fields.get(name) is True

    def text(self, name: str, most: int = 2_000) -> str:
        """A text in one printable line of at most `most` characters."""
        return _shown(self._fields.get(name), most)

    def shown(self, name: str) -> str:
        """A value of any type as text: a list as its items, an object as JSON."""
        value = self._fields.get(name)
        if isinstance(value, list):
            return ", ".join(
                _shown(item if isinstance(item, str) else json.dumps(item, default=str), 200) for item in value[:20]
            )
        return _shown(value if isinstance(value, str) else json.dumps(value, default=str), 1_024)

    def code(self, name: str) -> str:
        """A text that usually is one word of a program, such as an error code."""
        value = self._fields.get(name)
        return value if isinstance(value, str) and _CODE.fullmatch(value) else self.text(name, 100)

    def lines(self, name: str, most: int = 60) -> tuple[str, ...]:
        """The lines of a text."""
        value = self._fields.get(name)
        return tuple(one_line(line) for line in value[:20_000].splitlines()[:most]) if isinstance(value, str) else ()

    def texts(self, name: str, count: int = MAX_ITEMS, most: int = 1_024) -> tuple[str, ...]:
        """The first `count` texts of a list."""
        return tuple(_shown(item, most) for item in _items(self._fields.get(name))[:count] if isinstance(item, str))

    def numbers(self, name: str) -> tuple[float, ...]:
        """The numbers of a list."""
        return tuple(Document({"": item}).number("") for item in _items(self._fields.get(name)))

    def counts(self, name: str) -> dict[str, int]:
        """An object whose values are numbers, such as requests by their kind."""
        inner = self.within(name)
        return {_shown(key, 100): inner.whole(key) for key in list(inner._fields)[:MAX_ITEMS]}

    def within(self, name: str) -> Document:
        """The object in this field."""
        return Document(self._fields.get(name))

    def each(self, name: str) -> list[Document]:
        """The objects of a list."""
        return [Document(item) for item in _items(self._fields.get(name))]

    def members(self) -> list[tuple[str, object]]:
        """The fields, as they are."""
        return list(self._fields.items())[:MAX_ITEMS]

    def moment(self, name: str) -> datetime | None:
        """A time in RFC 3339."""
        try:
            at = datetime.fromisoformat(self.text(name))
        except ValueError:
            return None
        return at if at.tzinfo else at.replace(tzinfo=UTC)


def moment_of(at_s: float) -> datetime | None:
    """The time of a Unix time; None for 0 and for what is no time."""
    try:
        return datetime.fromtimestamp(at_s, UTC) if at_s and math.isfinite(at_s) else None
    except (ValueError, OverflowError, OSError):
        return None


def _items(value: object) -> list[object]:
    if isinstance(value, Mapping) and "__classname__" in value:
        value = value.get("__data__")
    return list(value[:MAX_ITEMS]) if isinstance(value, list | tuple) else []


def _shown(value: object, most: int) -> str:
    return one_line(value, most) if isinstance(value, str) else ""
