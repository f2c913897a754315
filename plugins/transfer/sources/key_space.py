"""Estimates from the keys listed last how the keys some pages further on begin."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

MAX_KEY_BYTES = 1024
"""The longest key (S3 User Guide, "Naming Amazon S3 objects")."""
COLUMNS_KEPT = 16
"""How many characters of the keys' common beginning may still count up: enough for a date and its neighbours."""
COLUMNS = 64
"""How many characters of a key are counted as digits of its number."""
NO_FOLDER = "!"
"""The end of a guess. A guess of letters and digits alone might be the name of a folder, which some servers then skip. It sorts
before the characters that continue a name, so that no key that begins with the guess is missed."""
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
    """A key just before the page that is `pages` pages after the key `after`; None when it would be `until` or later, or unknown.

    Each of `spans` has a first key, a last key, and the number of pages listed between them. The span with the fewest keys in
    its space counts: a guess that is too near is wasted, and one that is too far only makes a range that is split again.
    `sample` has keys near `after`, and all keys begin with `prefix`. The result is more than `after`, less than `until`, and a
    valid key.
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
    """Whether a text is a valid key that every XML document can contain."""
    return not _UNFIT.search(text) and len(text.encode()) <= MAX_KEY_BYTES


class _Ruler:
    """Maps keys to numbers and back: each column is a digit, over the characters that the sample has there and their kind."""

    def __init__(self, sample: Sequence[str], skipped: int) -> None:
        width = min(COLUMNS, max(len(key) for key in sample) - skipped)
        columns = range(skipped, skipped + width)
        self._skipped = skipped
        self._digits = [_family({key[at] for key in sample if at < len(key)}) for at in columns]

    def number(self, key: str) -> int:
        """The number of a key."""
        number = 0
        for at, digits in enumerate(self._digits, self._skipped):
            # 0 stands for the end of a key.
            number = number * (len(digits) + 1) + (bisect_right(digits, key[at]) if at < len(key) else 0)
        return number

    def key(self, number: int, beginning: str) -> str | None:
        """The key of a number, which begins with `beginning`; None for a number of too many digits."""
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
    """The length of the common beginning of two texts."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
