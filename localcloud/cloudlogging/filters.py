"""The part of the Logging query language that finds a run's entries: comparisons joined by AND.

Rules (Cloud Logging documentation, "Logging query language"): `field op value` with `=`, `!=`, `<`, `<=`, `>`, `>=` and
`:` (contains; `field:*` is there at all); white space between comparisons means AND; text compares without regard to
case; severities compare by rank, timestamps by time, JSON numbers by number; a field the entry lacks never matches.
OR, NOT, parentheses and regular expressions are refused rather than misread.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

Entry = Mapping[str, Any]
"""A log entry in the API's JSON form."""
Predicate = Callable[[Entry], bool]

SEVERITIES = {
    "DEFAULT": 0, "DEBUG": 100, "INFO": 200, "NOTICE": 300, "WARNING": 400,
    "ERROR": 500, "CRITICAL": 600, "ALERT": 700, "EMERGENCY": 800,
}  # fmt: skip

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_STRING = r'"(?:[^"\\]|\\.)*"'
_COMPARISON = re.compile(
    rf"\s*(?P<field>(?:[A-Za-z_][\w-]*)(?:\.(?:[\w-]+|{_STRING}))*)"
    rf"\s*(?P<operator>!=|<=|>=|=(?!~)|<|>|:)\s*(?P<value>{_STRING}|[^\s()\"]+)(?=\s|$)"
)
_AND = re.compile(r"\s*AND\b(?=\s*\S)")
_PART = re.compile(rf"{_STRING}|[^.]+")
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)")


def parse_timestamp_ns(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time, all nine digits kept. Raises ValueError.

    An offset without a colon counts too: google-cloud-logging's own default filter has `+0000`.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    seconds, fraction, zone = match.groups()
    return int(datetime.fromisoformat(seconds + zone).timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


def compile_filter(text: str) -> Predicate:
    """A predicate over entries; an empty text matches all. Raises ValueError on what is not understood."""
    comparisons: list[Predicate] = []
    at = 0
    while text[at:].strip():
        if comparisons and (joint := _AND.match(text, at)):
            at = joint.end()
        match = _COMPARISON.match(text, at)
        if match is None or match["field"] in ("AND", "OR", "NOT"):
            raise ValueError(f"Unparseable filter: not a comparison at {at}: {text[at : at + 40]!r}")
        comparisons.append(_comparison(match["field"], match["operator"], _unquote(match["value"])))
        at = match.end()
    return lambda entry: all(comparison(entry) for comparison in comparisons)


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError as error:
        raise ValueError(f"Unparseable filter: bad string {text}") from error


def _comparison(field: str, symbol: str, wanted: str) -> Predicate:
    path = [_unquote(part) for part in _PART.findall(field)]
    if path == ["severity"]:
        rank = _rank(wanted)
        return lambda entry: _compare(symbol, SEVERITIES.get(entry.get("severity", ""), 0), rank)
    if path in (["timestamp"], ["receiveTimestamp"]):
        time_ns = parse_timestamp_ns(wanted)
        return lambda entry: _compare(symbol, parse_timestamp_ns(entry[path[0]]), time_ns)

    def compare(entry: Entry) -> bool:
        value = _lookup(entry, path)
        if value is None or (symbol == ":" and wanted == "*"):
            return value is not None
        return _compare_value(symbol, value, wanted)

    return compare


def _rank(name: str) -> int:
    if name.upper() not in SEVERITIES:
        raise ValueError(f"Unparseable filter: no severity {name!r}")
    return SEVERITIES[name.upper()]


def _lookup(entry: Entry, path: list[str]) -> object:
    value: Any = entry
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _compare(symbol: str, left: Any, right: Any) -> bool:
    return _OPERATORS["=" if symbol == ":" else symbol](left, right)


def _compare_value(symbol: str, value: object, wanted: str) -> bool:
    if isinstance(value, list):
        return any(_compare_value(symbol, item, wanted) for item in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _compare(symbol, value, float(wanted))
        except ValueError:
            return False
    text = json.dumps(value) if not isinstance(value, str) else value
    if symbol == ":":
        return wanted.casefold() in text.casefold()
    return _compare(symbol, text.casefold(), wanted.casefold())
