"""Builds the selection of objects from a task's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer.listing.selection import Selection

BOUNDS = ("min_size", "max_size", "modified_since", "modified_before")
LISTS = ("include", "exclude", "storage_classes")
"""Fields that hold JSON lists, because a template renders every value as text."""


def selection_of(wanted: Mapping[str, str], *, now_s: float) -> Selection | None:
    """The selection of these fields (BOUNDS and LISTS); None when they are all empty. Raises InvalidSelection.

    A relative time counts back from `now_s`, in Unix seconds.
    """
    from transfer.listing.selection import read_selection

    return read_selection(
        name_filter=name_filter_of(wanted),
        **{name: wanted.get(name) or "" for name in BOUNDS},
        storage_classes=_list(wanted, "storage_classes"),
        now_s=now_s,
    )


def name_filter_of(wanted: Mapping[str, str]) -> Callable[[str], bool] | None:
    """A filter of names by the globs in `include` and `exclude`; None without globs. Raises InvalidSelection."""
    include, exclude = _list(wanted, "include"), _list(wanted, "exclude")
    if not (include or exclude):
        return None
    from transfer.backends.globs import compile_globs

    return compile_globs(include, exclude)


def _list(wanted: Mapping[str, str], name: str) -> list[str]:
    found: list[str] = json.loads(wanted.get(name) or "[]")
    return found
