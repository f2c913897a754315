"""A route is late when it has not been green for longer than its schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pages.overview import Late
from web.lateness import Schedule, late

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def ago(hours: float) -> datetime:
    return NOW - hours * HOUR


def daily(**values: Any) -> Schedule:
    """Due at 02:00, the last time ten hours ago."""
    return Schedule(**{"next_due_at": NOW + 14 * HOUR, "next_interval": (ago(10), NOW + 14 * HOUR), **values})


WORKING_DAYS = daily(last_interval=(ago(82), ago(10)))
"""On a Monday after its run: the run of Friday was due three days before."""
WITHOUT_INTERVALS = daily(next_interval=(NOW, NOW), due_at=[ago(10), ago(34)])
NO_SCHEDULE = Schedule()


@pytest.mark.parametrize(
    ("schedule", "green_at", "ended", "running", "expected"),
    [
        (daily(), ago(10), True, False, None),  # the last run was green
        (daily(), ago(24.05), True, False, None),  # due three minutes ago: the scheduler has not looked yet
        (daily(), ago(24.5), True, False, Late(since=ago(24.5), missed=1)),  # it was due, and did not come
        (daily(), ago(34), True, False, Late(since=ago(34), missed=1)),  # the last run was red
        (daily(), ago(34), True, True, None),  # the last run is under way
        (daily(), ago(49), True, True, Late(since=ago(49), missed=2)),  # it is, for longer than a day
        (daily(), ago(82), True, True, Late(since=ago(82), missed=3)),  # red for days, and under way
        (daily(), None, True, False, Late(since=None, missed=1)),  # never green
        (daily(due_at=[ago(10), ago(34)]), None, True, True, Late(since=None, missed=2)),
        (daily(), None, False, False, None),  # a new route, not due yet
        (daily(), None, False, True, None),  # its first run is under way
        (daily(next_due_at=ago(25)), None, False, False, Late(since=None, missed=2)),  # its first run does not come
        (WORKING_DAYS, ago(82), True, True, None),  # Monday's run is under way
        (WORKING_DAYS, ago(10 + 7 * 24), True, False, Late(since=ago(178), missed=2)),
        (WITHOUT_INTERVALS, ago(10), True, False, None),
        (WITHOUT_INTERVALS, ago(34), True, False, Late(since=ago(34), missed=1)),
        (NO_SCHEDULE, ago(9999), True, False, None),
        (NO_SCHEDULE, None, True, False, None),
        (Schedule(next_interval=(ago(10), ago(-14))), ago(999), True, False, None),  # after its end date
    ],
)
def test_late(schedule: Schedule, green_at: datetime | None, ended: bool, running: bool, expected: Late | None) -> None:
    for is_paused in (False, True):
        found = late(schedule, NOW, is_paused=is_paused, green_at=green_at, has_ended_run=ended, is_running=running)
        assert found == (None if is_paused else expected)


@pytest.mark.parametrize(
    ("schedule", "interval"),
    [
        (daily(), DAY),
        (WORKING_DAYS, 3 * DAY),
        (daily(last_interval=(ago(11), ago(10))), DAY),  # the schedule was changed
        (WITHOUT_INTERVALS, DAY),
        (daily(next_interval=(None, None), due_at=[ago(10)]), DAY),
        (daily(next_interval=(NOW, NOW)), None),  # no run yet: nobody knows
        (daily(next_interval=(None, None), next_due_at=ago(10), due_at=[ago(10), ago(22)]), 12 * HOUR),
        (NO_SCHEDULE, None),
    ],
)
def test_the_interval_of_a_schedule(schedule: Schedule, interval: timedelta | None) -> None:
    assert schedule.interval == interval
