"""The date that a run is for, and the prefixes that depend on it. They depend on the DAG run alone, so that they are the same
in every task, even after it is cleared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.sdk.exceptions import AirflowFailException

from operators.prefixes import ROUTE, RUN, DatedPrefix, InvalidPrefix

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

ROUTE_DAG_PREFIX = "route_"


@dataclass(frozen=True, slots=True)
class RunDates:
    """Macros for a DAG's templates. Days begin and end in `timezone`, an IANA name."""

    timezone: str

    def macros(self) -> Mapping[str, Any]:
        """The macros by name, for `DAG(user_defined_macros=…)`."""
        return {
            "dated": self.dated,
            "dated_if_sound": self.dated_if_sound,
            "date_of": self.date_of,
            "for_day": self.for_day,
        }

    def dated(self, prefix: str | None, dag_run: DagRunProtocol) -> str:
        """The prefix with its date codes and placeholders filled in; empty for none.

        Raises AirflowFailException (no retry) for a prefix with an unknown code.
        """
        try:
            template = DatedPrefix.parse(prefix or "")
        except InvalidPrefix as error:
            raise AirflowFailException(str(error)) from error
        names = {RUN: dag_run.run_id, ROUTE: dag_run.dag_id.removeprefix(ROUTE_DAG_PREFIX)}
        return template.resolve(self._moment(dag_run)[0], names)

    def dated_if_sound(self, prefix: str | None, dag_run: DagRunProtocol) -> str:
        """Like `dated`, but returns an invalid prefix unchanged: preflight reports it together with all other problems."""
        try:
            return self.dated(prefix, dag_run)
        except AirflowFailException:
            return prefix or ""

    def date_of(self, dag_run: DagRunProtocol) -> str:
        """The date of the run and its origin, as text for the log."""
        moment, origin = self._moment(dag_run)
        return f"{moment.isoformat(timespec='seconds')} ({self.timezone}), {origin}"

    def for_day(self, dag_run: DagRunProtocol, *prefixes: str | None) -> str:
        """The date that the codes in these prefixes stand for, as the end of a worker's label; empty without codes."""
        try:
            parsed = [DatedPrefix.parse(prefix or "") for prefix in prefixes]
        except InvalidPrefix:
            return ""  # preflight has reported it
        moment = self._moment(dag_run)[0]
        if any(prefix.has_time_in_it for prefix in parsed):
            return f", {moment:%Y-%m-%d %H:%M}"
        return f", {moment:%Y-%m-%d}" if any(prefix.has_date_in_it for prefix in parsed) else ""

    def _moment(self, dag_run: DagRunProtocol) -> tuple[datetime, str]:
        moment, origin = _date_of(dag_run)
        return moment.astimezone(ZoneInfo(self.timezone)), origin


def _date_of(dag_run: DagRunProtocol) -> tuple[datetime, str]:
    if dag_run.data_interval_start:
        return dag_run.data_interval_start, "the start of its data interval"
    if dag_run.logical_date:
        return dag_run.logical_date, "its logical date"
    return dag_run.run_after, "when it was triggered, since it has neither a data interval nor a logical date"
