"""A run is never green without a verdict that is true of the bytes, whatever a person marks, clears or skips.

Each case has its own source prefix, and many runs are held while they copy, by an edge that does not answer for one
object. docs/operating.md describes the outcomes.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from google.cloud import pubsub_v1

from demo.airflow_api import Run
from pipeline import Pipeline, control
from run_marks import WAVES, Case

MIB = 1024 * 1024
TASKS = ("preflight", "open_run", "list", "transfer", "reconcile", "retry", "verify", "delete_extraneous", "close_run")
SOME_TASKS = ("transfer", "verify", "close_run")
"""One of those that reopen a run, the one that judges, and the last; `--slow` clears each."""
TWO_COPIES = ("photos", "documents")
"""The task groups of the DAG two_copies, and their folders."""
TIMEOUT_S = 300
REOPENING = ("open_run", "list", "transfer", "reconcile", "retry")
"""When one of these is cleared alone, Airflow clears setup and teardown with it: the run is reopened, and not verified."""
ADVICE = re.compile(r"clear (\S+) with what is downstream of it")

slow = pytest.mark.slow


@dataclass
class Bench:
    """The running stack, and the actions of these tests on it."""

    pipeline: Pipeline
    bodies: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """The objects in the source, by prefix."""

    def fill(self, prefix: str) -> None:
        """Put twenty small objects, one that is copied in parts, and an empty one, which preflight never reads."""
        bodies = {f"{prefix}{index:02d}": os.urandom(200 + index) for index in range(20)}
        bodies[f"{prefix}05-large"] = os.urandom(12 * MIB)
        bodies[f"{prefix}held"] = b""
        for key, body in bodies.items():
            self.pipeline.put(key, body)
        self.bodies[prefix] = bodies

    def hold(self, prefixes: Sequence[str]) -> None:
        """Let workers copy all objects but two, of which one is half copied."""
        held = [{"match": f"GET /{prefix}held", "action": "delay", "seconds": 600} for prefix in prefixes]
        half = [
            {"match": f"GET /{prefix}05-large", "action": "delay", "seconds": 600, "after": 1} for prefix in prefixes
        ]
        control(self.pipeline.cloud.edge_url, held + half)

    def release(self) -> None:
        control(self.pipeline.cloud.edge_url, None)

    def trigger(self, prefix: str, **conf: object) -> Run:
        return self.pipeline.trigger(prefix, workers=1, part_size_mib=5, delete_extraneous="list", **conf)

    def wait_until_held(self, run: Run) -> None:
        """Wait until the small objects are copied and the worker waits for the two others."""
        deadline = time.monotonic() + TIMEOUT_S
        self.pipeline.airflow.wait_for_task(run, "transfer", 0, states=frozenset({"running"}), timeout_s=TIMEOUT_S)
        while self.pipeline.airflow.task_state(run, "transfer", map_index=0).get("progress", {}).get("copied", 0) < 18:
            assert time.monotonic() < deadline, "the worker never started"
            time.sleep(0.3)

    def wait(self, run: Run) -> str:
        return self.pipeline.airflow.wait(run, timeout_s=TIMEOUT_S)

    def record(self, run: Run, name: str) -> dict[str, object]:
        identity = self.pipeline.airflow.xcom(run, "open_run")
        folder = f".edgehaul/{identity['transfer_id'].rsplit('-', 2)[0]}/"
        blob = self.pipeline.gcs.bucket(self.pipeline.cloud.destination_bucket).blob(folder + name)
        return dict(json.loads(blob.download_as_bytes()))

    def is_there(self, prefix: str) -> bool:
        """Whether both sides are the same, byte for byte."""
        return self.pipeline.stored(prefix) == self.bodies[prefix]

    def left_behind(self, run: Run, prefix: str) -> list[str]:
        """The subscriptions, uploads and their records that still exist after the last worker had time to end."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", run.run_id).strip("-")[:60]
        deadline = time.monotonic() + 15
        while True:
            found = [subscription for subscription in self._subscriptions() if f"-{name}-" in subscription]
            found += self.pipeline.open_uploads(prefix)
            blobs = self.pipeline.gcs.list_blobs(self.pipeline.cloud.destination_bucket, prefix=".edgehaul/")
            found += [
                blob.name
                for blob in blobs
                if f"-{name}-" in blob.name and "/uploads/" in blob.name and "/closed-" not in blob.name
            ]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def _subscriptions(self) -> list[str]:
        os.environ["PUBSUB_EMULATOR_HOST"] = self.pipeline.cloud.pubsub_host
        with pubsub_v1.SubscriberClient() as client:
            found = client.list_subscriptions(project=f"projects/{self.pipeline.cloud.project}")
            return [item.name for item in found]

    def advice(self, run: Run) -> str:
        """The task to clear, as the last tasks of the run advise."""
        for task_id in ("close_run", "delete_extraneous"):
            task = self.pipeline.airflow.task_instance(run, task_id)
            if task.state == "failed":
                log = self.pipeline.airflow.task_log(run, task_id, try_number=task.try_number)
                if advice := ADVICE.search(log):
                    return advice[1]
        return ""

    def check_green(self, run: Run, prefix: str) -> None:
        """Check that the last opening of the run has a verdict, and that it is true."""
        verdict = self.record(run, "verdict.json")
        assert verdict["is_green"]
        assert self.is_there(prefix)


