"""One run of one contender on one workload, measured, and checked at the sink."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import urllib.request
from dataclasses import dataclass, field

from benchmarks.measure import REPOSITORY, PeerFailed, run_module, run_program, servers_cpu_s
from benchmarks.peers import PYTHON_PEERS, rclone_command
from benchmarks.servers import Endpoints
from benchmarks.workloads import MIB, Workload

RUN_TIMEOUT_S = 600.0
ENGINE, BARE, RCLONE, RCLONE_CHECKED = "engine", "engine data path", "rclone", "rclone, checks on"
CONTENDERS = (ENGINE, BARE, RCLONE, RCLONE_CHECKED, *PYTHON_PEERS)

_TOOL_RUN = secrets.token_hex(4)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of one contender cost."""

    objects: int
    bytes: int
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    servers_cpu_s: float
    extra: dict[str, float] = field(default_factory=dict)
    """The engine's listing, and when its last object was done."""

    @property
    def objects_per_s(self) -> float:
        """Objects in a second of wall time."""
        return self.objects / self.wall_s

    @property
    def mib_per_s(self) -> float:
        """MiB in a second of wall time."""
        return self.bytes / MIB / self.wall_s

    @property
    def cpu_us_per_object(self) -> float:
        """User and system CPU, in microseconds."""
        return self.cpu_s * 1e6 / self.objects

    @property
    def cpu_s_per_gib(self) -> float:
        """User and system CPU, in seconds."""
        return self.cpu_s / (self.bytes / 1024**3)


def run_once(contender: str, workload: Workload, endpoints: Endpoints, *, threads: int, part_size_bytes: int) -> Sample:
    """Run it once. Raises PeerFailed when it fails, or when the sink did not get every byte."""
    run_id = f"bench-{_TOOL_RUN}-{next(_numbers)}"
    _reset(endpoints)
    before_s = servers_cpu_s(endpoints.pids)
    if contender in (RCLONE, RCLONE_CHECKED):
        numbers = _rclone(contender, workload, endpoints, run_id, threads)
    else:
        numbers = _python(contender, workload, endpoints, run_id, threads, part_size_bytes)
    servers_s = servers_cpu_s(endpoints.pids) - before_s
    _check(workload, endpoints, contender)
    known = ("wall_s", "cpu_s", "peak_rss_bytes", "objects", "bytes")
    return Sample(
        objects=workload.count,
        bytes=workload.total_bytes,
        wall_s=numbers["wall_s"],
        cpu_s=numbers["cpu_s"],
        peak_rss_bytes=int(numbers["peak_rss_bytes"]),
        servers_cpu_s=servers_s,
        extra={name: value for name, value in numbers.items() if name not in known},
    )


def _rclone(contender: str, workload: Workload, endpoints: Endpoints, run_id: str, threads: int) -> dict[str, float]:
    command = rclone_command(
        endpoints.s3_url,
        endpoints.gcs_url,
        f"{endpoints.source_bucket}/{workload.name}",
        f"{endpoints.destination_bucket}/{run_id}",
        threads=threads,
        is_checked=contender == RCLONE_CHECKED,
    )
    return run_program(command, os.environ).to_json()


def _python(
    contender: str, workload: Workload, endpoints: Endpoints, run_id: str, threads: int, part_size_bytes: int
) -> dict[str, float]:
    task: dict[str, object] = {
        "s3_url": endpoints.s3_url,
        "edge_url": endpoints.edge_url,
        "edge_query": endpoints.authorizer.query(f"{workload.name}/"),
        "gcs_url": endpoints.gcs_url,
        "run_id": run_id,
        "folder": workload.name,
        "threads": threads,
        "source_bucket": endpoints.source_bucket,
        "destination_bucket": endpoints.destination_bucket,
    }
    if contender in PYTHON_PEERS:
        keys = [workload.key(index) for index in range(workload.count)]
        task |= {"peer": contender, "keys": keys, "size_bytes": workload.size_bytes}
        return run_module("benchmarks.peers", task, _environment(endpoints), RUN_TIMEOUT_S)
    task |= {"is_bare": contender == BARE, "part_size_bytes": part_size_bytes}
    return run_module("benchmarks.engine", task, _environment(endpoints), RUN_TIMEOUT_S)


def _environment(endpoints: Endpoints) -> dict[str, str]:
    """The settings of every Python contender: the four endpoints, and Airflow connections that lead there."""
    home = REPOSITORY / ".local" / "bench-airflow"
    keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    keys |= {name: os.environ[name] for name in keys if name in os.environ}
    aws = {
        "conn_type": "aws",
        "login": keys["AWS_ACCESS_KEY_ID"],
        "password": keys["AWS_SECRET_ACCESS_KEY"],
        "extra": {"endpoint_url": endpoints.s3_url, "region_name": keys["AWS_DEFAULT_REGION"]},
    }
    google = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "bench"}}
    return {
        **os.environ,
        **keys,
        "PYTHONPATH": f"{REPOSITORY}/plugins:{REPOSITORY}",
        "AWS_ENDPOINT_URL_S3": endpoints.s3_url,
        "STORAGE_EMULATOR_HOST": endpoints.gcs_url,
        "PUBSUB_EMULATOR_HOST": endpoints.pubsub_host,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(google),
        "GOOGLE_CLOUD_PROJECT": "bench",
    }


def _reset(endpoints: Endpoints) -> dict[str, int] | None:
    """Empty the discarding sink, and return the counts of its objects; None for another Cloud Storage."""
    if not endpoints.has_counting_sink:
        return None
    with urllib.request.urlopen(f"{endpoints.gcs_url}/bench/reset") as answer:  # noqa: S310 - loopback
        held: dict[str, int] = json.loads(answer.read())
    return held


def _check(workload: Workload, endpoints: Endpoints, contender: str) -> None:
    held = _reset(endpoints)
    if held is not None and (held["objects"], held["bytes"]) != (workload.count, workload.total_bytes):
        raise PeerFailed(f"{contender}: the sink has {held} of {workload.count} objects, {workload.total_bytes} bytes")
