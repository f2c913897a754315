"""Compares two sorted listings by name, in constant memory (a merge join).

S3 and Cloud Storage both list in the byte order of UTF-8. That is the order of code points, so Python can compare
the names directly. A listing in any other order (S3 directory buckets, some S3 servers) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from transfer.errors import ListingOutOfOrder, Stage

L = TypeVar("L")
R = TypeVar("R")


def march(
    left: Iterable[L],
    right: Iterable[R],
    *,
    left_name: Callable[[L], str],
    right_name: Callable[[R], str],
) -> Iterator[tuple[L | None, R | None]]:
    """Yield pairs of entries with the same name, in order; None stands for an entry that one side does not have.

    Raises ListingOutOfOrder unless the names of both sides are strictly ascending.
    """
    lefts = _ascending(left, left_name, "source listing")
    rights = _ascending(right, right_name, "destination listing")
    left_at, right_at = next(lefts, None), next(rights, None)
    while left_at is not None or right_at is not None:
        if right_at is None or (left_at is not None and left_at[0] < right_at[0]):
            yield left_at[1], None  # type: ignore[index]
            left_at = next(lefts, None)
        elif left_at is None or right_at[0] < left_at[0]:
            yield None, right_at[1]
            right_at = next(rights, None)
        else:
            yield left_at[1], right_at[1]
            left_at, right_at = next(lefts, None), next(rights, None)


T = TypeVar("T")


def _ascending(items: Iterable[T], name_of: Callable[[T], str], what: str) -> Iterator[tuple[str, T]]:
    last: str | None = None
    for item in items:
        name = name_of(item)
        if last is not None and name <= last:
            raise out_of_order(what, name, last)
        last = name
        yield name, item


def out_of_order(what: str, name: str, last: str) -> ListingOutOfOrder:
    """The error for a listing that returned `name` after `last`."""
    return ListingOutOfOrder(
        f"the {what} returned {name!r} after {last!r}; a sync needs the byte order of UTF-8, in which S3 general purpose buckets"
        " and Cloud Storage list (S3 directory buckets do not)",
        stage=Stage.LIST,
    )
