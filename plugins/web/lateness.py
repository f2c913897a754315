"""Which routes have not been green for longer than their schedule. Pure functions of what Airflow's database holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from pages.overview import Late

GRACE = timedelta(minutes=5)
"""How long after it is due a run may come without its route being late: Airflow's scheduler creates it within seconds, a busy
one within minutes."""
NONE = timedelta(0)
Interval = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What the database holds of a DAG's schedule; every field is None for a DAG that has none."""

    next_due_at: datetime | None = None
    """When the next run can be created."""
    next_interval: Interval = (None, None)
    """The data interval of the next run."""
    last_interval: Interval = (None, None)
    """The data interval of the newest run that the schedule started."""
    due_at: Sequence[datetime] = ()
    """When the last runs that the schedule started were due, newest first."""

    @property
    def interval(self) -> timedelta | None:
        """The time between two runs; None where there is no schedule in time, or it is not known.

        It is the longer one of the next run's data interval and that of the newest scheduled run: on a Monday, a schedule of
        working days goes from three days to one, and the run of the three days may still be under way. Timetables without
        intervals (CronTriggerTimetable) have empty ones: there, it is the time from the newest scheduled run to the next one, or
        between the last two.
        """
        if self.next_due_at is None:
            return None
        lengths = [end - start for start, end in (self.next_interval, self.last_interval) if start and end]
        if (longest := max(lengths, default=NONE)) > NONE:
            return longest
        gaps = [later - earlier for later, earlier in pairwise([self.next_due_at, *self.due_at[:2]])]
        return next((gap for gap in gaps if gap > NONE), None)


def late(
    schedule: Schedule,
    now: datetime,
    *,
    is_paused: bool,
    green_at: datetime | None,
    has_ended_run: bool,
    is_running: bool,
) -> Late | None:
    """Whether a route is late; None if it is not.

    last green run   a run is under way   the route is late
    any              –                    never, if it is paused or has no schedule in time
    known            no                   once more than an interval has passed since that run was due
    known            yes                  once two intervals have: the run that is under way may be the green one
    none             –                    if a run has ended, or the first one has not come an interval after it was due

    :param green_at: when the last green run was due.
    :param has_ended_run: whether any run has ended.
    :param is_running: whether a run waits or is under way.
    """
    interval = schedule.interval
    if is_paused or interval is None or schedule.next_due_at is None:
        return None
    if green_at is not None:
        passed = now - green_at
        allowed = 2 * interval if is_running else interval
        return Late(since=green_at, missed=max(1, passed // interval)) if passed > allowed + GRACE else None
    has_not_come = not is_running and now - schedule.next_due_at > interval + GRACE
    if not has_ended_run and not has_not_come:
        return None
    first = min(schedule.due_at, default=schedule.next_due_at)
    return Late(since=None, missed=max(1, (now - first) // interval + 1))
