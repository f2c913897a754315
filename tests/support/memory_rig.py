"""The engine in a separate process, with a source that serves a sparse file and a sink that keeps checksums only."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import google_crc32c
from google.cloud import pubsub_v1

from benchmarks.engine import ACK_DEADLINE_S, PROJECT, Engine, EngineTask
from benchmarks.measure import peak_rss_bytes, run_module
from benchmarks.servers import Processes
from benchmarks.source import Content
from benchmarks.workloads import BUCKET, Workload
from transfer.backends.pubsub.topics import (
    PubSubFailures,
    PubSubQueue,
    PubSubRequests,
    create_subscription,
    ensure_topic,
)
from transfer.event_log import NoEventLog
from transfer.listing.publish import ListingSummary
from transfer.records.listing_record import ListingCounts

MIB = 1024 * 1024
PART = 64 * MIB
RUN, FOLDER = "memory-run", "zeros"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/{RUN}"
TOPIC, ERROR_TOPIC = f"projects/{PROJECT}/topics/bench", f"projects/{PROJECT}/topics/bench-errors"
TIMEOUT_S = 300.0


@dataclass(frozen=True, kw_only=True)
class MemoryRig:
    """Servers with `count` objects of zeros."""

    task: EngineTask
    count: int
    environment: dict[str, str]

    def copied(self) -> dict[str, float]:
        """Copy all objects by lanes alone; the bytes and seconds that it took."""
        return run_module("benchmarks.engine", {**asdict(self.task), "is_bare": True}, self.environment, TIMEOUT_S)

    def lister_peak_bytes(self) -> int:
        """List and publish all objects in a separate process; its peak memory in bytes."""
        ensure_topic(pubsub_v1.PublisherClient(), TOPIC)
        return self._peak_bytes("list", asdict(self.task))

    def worker_peak_bytes(self) -> int:
        """List all objects here, and copy them by a worker in a separate process; its peak memory in bytes."""
        publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
        for topic in (TOPIC, ERROR_TOPIC):
            ensure_topic(publisher, topic)
        create_subscription(subscriber, SUBSCRIPTION, topic=TOPIC, run_id=RUN, ack_deadline_s=ACK_DEADLINE_S)
        counts = Engine(self.task)._list(PubSubRequests(publisher, TOPIC, NoEventLog())).counts
        return self._peak_bytes("work", asdict(self.task), counts.messages, counts.objects, counts.size_bytes)

    def _peak_bytes(self, what: str, *spec: object) -> int:
        done = subprocess.run(
            [sys.executable, __file__, what, json.dumps(spec)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        objects, peak_bytes = map(int, done.stdout.split())
        assert objects == self.count
        return peak_bytes


@contextmanager
def zeros(
    folder: Path, *, size_bytes: int, count: int = 1, threads: int = 16, is_one_put: bool = False, gcs_url: str = ""
) -> Iterator[MemoryRig]:
    """`is_one_put`: whether their ETag is an MD5 rather than one of parts. `gcs_url`: a destination in place of the sink."""
    path = folder / "zeros"
    with path.open("wb") as file:
        file.truncate(size_bytes)
    part = bytes(PART)
    md5 = hashlib.md5(part)
    if is_one_put:
        with path.open("rb") as file:
            etag = hashlib.file_digest(file, "md5").hexdigest()
    else:
        parts = size_bytes // PART
        assert parts * PART == size_bytes
        etag = f"{hashlib.md5(md5.digest() * parts).hexdigest()}-{parts}"
    hashes = folder / "hashes.json"
    hashes.write_text(json.dumps({google_crc32c.value(part): md5.hexdigest()}))
    content = Content(Workload(name=FOLDER, count=count, size_bytes=size_bytes), path, etag)
    processes = Processes()
    try:
        source_url = processes.module("benchmarks.source", "--spec", json.dumps([content.to_spec()]))
        task = EngineTask(
            s3_url=source_url,
            edge_url=f"{source_url}/{BUCKET}",
            gcs_url=gcs_url or processes.module("benchmarks.sink", "--hashes", str(hashes)),
            run_id=RUN,
            folder=FOLDER,
            threads=threads,
            part_size_bytes=32 * MIB,
        )
        os.environ["PUBSUB_EMULATOR_HOST"] = processes.module("localcloud.pubsub")
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        yield MemoryRig(task=task, count=count, environment=os.environ | paths)
    finally:
        os.environ.pop("PUBSUB_EMULATOR_HOST", None)
        processes.stop()
        path.unlink()


def main() -> None:
    """One process of `_peak_bytes`: prints how many objects it listed or copied, and its peak memory."""
    tasks: dict[str, Callable[..., int]] = {"list": _list, "work": _work}
    done = tasks[sys.argv[1]](*json.loads(sys.argv[2]))
    print(done, peak_rss_bytes(os.getpid()))


def _list(fields: dict[str, Any]) -> int:
    publisher = PubSubRequests(pubsub_v1.PublisherClient(), TOPIC, NoEventLog())
    return Engine(EngineTask(**fields))._list(publisher).counts.objects


def _work(fields: dict[str, Any], messages: int, objects: int, size_bytes: int) -> int:
    engine = Engine(EngineTask(**fields))
    destination = engine._destination
    engine._destination = replace(destination, config=replace(destination.config, is_ramped=False))
    summary = ListingSummary(counts=ListingCounts(messages=messages, objects=objects, size_bytes=size_bytes))
    worker = engine._worker(
        summary,
        PubSubQueue(pubsub_v1.SubscriberClient(), SUBSCRIPTION, ack_deadline_s=ACK_DEADLINE_S),
        PubSubFailures(pubsub_v1.PublisherClient(), ERROR_TOPIC, run_id=RUN),
    )
    return worker.run().copied


if __name__ == "__main__":
    main()
