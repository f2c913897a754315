"""A run's turn: at most so many runs of a DAG are open at a time, whatever started them.

Airflow's own `max_active_runs` counts scheduled and manual runs only: a backfill brings a limit of its own,
and neither counts the other's runs.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRescheduleException

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

WAIT_S = 5
"""How often one of the waiting runs asks. The more of them wait, the more seldom each does."""
MAX_WAIT_S = 300

# Of `open_run` in a run that is running. It has no state in one that is queued.
NOT_OPEN_YET = ["scheduled", "queued", "running", "up_for_reschedule", "up_for_retry", "restarting", "deferred"]

log = logging.getLogger(__name__)


def wait_for_turn(task: Task, max_open_runs: int) -> None:
    """Returns when fewer than `max_open_runs` other runs are open. Frees the slot and comes again later otherwise.

    Only one task instance of a DAG may ask at a time. The answer comes from states of runs and tasks alone, so nothing
    is ever held by a run that was killed, failed or deleted. Raises AirflowRescheduleException, which is no try.
    """
    running = task.get_dr_count(task.dag_id, states=["running"])
    waiting = task.get_ti_count(task.dag_id, task_ids=[task.task_id], states=NOT_OPEN_YET)
    is_open = running - waiting
    if is_open < max_open_runs:
        return
    wait_s = min(WAIT_S * waiting, MAX_WAIT_S)
    log.info(
        "%s of %s runs of this route are open, and %s wait: asking again in %s s",
        is_open,
        max_open_runs,
        waiting,
        wait_s,
    )
    raise AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=wait_s))  # type: ignore[no-untyped-call]  # Airflow's
