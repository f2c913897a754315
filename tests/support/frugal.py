"""Settings of the Airflow stacks that tests start: several run at the same time, on two cores."""

from __future__ import annotations

from collections.abc import Mapping

IDLE: Mapping[str, str] = {
    # The scheduler looks for work half as often as in `make demo`: an idle one uses 8 % of a core instead of 17 %.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
}
SAME_DAGS: Mapping[str, str] = {
    **IDLE,
    # For tests that do not change their DAG files: these are read once.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
}
