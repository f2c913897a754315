"""Builds the selection of a run from a task's parameters. An invalid selection fails the task without a retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from transfer.listing.selection import Selection


def run_selection(wanted: Mapping[str, str], *, now_s: float) -> Selection | None:
    """The conditions for listed objects to be copied; None for all objects. Raises AirflowFailException.

    `wanted` has the fields that `hooks.selection` reads. `now_s` is when the run was opened, so that every attempt of a task
    has the same bounds.
    """
    from hooks.selection import selection_of
    from transfer.errors import InvalidSelection

    try:
        return selection_of(wanted, now_s=now_s)
    except InvalidSelection as error:
        raise AirflowFailException(str(error)) from error


def run_globs(wanted: Mapping[str, str]) -> Callable[[str], bool] | None:
    """A filter of names by the globs alone; None without globs. Raises AirflowFailException.

    Objects at the destination that the globs leave out do not belong to the run.
    """
    from hooks.selection import name_filter_of
    from transfer.errors import InvalidSelection

    try:
        return name_filter_of(wanted)
    except InvalidSelection as error:
        raise AirflowFailException(str(error)) from error
