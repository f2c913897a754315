"""What goes wrong, on purpose: faults of every server, and processes killed at times drawn from a seed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

import grpc

from demo.airflow_api import Run, TaskInstance
from pipeline import Pipeline

POLL_S = 0.4
"""Each question about a run costs the API server some 50 ms of CPU."""
STALE = {"action": "status", "status": 200, "headers": {"ETag": '"stale"', "X-Cache": "Hit from cloudfront"}}


def edge_faults(match: str, probability: float) -> list[dict[str, Any]]:
    """So many of the requests fail, in every way that the edge knows."""
    ways: list[dict[str, Any]] = [
        {"action": "status", "status": 500},
        {"action": "status", "status": 502},
        {"action": "status", "status": 503, "body": "<Error><Code>SlowDown</Code></Error>"},
        {"action": "status", "status": 504},
        {"action": "status", "status": 429, "headers": {"Retry-After": "1"}},
        {"action": "reset"},
        {"action": "reset", "at_byte": 700},
        {"action": "truncate", "at_byte": 300},
        {"action": "corrupt", "at_byte": 1},
        {"action": "stall", "at_byte": 10, "seconds": 1.0},
    ]
    # The first that strikes wins, so each of the later ones is drawn for what the earlier ones left.
    share = probability / len(ways)
    return [{"match": match, "probability": share / (1 - index * share), **way} for index, way in enumerate(ways)]


def gcs_faults(match: str) -> list[dict[str, Any]]:
    """Bursts of 429 and 503, and now and then an upload that is complete while its answer is lost."""
    bursts = [
        {"match": match, "action": "status", "status": status, "after": after, "times": 25}
        for status, after in ((503, 60), (429, 250), (503, 500))
    ]
    return [*bursts, {"match": match, "action": "lose_answer", "probability": 0.03}]


@dataclass
class Chaos:
    """Faults and kills of one seed. Use from one thread."""

    pipeline: Pipeline
    seed: int
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def faults(self, url: str, *faults: dict[str, Any]) -> None:
        """Put a plan in place on an HTTP server of the local cloud."""
        body = json.dumps({"seed": self.seed, "faults": faults}).encode()
        urlopen(Request(f"{url}/_localcloud/faults", data=body, method="PUT"), timeout=10).close()

    def hits(self, url: str) -> Counter[str]:
        """How often each fault of a server's plan has struck."""
        with urlopen(f"{url}/_localcloud/faults", timeout=10) as answer:
            faults = json.load(answer)["faults"]
        return Counter({json.dumps(item | {"hits": None}): item["hits"] for item in faults})

    def pubsub(self, **chaos: Any) -> None:
        """Duplicates and another order, or nothing of it."""
        self._ask_pubsub("Chaos", {"seed": self.seed, **chaos})

    def publish_requests(self) -> int:
        """How many publish requests Pub/Sub has answered."""
        return int(self._ask_pubsub("Requests", None).get("Publish OK", 0))

    def _ask_pubsub(self, method: str, document: object) -> dict[str, Any]:
        body = b"" if document is None else json.dumps(document).encode()
        with grpc.insecure_channel(self.pipeline.cloud.pubsub_host) as channel:
            call: Any = channel.unary_unary(f"/localcloud.Control/{method}")
            return dict(json.loads(call(body, timeout=10)))

    def calm(self) -> None:
        """Nothing fails any more."""
        cloud = self.pipeline.cloud
        for url in (cloud.s3_url, cloud.edge_url, cloud.public_edge_url, cloud.gcs_url):
            self.faults(url)
        self.pubsub(duplicate_probability=0.0, reorder=False)

    def kill(self, run: Run, task_id: str, map_index: int = -1) -> bool:
        """SIGKILL the process that runs a task now; whether there was one."""
        task = self._running(run, task_id, map_index)
        if task is None or task.pid is None:
            return False
        try:
            os.kill(task.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def is_running(self, run: Run, task_id: str, map_index: int = -1) -> bool:
        """Whether a task has a process of its own now."""
        return self._running(run, task_id, map_index) is not None

    def kill_when_running(self, run: Run, task_id: str, *, after_s: float, timeout_s: float = 120) -> None:
        """SIGKILL a task's first try, so long after it began; it must not have ended by then."""
        self.until(lambda: self.is_running(run, task_id), f"{task_id} to run", timeout_s)
        time.sleep(after_s)
        assert self.kill(run, task_id), f"{task_id} ended before it could be killed"

    def until(self, holds: Callable[[], object], what: str, timeout_s: float = 120) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
            time.sleep(POLL_S)

    def _running(self, run: Run, task_id: str, map_index: int) -> TaskInstance | None:
        for task in self.pipeline.airflow.task_instances(run):
            if (task.task_id, task.map_index, task.state) == (task_id, map_index, "running") and task.pid:
                return task
        return None
