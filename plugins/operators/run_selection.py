"""The selection of a run, from a task's parameters. An invalid one fails the task without a retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from transfer.listing.selection import Selection


def run_selection(wanted: Mapping[str, str], *, now_s: float) -> Selection | None:
    """Which of the listed objects to copy; None for all. Raises AirflowFailException.

    `wanted` has the fields that `hooks.selection` reads. `now_s` is when the run was opened, so that every attempt of a task
    sees the same bounds.
    """
    from hooks.selection import selection_of
    from transfer.errors import InvalidSelection

    try:
        return selection_of(wanted, now_s=now_s)
    except InvalidSelection as error:
        raise AirflowFailException(str(error)) from error


def run_globs(wanted: Mapping[str, str]) -> Callable[[str], bool] | None:
    """The globs alone: objects at the destination that they leave out do not belong to the run. Raises AirflowFailException."""
    from hooks.selection import name_filter_of
    from transfer.errors import InvalidSelection

    try:
        return name_filter_of(wanted)
    except InvalidSelection as error:
        raise AirflowFailException(str(error)) from error
