"""A run's live progress, read from Airflow over REST."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from demo.airflow_api import AirflowApi, Run
from demo.screen import Screen, human_bytes

POLL_S = 0.5
WINDOW_S = 10.0
"""The rates that are shown are averages over this many seconds."""


def follow(airflow: AirflowApi, run: Run, screen: Screen, *, workers: int, timeout_s: float) -> str:
    """Show progress until the run has ended, and return its state. Raises AirflowError after `timeout_s` seconds."""
    started_s = time.monotonic()
    rates = _Rates()
    while (state := airflow.run_state(run)) not in ("success", "failed"):
        if time.monotonic() - started_s > timeout_s:
            return airflow.wait(run, timeout_s=0.0)
        screen.live(_line(_counts(airflow, run, workers), rates))
        time.sleep(POLL_S)
    return state


def _counts(airflow: AirflowApi, run: Run, workers: int) -> dict[str, float]:
    """The sum of the progress that the workers report, and the counts of the listing."""
    listing = airflow.task_state(run, "list").get("progress") or {}
    summary = airflow.xcom(run, "list", "summary") or {}
    slots = [airflow.task_state(run, "transfer", map_index=index).get("progress") or {} for index in range(workers)]
    names = ("copied", "skipped", "failed", "bytes_copied")
    return {
        "listed": summary.get("listed") or listing.get("listed", 0),
        "objects": summary.get("objects", 0),
        "bytes": summary.get("bytes", 0),
        **{name: sum(slot.get(name, 0) for slot in slots) for name in names},
    }


class _Rates:
    """Objects and bytes per second over the last WINDOW_S seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float, float]] = []

    def update(self, objects: float, size_bytes: float) -> tuple[float, float]:
        now_s = time.monotonic()
        self._seen.append((now_s, objects, size_bytes))
        while self._seen[0][0] < now_s - WINDOW_S:
            self._seen.pop(0)
        first_s, first_objects, first_bytes = self._seen[0]
        span_s = max(now_s - first_s, 1e-3)
        return max(0.0, objects - first_objects) / span_s, max(0.0, size_bytes - first_bytes) / span_s


def _line(counts: Mapping[str, float], rates: _Rates) -> str:
    done = counts["copied"] + counts["skipped"] + counts["failed"]
    objects_per_s, bytes_per_s = rates.update(done, counts["bytes_copied"])
    if not counts["objects"]:
        return f"    {counts['listed']:>7,.0f} listed"
    return (
        f"    {done:>7,.0f} of {counts['objects']:,.0f} objects"
        f"  {human_bytes(counts['bytes_copied']):>10} of {human_bytes(counts['bytes'])}"
        f"  {objects_per_s:,.0f} objects/s  {human_bytes(bytes_per_s)}/s"
        f"  ETA {_eta(counts, done, objects_per_s, bytes_per_s)}  errors {counts['failed']:,.0f}"
    )


def _eta(counts: Mapping[str, float], done: float, objects_per_s: float, bytes_per_s: float) -> str:
    """The time left, as text: the longer of the estimates by objects and by bytes."""
    left_objects, left_bytes = counts["objects"] - done, counts["bytes"] - counts["bytes_copied"]
    if (left_objects > 0 and objects_per_s < 0.1) or (left_bytes > 0 and bytes_per_s < 1):
        return "…"
    return f"{max(left_objects / max(objects_per_s, 0.1), left_bytes / max(bytes_per_s, 1)):,.0f} s"


def failures(airflow: AirflowApi, run: Run) -> dict[str, Any]:
    """The last error lines in the log of each task that failed, by task."""
    found = {}
    for task in airflow.task_instances(run):
        if task.state in ("failed", "up_for_retry"):
            text = airflow.task_log(run, task.task_id, map_index=task.map_index, try_number=task.try_number)
            errors = [line for line in text.splitlines() if "ERROR" in line or "Exception" in line]
            found[f"{task.task_id}[{task.map_index}]"] = "\n".join(errors[-5:])[-3000:]
    return found
