"""How far ahead in a bucket the keys of some pages later are, told from the keys listed last."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

MAX_KEY_BYTES = 1024
"""S3 User Guide, "Naming Amazon S3 objects"."""
COLUMNS_KEPT = 16
"""Of what keys begin with alike, how many characters may still count up: enough for a date and its neighbours."""
COLUMNS = 64
NO_FOLDER = "!"
"""Ends a guess: a name of letters and digits alone might be a folder's, which some servers then skip. It sorts below the
characters that a name goes on with, so that no key of the guess itself is missed."""
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_FAMILIES = ("0123456789", "0123456789abcdef", "0123456789ABCDEF", "abcdefghijklmnopqrstuvwxyz")


def key_ahead(
    after: str,
    until: str | None,
    *,
    pages: float,
    sample: Sequence[str],
    spans: Sequence[tuple[str, str, int]],
    prefix: str,
) -> str | None:
    """Just before the key that so many pages behind `after` begin with; None when it is `until` or later, or cannot be told.

    Each of `spans` says between which keys so many pages were listed; the one with the fewest keys in so much space counts,
    since a guess too near is wasted, and one too far only makes a range that is split again. `sample` are keys near by.
    What is returned is more than `after`, less than `until`, and could be a key.
    """
    low = min(first for first, _, _ in spans)
    skipped = max(len(prefix), _shared(low, after) - COLUMNS_KEPT)
    ruler = _Ruler([*sample, after], skipped)
    step = max((ruler.number(last) - ruler.number(first)) / listed for first, last, listed in spans)
    key = ruler.key(ruler.number(after) + int(pages * step), after[:skipped])
    if key is None:
        return None
    key += NO_FOLDER
    return key if after < key and (until is None or key < until) and is_fit(key) else None


def is_fit(text: str) -> bool:
    """Whether a key could be called that, and every XML document hold it."""
    return not _UNFIT.search(text) and len(text.encode()) <= MAX_KEY_BYTES


class _Ruler:
    """Takes keys for numbers: each column is a digit, of the characters that the sample has there and of their kind."""

    def __init__(self, sample: Sequence[str], skipped: int) -> None:
        width = min(COLUMNS, max(len(key) for key in sample) - skipped)
        columns = range(skipped, skipped + width)
        self._skipped = skipped
        self._digits = [_family({key[at] for key in sample if at < len(key)}) for at in columns]

    def number(self, key: str) -> int:
        number = 0
        for at, digits in enumerate(self._digits, self._skipped):
            # 0 is for the end of a key.
            number = number * (len(digits) + 1) + (bisect_right(digits, key[at]) if at < len(key) else 0)
        return number

    def key(self, number: int, beginning: str) -> str | None:
        """None for a number of too many digits."""
        places = []
        for digits in reversed(self._digits):
            number, place = divmod(number, len(digits) + 1)
            places.append(place)
        if number:
            return None
        for digits, place in zip(self._digits, reversed(places), strict=True):
            if place == 0:
                break
            beginning += digits[place - 1]
        return beginning


def _family(seen: set[str]) -> str:
    for family in _FAMILIES:
        if seen <= set(family) and (len(seen) > 1 or family is _FAMILIES[0]):
            return family
    return "".join(sorted(seen))


def _shared(one: str, other: str) -> int:
    """How many characters they begin with alike."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
