"""A run of a thousand objects on docker-compose.yaml's services, and each part of Airflow that goes away in mid-run.

Each run is green, every object is the same on both sides for a reader that shares no code with the engine, no task takes more
than one attempt more, and nothing stands still for longer than two minutes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict

import pytest

from cluster import OBJECTS, Cluster
from compose_stack import ComposeStack
from pipeline import task_logs
from run_watch import RunWatch, watching

RUN_TIMEOUT_S = 400
MOST_ATTEMPTS, MOST_IDLE_S = 2, 120.0
WORKERS = 4
SLOWLY = {"max_requests_per_s": 12}
"""With four workers and two requests an object, a thousand objects take some 40 s, so that there is a mid-run."""
MIDST = OBJECTS // 5
"""How many objects have been copied when something goes away."""

Outage = Callable[[ComposeStack, RunWatch], None]


def away(name: str, seconds: float) -> Outage:
    """A container is stopped and, after a while, started again."""

    def happen(stack: ComposeStack, _: RunWatch) -> None:
        stack.stop(name)
        time.sleep(seconds)
        stack.start(name)

    return happen


def a_worker_killed(stack: ComposeStack, watch: RunWatch) -> None:
    """One that copies, with its tasks."""
    pids = [task.pid for task in watch.tasks if task.task_id == "transfer" and task.state == "running" and task.pid]
    names = sorted(filter(None, map(stack.container_of, pids)))
    assert names, "no worker copies"
    stack.kill(names[0])


OUTAGES: dict[str, Outage | None] = {
    "nothing": None,
    "a worker killed": a_worker_killed,
    "PostgreSQL stopped for 20 s": away("postgres-1", 20),
    "the API server stopped for 30 s": away("api-server-1", 30),
    "Redis stopped for 20 s": away("redis-1", 20),
    "the scheduler killed": lambda stack, _: stack.kill("scheduler-1"),
}


@pytest.mark.parametrize("name", OUTAGES)
def test_a_run_is_green_and_every_object_equal_whatever_goes_away(cluster: Cluster, name: str) -> None:
    outage, stack = OUTAGES[name], cluster.airflow
    prefix = f"{name.replace(' ', '-')}/"
    run = cluster.trigger(prefix, workers=WORKERS, threads=8, **(SLOWLY if outage else {}))
    restarts = len(stack.restarts)
    with watching(stack, run, cluster.uploads) as watch:
        if outage:
            watch.until(lambda: watch.copied >= MIDST, f"{MIDST} objects were copied", RUN_TIMEOUT_S)
            outage(stack, watch)
        watch.until_the_end(RUN_TIMEOUT_S)
    checked = cluster.compared(prefix)
    outcome = {
        "outage": name,
        "state": watch.state,
        "seconds": round(watch.ended_s - watch.started_s, 1),
        "idle_s": round(watch.longest_standstill_s, 1),
        "attempts": watch.attempts(),
        "restarts": stack.restarts[restarts:],
        **asdict(checked),
    }
    print(json.dumps(outcome))
    assert watch.state == "success", task_logs(stack, run)[-6000:]
    assert checked.matched == checked.objects == OBJECTS, outcome
    assert not (checked.missing or checked.differing or checked.extra), outcome
    assert max(watch.attempts().values()) <= MOST_ATTEMPTS, outcome
    assert watch.longest_standstill_s <= MOST_IDLE_S, outcome
