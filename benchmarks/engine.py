"""Our side, as one worker task runs it without Airflow: queue → worker → ledger, or the bare data path.

It runs as a separate process, which reads a task from standard input and prints its numbers as the last line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

from benchmarks.measure import Meter, PeerFailed
from benchmarks.workloads import BUCKET, DESTINATION
from hooks.assembly import Destination, Edge, GcsEndpoint
from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.pubsub.topics import (
    PubSubFailures,
    PubSubQueue,
    PubSubRequests,
    create_subscription,
    delete_subscription,
    ensure_topic,
)
from transfer.backends.s3.listing import list_objects
from transfer.config import Overwrite, TransferConfig
from transfer.copying.parts import PartsBoard
from transfer.copying.whole import ObjectCopier, WorkerContext
from transfer.event_log import NoEventLog
from transfer.listing.publish import Lister, ListingJob, ListingSummary
from transfer.model import Copied, ObjectMeta, TransferOutcome
from transfer.naming import Naming
from transfer.records.layout import STATE_PREFIX
from transfer.records.manifest import Manifest
from transfer.steps import Pause, Step
from transfer.worker.assignment import Assignment
from transfer.worker.drain import Worker
from transfer.worker.lanes import IDLE_S, lanes_per_thread

PROJECT = "bench"
ACK_DEADLINE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTask:
    """One copy of one folder by the engine."""

    s3_url: str
    edge_url: str
    gcs_url: str
    run_id: str
    folder: str
    """The source prefix, without its slash: the workload's name."""
    threads: int
    part_size_bytes: int
    edge_query: str = ""
    """What a signed edge accepts for all of the folder: one signature, as in the pipeline."""
    source_bucket: str = BUCKET
    destination_bucket: str = DESTINATION


class _TimedCopier:
    """A copier that notes when the last object was done: the rest of the wall time is settling."""

    def __init__(self, copier: ObjectCopier, done_at_s: list[float]) -> None:
        self._copier = copier
        self._done_at_s = done_at_s

    def copy(self, item: ObjectMeta) -> Step[TransferOutcome]:
        outcome = yield from self._copier.copy(item)
        self._done_at_s[0] = time.perf_counter()
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._copier, name)


@dataclass(frozen=True, kw_only=True)
class _TimedDestination(Destination):
    """The pipeline's own assembly, with copiers that note the time."""

    done_at_s: list[float] = field(default_factory=lambda: [0.0])

    def copier(
        self, edge: Edge, share: WorkerContext, *, naming: Naming, state_prefix: str, opening: str
    ) -> ObjectCopier:
        copier = super().copier(edge, share, naming=naming, state_prefix=state_prefix, opening=opening)
        return _TimedCopier(copier, self.done_at_s)  # type: ignore[return-value]  # the same but for the clock


@dataclass(frozen=True, slots=True)
class _GivenQuery:
    """A `UrlAuthorizer` by a signature made before."""

    text: str

    def query(self, escaped_prefix: str) -> str:
        return self.text

    def renew(self, escaped_prefix: str, refused: str) -> bool:
        return False


