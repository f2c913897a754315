"""Where the seconds of a run of ten objects go, task by task: most of them are Airflow's.

PYTHONPATH=plugins:.:tests/support python -m benchmarks.small_runs [--celery] [--runs 5]

With --celery the services of docker-compose.yaml run as processes, which needs PostgreSQL and Redis (`make tools`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from compose_stack import ComposeStack
from demo.airflow_api import AirflowApi, Run
from demo.airflow_stack import AirflowStack
from demo.upload import s3_client
from localcloud.supervisor import LocalCloud

OBJECTS = 10
RUN_TIMEOUT_S = 120


def main() -> None:
    """Measure some runs after a first one, which finds Airflow's processes cold; print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--celery", action="store_true", help="docker-compose.yaml's services instead of LocalExecutor")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, LocalCloud(Path(folder) / "cloud") as cloud:
        s3 = s3_client(cloud.s3_url, cloud.access_key_id, cloud.secret_access_key, cloud.region)
        for index in range(OBJECTS):
            s3.put_object(Bucket=cloud.source_bucket, Key=f"few/{index}", Body=os.urandom(1000))
        with _airflow(Path(folder) / "airflow", cloud, is_celery=options.celery) as airflow:
            airflow.wait_for_dag("s3_to_gcs")
            airflow.unpause("s3_to_gcs")
            for number in range(options.runs + 1):
                triggered_at = datetime.now(UTC)
                run = airflow.trigger("s3_to_gcs", _conf(cloud, f"run-{number}/"))
                state = airflow.wait(run, RUN_TIMEOUT_S, poll_s=0.1)
                ended_at = datetime.now(UTC)
                if state != "success":
                    raise SystemExit(f"{run.run_id} ended as {state}")
                for name, taken_s in _seconds(airflow, run, triggered_at, ended_at) if number else ():
                    seconds[name].append(taken_s)
    print("| | median | least | most |\n|---|---|---|---|")
    for name, taken in seconds.items():
        print(f"| {name} | {median(taken):.1f} s | {min(taken):.1f} s | {max(taken):.1f} s |")


@contextmanager
def _airflow(home: Path, cloud: LocalCloud, *, is_celery: bool) -> Iterator[AirflowApi]:
    if not is_celery:
        with AirflowStack(home, environment=cloud.environment()) as stack:
            yield stack
        return
    with ComposeStack(home, environment=cloud.environment(connections=False), scale={}) as services:
        for conn_id, connection in cloud.connections().items():
            services.add_connection(conn_id, connection)
        yield services


def _conf(cloud: LocalCloud, destination_prefix: str) -> Mapping[str, object]:
    buckets = {"source_bucket": cloud.source_bucket, "destination_bucket": cloud.destination_bucket}
    return buckets | {"source_prefix": "few/", "destination_prefix": destination_prefix}


def _seconds(airflow: AirflowApi, run: Run, triggered_at: datetime, ended_at: datetime) -> Iterator[tuple[str, float]]:
    """The steps of the run in their order: until a task's first process starts, and until its last one ends."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for task in airflow.task_instances(run):
        if task.state == "success" and task.started_at and task.ended_at:
            first, last = spans.get(task.task_id, (task.started_at, task.ended_at))
            spans[task.task_id] = min(first, task.started_at), max(last, task.ended_at)
    before = triggered_at
    for task_id, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        yield f"until {task_id} starts", (first - before).total_seconds()
        yield task_id, (last - first).total_seconds()
        before = last
    yield "until the run ends", (ended_at - before).total_seconds()
    yield "**from trigger to green**", (ended_at - triggered_at).total_seconds()


if __name__ == "__main__":
    main()
