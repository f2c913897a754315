"""Settings of the Airflow stacks that tests start: several run at the same time, on two cores."""

from __future__ import annotations

from collections.abc import Mapping

IDLE: Mapping[str, str] = {
    # As by default. In `make demo` the scheduler looks for work more often; an idle one uses 17 % of a core then, and 4 % here.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
}
SAME_DAGS: Mapping[str, str] = {
    **IDLE,
    # For tests that do not change their DAG files: these are read once.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
}
