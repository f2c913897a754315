"""Formats and parses sets of whole numbers as short text, `0-4,7`: an object's metadata is limited to a few KiB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from transfer.records.messages import MAX_COUNT

MAX_NUMBERS = 1_000_000
"""The most numbers that are read from one text. A shard settles 150 messages, and a worker has about a thousand in flight."""
MAX_DIGITS = 18


def format_numbers(numbers: Iterable[int]) -> str:
    """Whole numbers as text, in ascending ranges: `0-4,7`."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_numbers(text: str, below: int = MAX_COUNT) -> Iterator[int]:
    """The numbers in a text of `format_numbers` that are below `below`, at most MAX_NUMBERS of them.

    Parts of another form are ignored, since records are not trusted.
    """
    return islice(_numbers(text, below), MAX_NUMBERS)


def _numbers(text: str, below: int) -> Iterator[int]:
    for numbers in parse_ranges(text):
        yield from range(numbers.start, min(numbers.stop, below))


def parse_ranges(text: str) -> Iterator[range]:
    """The ranges in a text of `format_numbers`. Parts of another form are ignored."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        bounds = [first, last or first]
        if all(bound.isascii() and bound.isdecimal() and len(bound) <= MAX_DIGITS for bound in bounds):
            yield range(int(first), int(last or first) + 1)
