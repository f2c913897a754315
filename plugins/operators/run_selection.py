"""The selection of a run, from a task's parameters; what is wrong with it is one sentence, and no retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from transfer.listing.selection import Selection


def run_selection(wanted: Mapping[str, str], *, now_s: float) -> Selection | None:
    """What the run is to move of what it lists; None for all of it. Raises AirflowFailException.

    `wanted` has what `hooks.selection` reads. `now_s` is the opening of the run: every try of a task sees the same bounds.
    """
    from hooks.selection import selection_of
    from transfer.errors import InvalidSelection

    try:
        return selection_of(wanted, now_s=now_s)
    except InvalidSelection as error:
        raise AirflowFailException(str(error)) from error


def run_globs(wanted: Mapping[str, str]) -> Callable[[str], bool] | None:
    """The globs alone: what they leave out at the destination is none of the run's business. Raises AirflowFailException."""
    from hooks.selection import name_filter_of
    from transfer.errors import InvalidSelection

    try:
        return name_filter_of(wanted)
    except InvalidSelection as error:
        raise AirflowFailException(str(error)) from error
