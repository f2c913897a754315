"""Conditional and range requests against a stored object: RFC 9110, sections 13.2.2 and 14."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from localcloud.edge.cache import Entry

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which answer a request gets, and which bytes of the object go with it."""

    status: int
    offset: int = 0
    count: int = 0
    headers: tuple[tuple[str, str], ...] = ()


def select(headers: Mapping[str, str], entry: Entry) -> Selection:
    """The answer that the request's headers (names in lower case) call for. Conditions come before ranges."""
    etag, modified = entry.header("etag") or "", entry.header("last-modified") or ""
    if "if-match" in headers:
        if not _lists(headers["if-match"], etag):
            return Selection(412)
    elif "if-unmodified-since" in headers and _is_later(modified, headers["if-unmodified-since"]):
        return Selection(412)
    if "if-none-match" in headers:
        if _lists(headers["if-none-match"], etag):
            return Selection(304)
    elif "if-modified-since" in headers and not _is_later(modified, headers["if-modified-since"]):
        return Selection(304)
    whole = Selection(200, 0, entry.length_bytes)
    if "range" not in headers or headers.get("if-range", etag) not in (etag, modified):
        return whole
    return _select_range(headers["range"], entry.length_bytes) or whole


def _lists(field: str, etag: str) -> bool:
    return field.strip() == "*" or etag in (item.strip().removeprefix("W/") for item in field.split(","))


def _is_later(left: str, right: str) -> bool:
    """Whether one HTTP date is after another; a condition with an invalid date holds."""
    times: list[datetime] = []
    for text in (left, right):
        try:
            times.append(parsedate_to_datetime(text))
        except ValueError:
            return False
    return times[0] > times[1]


def _select_range(field: str, length: int) -> Selection | None:
    """One range of bytes; None to ignore the header: S3 and the edge give the whole object for several."""
    match = _ONE_RANGE.fullmatch(field.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start, end = int(match[1]), min(int(match[2]), length - 1) if match[2] else length - 1
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, end = max(0, length - int(match[2])), length - 1
    if start >= length:
        return Selection(416, headers=(("Content-Range", f"bytes */{length}"),))
    return Selection(206, start, end - start + 1, (("Content-Range", f"bytes {start}-{end}/{length}"),))