class Engine:
    """A run's listing and worker, by the assembly that the hooks use."""

    def __init__(self, task: EngineTask) -> None:
        self._task = task
        self._state_prefix = f"{STATE_PREFIX}{task.run_id}/"
        self._naming = Naming(
            source_prefix=f"{task.folder}/", destination_prefix=f"{task.run_id}/", state_prefix=STATE_PREFIX
        )
        self._edge = Edge(base_url=task.edge_url, authorizer=_GivenQuery(task.edge_query))
        self._destination = _TimedDestination(
            endpoint=GcsEndpoint(base_url=task.gcs_url, token=GoogleToken(AnonymousCredentials())),
            bucket=task.destination_bucket,
            config=TransferConfig(threads=task.threads, part_size_bytes=task.part_size_bytes),
        )
        self._s3 = boto3.client(
            "s3",
            endpoint_url=task.s3_url,
            aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "bench"),
            aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "bench"),
            region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        )

    def worker_run(self) -> dict[str, float]:
        """List and publish, then drain with one worker; the numbers of both."""
        task = self._task
        publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
        topic, errors = f"projects/{PROJECT}/topics/bench", f"projects/{PROJECT}/topics/bench-errors"
        subscription = f"projects/{PROJECT}/subscriptions/{task.run_id}"
        for name in (topic, errors):
            ensure_topic(publisher, name)
        create_subscription(subscriber, subscription, topic=topic, run_id=task.run_id, ack_deadline_s=ACK_DEADLINE_S)
        meter = Meter()
        summary = self._list(PubSubRequests(publisher, topic, NoEventLog()))
        listing = meter.stop()
        worker = self._worker(
            summary,
            PubSubQueue(subscriber, subscription, ack_deadline_s=ACK_DEADLINE_S),
            PubSubFailures(publisher, errors, run_id=task.run_id),
        )
        meter, begun_s = Meter(), time.perf_counter()
        stats = worker.run()
        usage = meter.stop()
        delete_subscription(subscriber, subscription)
        if stats.copied != summary.counts.objects:
            raise PeerFailed(f"{stats.copied} of {summary.counts.objects} objects were copied: {stats}")
        return {
            **usage.to_json(),
            "objects": summary.counts.objects,
            "bytes": summary.counts.size_bytes,
            "list_wall_s": listing.wall_s,
            "list_cpu_s": listing.cpu_s,
            "copied_s": self._destination.done_at_s[0] - begun_s,
        }

    def bare_run(self) -> dict[str, float]:
        """Copiers on lanes over a list in memory: no queue, no ledger."""
        items = list(self._source())
        position = iter(items)
        lock = threading.Lock()
        share = WorkerContext(progress=Progress(), pacer=Pacer(self._destination.config), board=PartsBoard())
        copied = 0

        def lane() -> Step[None]:
            nonlocal copied
            copier = self._copier(share)
            while copied < len(items):
                with lock:
                    item = next(position, None)
                if item is None:
                    if not (yield from copier.help()):
                        yield Pause(IDLE_S)
                    continue
                outcome = yield from copier.copy(item)
                with lock:
                    copied += isinstance(outcome, Copied)

        size_bytes = sum(item.size_bytes for item in items)
        counts = lanes_per_thread(self._task.threads, objects=len(items), size_bytes=size_bytes)
        meter = Meter()
        loop = self._destination.loop
        with ThreadPoolExecutor(len(counts)) as pool:
            jobs = [pool.submit(loop().run, [lane() for _ in range(count)]) for count in counts]
            for job in jobs:
                job.result()
        usage = meter.stop()
        if copied != len(items):
            raise PeerFailed(f"{copied} of {len(items)} objects were copied")
        return {**usage.to_json(), "objects": len(items), "bytes": size_bytes}

    def _source(self) -> Iterable[ObjectMeta]:
        return list_objects(self._s3, self._task.source_bucket, f"{self._task.folder}/")

    def _list(self, publisher: PubSubRequests) -> ListingSummary:
        job = ListingJob(run_id=self._task.run_id, listing="1", naming=self._naming, overwrite=Overwrite.CHANGED)
        manifest = Manifest(self._destination.state(self._state_prefix), "1")
        return Lister(job, publisher=publisher, manifest=manifest).run(
            self._source(),
            self._destination.listing().objects(self._naming.destination_prefix, leave_out=STATE_PREFIX),
            stop=self._destination.stop,
        )

    def _worker(self, summary: ListingSummary, queue: PubSubQueue, failures: PubSubFailures) -> Worker:
        assignment = Assignment(
            run_id=self._task.run_id,
            listing="1",
            source_bucket=self._task.source_bucket,
            destination_bucket=self._task.destination_bucket,
            messages=summary.counts.messages,
            objects=summary.counts.objects,
            size_bytes=summary.counts.size_bytes,
        )
        return self._destination.worker(
            assignment,
            self._edge,
            naming=self._naming,
            state_prefix=self._state_prefix,
            opening=self._task.run_id,
            slot="w0",
            attempt=1,
            queue=queue,
            failures=failures,
            events=NoEventLog(),
        )

    def _copier(self, share: WorkerContext) -> ObjectCopier:
        return self._destination.copier(
            self._edge, share, naming=self._naming, state_prefix=self._state_prefix, opening=self._task.run_id
        )


def main() -> None:
    """Run one task."""
    logging.basicConfig(level=logging.WARNING)
    fields: dict[str, Any] = json.load(sys.stdin)
    is_bare = fields.pop("is_bare")
    engine = Engine(EngineTask(**fields))
    print(json.dumps(engine.bare_run() if is_bare else engine.worker_run()))


if __name__ == "__main__":
    main()