@pytest.fixture(scope="module")
def bench(pipeline: Pipeline) -> Bench:
    return Bench(pipeline)


@pytest.mark.parametrize(
    "wave", [pytest.param(wave, marks=[slow] * (index > 0), id=str(index)) for index, wave in enumerate(WAVES)]
)
def test_marking_and_clearing_while_workers_copy(
    bench: Bench, wave: list[Case], request: pytest.FixtureRequest
) -> None:
    """Each run ends as the table says, and following its advice copies everything."""
    prefixes = [f"mid/{re.sub('[^a-z]+', '-', case.name)}/" for case in wave]
    for prefix in prefixes:
        bench.fill(prefix)
    bench.hold(prefixes)
    runs = [bench.trigger(prefix) for prefix in prefixes]
    for run in runs:
        bench.wait_until_held(run)
    for case, run in zip(wave, runs, strict=True):
        case.act(bench.pipeline, run)
    time.sleep(3)  # so that a mark on a running task takes effect before the task ends by itself
    bench.release()

    outcomes, again = {}, []
    for case, run, prefix in zip(wave, runs, prefixes, strict=True):
        state, advice = bench.wait(run), bench.advice(run)
        outcomes[case.name] = (state, advice)
        if state == "success":
            bench.check_green(run, prefix)
        print(case.name, state, advice, bench.is_there(prefix), bench.left_behind(run, prefix), states(bench, run))
        if advice or case.then:
            bench.pipeline.airflow.clear_task(run, advice or case.then)
            again.append((case, run, prefix))
    assert outcomes == {case.name: (case.ends, case.advice) for case in wave}
    for case, run, prefix in again:
        assert bench.wait(run) == "success", (case.name, bench.pipeline.logs(run)[-6000:])
        bench.check_green(run, prefix)

    # The next run closes what nobody closed.
    prefix = f"mid/next-{request.node.callspec.id}/"
    bench.fill(prefix)
    last = bench.trigger(prefix)
    assert bench.wait(last) == "success"
    for run, at in [(last, prefix), *zip(runs, prefixes, strict=True)]:
        assert bench.left_behind(run, at) == [], run


def states(bench: Bench, run: Run) -> str:
    return " ".join(f"{task.task_id}={task.state}" for task in bench.pipeline.airflow.task_instances(run))


def test_clearing_after_the_run(bench: Bench, pytestconfig: pytest.Config) -> None:
    """Clearing a task alone leaves the run without a verdict; with the tasks downstream, missing objects are copied again."""
    cleared = TASKS if pytestconfig.getoption("--slow") else SOME_TASKS
    bench.fill("after/")
    run = bench.trigger("after/")
    assert bench.wait(run) == "success"
    outcomes = {}
    for task_id in cleared:
        bench.pipeline.airflow.clear_task(run, task_id, is_alone=True)
        outcomes[task_id] = bench.wait(run)
        print(task_id, outcomes[task_id], states(bench, run))
        assert bench.left_behind(run, "after/") == []
        if outcomes[task_id] == "failed":
            assert bench.advice(run) == "reconcile"
            bench.pipeline.airflow.clear_task(run, "reconcile")
            assert bench.wait(run) == "success"
        assert "failed" not in states(bench, run), (task_id, states(bench, run))
        bench.check_green(run, "after/")
    assert outcomes == {task_id: "failed" if task_id in REOPENING else "success" for task_id in cleared}
    for task_id in (name for name in ("list", "transfer", "verify") if name in cleared):
        blob = bench.pipeline.gcs.bucket(bench.pipeline.cloud.destination_bucket).blob("after/03")
        blob.delete()
        bench.pipeline.airflow.clear_task(run, task_id)
        state = bench.wait(run)
        assert (state == "success") == bench.is_there("after/"), (task_id, states(bench, run))
        if state != "success":
            assert task_id == "verify"
            assert bench.advice(run) == "reconcile"
            bench.pipeline.airflow.clear_task(run, "reconcile")
            assert bench.wait(run) == "success"
        bench.check_green(run, "after/")
        assert bench.left_behind(run, "after/") == []


def test_two_copies_in_one_dag(bench: Bench) -> None:
    """The block of docs/your-own-dag.md with two task groups, each with its own queue, records and verdict."""
    bodies = {f"{group}/{index:02d}": os.urandom(300) for group in TWO_COPIES for index in range(30)}
    for key, body in bodies.items():
        bench.pipeline.put(key, body)
    run = bench.pipeline.airflow.trigger("two_copies", {"a user's own": "conf"})
    assert bench.wait(run) == "success", bench.pipeline.logs(run)[-6000:]
    assert bench.pipeline.stored("photos/") | bench.pipeline.stored("documents/") == bodies
    for group in TWO_COPIES:
        assert bench.pipeline.airflow.xcom(run, f"{group}.verify")["matched"] == 30
        assert bench.left_behind(run, f"{group}/") == []
