"""Which date a run is for: with Airflow's own timetable, over every change of clocks and end of month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from operators.run_date import RunDates

# Zones whose clocks change in the night, at midnight itself (Cairo, Havana, Santiago, Beirut), by half an hour, or never.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
]


# To the type checker it fits where a run of Airflow's is expected; at run time, a class made from Any takes no arguments.
_Anything: Any = Any if TYPE_CHECKING else object


@dataclass
class DagRun(_Anything):
    """Stands for Airflow's own, and has the fields that matter here."""

    data_interval_start: datetime | None = None
    logical_date: datetime | None = None
    run_after: datetime = datetime(2026, 5, 6, 23, 30, tzinfo=UTC)
    run_id: str = "manual__x"
    dag_id: str = "route_photos"


def daily_runs(timezone: str, first: date, days: int) -> list[DagRun]:
    """What Airflow's scheduler and its backfill make of `@daily` from a day on."""
    timetable = CronDataIntervalTimetable("0 0 * * *", timezone)
    earliest = pendulum.instance(datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(timezone)))
    restriction, runs, interval = TimeRestriction(earliest, None, True), [], None
    for _ in range(days):
        found = timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction)
        interval = found and found.data_interval
        assert interval
        runs.append(DagRun(data_interval_start=interval.start, logical_date=interval.start, run_after=interval.end))
    return runs


def has_one_midnight(timezone: str, day: date) -> bool:
    """Whether the clocks show midnight exactly once at the beginning of that day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
    exists = midnight.astimezone(UTC).astimezone(ZoneInfo(timezone)).hour == 0
    return exists and midnight.utcoffset() == midnight.replace(fold=1).utcoffset()


@settings(max_examples=60, deadline=None)
@example("America/Havana", date(2016, 11, 5))
@example("America/Havana", date(2016, 11, 7))
@given(st.sampled_from(ZONES), st.dates(date(2015, 1, 2), date(2029, 12, 1)))
def test_a_daily_route_takes_every_calendar_day_once(timezone: str, first: date) -> None:
    # Airflow's alignment passes over a first day whose midnight comes twice, or whose end the clocks leave out (docs/routes.md).
    assume(has_one_midnight(timezone, first) and has_one_midnight(timezone, first + timedelta(1)))
    runs = daily_runs(timezone, first, 35)
    taken = [RunDates(timezone).dated("%Y-%m-%d", run) for run in runs]
    assert taken == [str(first + timedelta(days)) for days in range(35)]


@pytest.mark.parametrize("timezone", ZONES)
def test_no_day_of_two_years_is_missed(timezone: str) -> None:
    taken = [RunDates(timezone).dated("%Y-%m-%d", run) for run in daily_runs(timezone, date(2023, 12, 30), 735)]
    assert taken == [str(date(2023, 12, 30) + timedelta(days)) for days in range(735)]


def test_the_start_of_the_data_interval_comes_first_then_the_logical_date_then_the_moment_of_triggering() -> None:
    dates = RunDates("Europe/Berlin")
    interval, logical = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 4, 1, 22, tzinfo=UTC)
    both = DagRun(data_interval_start=interval, logical_date=logical)
    assert dates.date_of(both) == "2026-03-29T00:00:00+01:00 (Europe/Berlin), the start of its data interval"
    assert dates.date_of(DagRun(logical_date=logical)) == "2026-04-02T00:00:00+02:00 (Europe/Berlin), its logical date"
    told = dates.date_of(DagRun())
    assert told.startswith("2026-05-07T01:30:00+02:00 (Europe/Berlin), when it was triggered")
    assert dates.dated("%Y/%m/%d/", DagRun()) == "2026/05/07/"


def test_names_come_from_the_run() -> None:
    assert RunDates("UTC").dated("{route}/{dag_run_id}/", DagRun()) == "photos/manual__x/"
    assert RunDates("UTC").dated("{route}/", DagRun(dag_id="s3_to_gcs")) == "s3_to_gcs/"
    assert RunDates("UTC").dated(None, DagRun()) == ""


def test_anything_else_fails_for_good_and_is_never_evaluated() -> None:
    with pytest.raises(AirflowFailException, match="which is not a placeholder"):
        RunDates("UTC").dated("{run.__class__}/", DagRun())
    assert RunDates("UTC").dated("{{{{ 7 * 7 }}}}", DagRun()) == "{{ 7 * 7 }}"
