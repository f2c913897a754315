"""Limits how many runs of a DAG are open at a time, whether started by schedule, by backfill or manually.

Airflow's own `max_active_runs` counts scheduled and manual runs only: a backfill has its own limit, and
neither counts the other's runs.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRescheduleException

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

WAIT_S = 5
"""The average interval between two checks by any waiting run: the more runs wait, the less often each checks."""
MAX_WAIT_S = 300

# States of `open_run` in a running run. It has none in a queued run.
NOT_OPEN_YET = ["scheduled", "queued", "running", "up_for_reschedule", "up_for_retry", "restarting", "deferred"]

log = logging.getLogger(__name__)


def wait_for_turn(task: Task, max_open_runs: int) -> None:
    """Returns when fewer than `max_open_runs` other runs are open; otherwise frees the slot and checks again later.

    Only one task instance of a DAG may check at a time. The answer comes from states of runs and tasks alone, so a run
    that was killed, failed or deleted occupies no place. Raises AirflowRescheduleException, which does not count as an
    attempt.
    """
    running = task.get_dr_count(task.dag_id, states=["running"])
    waiting = task.get_ti_count(task.dag_id, task_ids=[task.task_id], states=NOT_OPEN_YET)
    is_open = running - waiting
    if is_open < max_open_runs:
        return
    wait_s = min(WAIT_S * waiting, MAX_WAIT_S)
    log.info(
        "%s of %s runs of this route are open and %s are waiting; asking again in %s s",
        is_open,
        max_open_runs,
        waiting,
        wait_s,
    )
    raise AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=wait_s))  # type: ignore[no-untyped-call]  # Airflow's
