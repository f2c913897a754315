"""A run of a thousand objects on docker-compose.yaml's services, while parts of Airflow go away in mid-run.

Each run is green, every object is the same on both sides for a reader that shares no code with the engine, no task takes more
than one attempt more, nothing stands still for longer than two minutes, and the pages say so to whom Airflow has let in.
`--slow` also has a run without an outage, and each outage in a run of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict

import pytest

from cluster import Cluster
from compose_stack import ComposeStack
from pipeline import task_logs
from run_watch import RunWatch, watching
from thousand_objects import OBJECTS

RUN_TIMEOUT_S = 400
MOST_ATTEMPTS, MOST_IDLE_S = 2, 120.0
BEFORE = 60
"""How many more uploads are answered before the next part goes away."""

Outage = Callable[[ComposeStack, RunWatch], None]


def away(name: str, seconds: float) -> Outage:
    """A container is stopped and, after a while, started again."""

    def happen(stack: ComposeStack, _: RunWatch) -> None:
        stack.stop(name)
        ends_s = time.monotonic() + seconds
        if name == "postgres-1":
            assert not stack.is_healthy("api-server-1"), "healthy without a database"
        time.sleep(max(0.0, ends_s - time.monotonic()))
        stack.start(name)

    return happen


def a_worker_killed(stack: ComposeStack, watch: RunWatch) -> None:
    """One that copies, with its tasks."""
    pids = [task.pid for task in watch.tasks if task.task_id == "transfer" and task.state == "running" and task.pid]
    names = sorted(filter(None, map(stack.container_of, pids)))
    assert names, "no worker copies"
    stack.kill(names[0])


OUTAGES: dict[str, Outage] = {
    "a worker killed": a_worker_killed,
    "Redis stopped for 20 s": away("redis-1", 20),
    "PostgreSQL stopped for 20 s": away("postgres-1", 20),
    "the API server stopped for 30 s": away("api-server-1", 30),
    "the scheduler killed": lambda stack, _: stack.kill("scheduler-1"),
}
WORKER, REDIS, POSTGRES, API_SERVER, SCHEDULER = OUTAGES
ALONE = [pytest.param([name], 12, marks=pytest.mark.slow, id=name) for name in OUTAGES]


@pytest.mark.parametrize(
    ("names", "max_requests_per_s"),
    [
        pytest.param([], None, id="nothing", marks=pytest.mark.slow),
        # An object takes two requests, and four workers send so many a second each: the copying lasts for one and for two
        # minutes, the outages and what follows them included.
        pytest.param([WORKER, REDIS], 12, id="a worker and Redis"),
        pytest.param([API_SERVER, SCHEDULER, POSTGRES], 4, id="the API server, the scheduler and PostgreSQL"),
        *ALONE,
    ],
)
def test_a_run_is_green_and_every_object_equal_whatever_goes_away(
    cluster: Cluster, names: list[str], max_requests_per_s: int | None
) -> None:
    stack = cluster.airflow
    prefix = f"{'+'.join(names) or 'nothing'}/".replace(" ", "-")
    run = cluster.trigger(prefix, max_requests_per_s=max_requests_per_s)
    restarts = len(stack.restarts)
    with watching(stack, run, cluster.uploads) as watch:
        for name in names:
            watch.until_uploaded(watch.uploaded + BEFORE, RUN_TIMEOUT_S)
            OUTAGES[name](stack, watch)
        watch.until_the_end(RUN_TIMEOUT_S)
    checked = cluster.compared(prefix)
    outcome = {
        "outages": names,
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
    page = {"dag_id": run.dag_id, "run_id": run.run_id}
    assert f"Every object is at the destination: {OBJECTS:,} of {OBJECTS:,} verified" in cluster.page("run", page).text
    assert cluster.page("run", page, is_signed_in=False).status_code == 401
    assert run.dag_id in cluster.page("overview").text
    assert cluster.page("overview", is_signed_in=False).status_code == 401
