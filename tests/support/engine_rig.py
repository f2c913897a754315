"""The engine on the local cloud, without Airflow: what one worker task holds, made by hand."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, storage

from localcloud.edge import EdgeServer
from localcloud.faults import Fault
from localcloud.gcs import GcsServer
from localcloud.pubsub import PubSubServer
from localcloud.s3 import S3Server
from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress, ProgressReporter, TransferStats
from transfer.backends.cloudfront.signing import PublicUrls, UrlAuthorizer
from transfer.backends.cloudfront.source import EdgeSource
from transfer.backends.gcs.client import GcsClient
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.state import GcsListing, GcsState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.gcs.verification import Capabilities
from transfer.backends.http.client import CurlClient
from transfer.backends.http.loop import CurlLoop
from transfer.backends.pubsub.topics import (
    PubSubFailures,
    PubSubQueue,
    PubSubRequests,
    create_subscription,
    ensure_topic,
)
from transfer.backends.s3.keys import S3Keys
from transfer.backends.s3.listing import list_objects
from transfer.config import Overwrite, RetryPolicy, Timeouts, TransferConfig
from transfer.copying.parts import PartsBoard
from transfer.copying.uploads import UploadRecords
from transfer.copying.whole import ObjectCopier, WorkerContext
from transfer.deletion.extraneous import DeletionLimits, Permission
from transfer.deletion.removal import Deleters
from transfer.deletion.sweep import SweepResult, sweep
from transfer.errors import SinkUnavailable, SourceUnavailable, Stage
from transfer.event_log import NoEventLog
from transfer.listing.cursor import ListingCursor
from transfer.listing.publish import Lister, ListingJob, ListingSummary
from transfer.listing.selection import Selection
from transfer.model import DestinationObject, ObjectMeta, TransferOutcome
from transfer.naming import Naming
from transfer.planning.plan import Plan, PlanTally
from transfer.planning.prices import load_prices
from transfer.ports import SourceKeys
from transfer.reconciliation.passes import Republished, run_pass
from transfer.reconciliation.reconcile import PassSettings
from transfer.reconciliation.report import ReconciliationReport
from transfer.reconciliation.run_context import RunContext
from transfer.reconciliation.verdicts import Pass
from transfer.records.in_flight import InFlightMessages
from transfer.records.ledger import Ledger
from transfer.records.listing_record import ListingCounts
from transfer.records.manifest import Manifest
from transfer.records.numbers import parse_ranges
from transfer.retry import Retrier
from transfer.steps import Pause, Step
from transfer.stopping import RECORDS_S, Grace, StopRequest
from transfer.worker.drain import Assignment, Worker

SOURCE, DESTINATION, PROJECT = "source-bucket", "destination-bucket", "test-project"
TOPIC = f"projects/{PROJECT}/topics/requests"
ERROR_TOPIC = f"projects/{PROJECT}/topics/failures"
STATE_PREFIX = ".edgehaul/"


@dataclass
class EngineRig:
    """One run's worth of engine on running servers."""

    s3: S3Server
    edge: EdgeServer
    gcs: GcsServer
    pubsub: PubSubServer | None = None
    """None where it is in another process, or not needed."""
    run_id: str = "run-1"
    opening: str = ""
    """Which opening of the run its workers belong to; none for a run that nobody closes."""
    authorizer: UrlAuthorizer = field(default_factory=PublicUrls)
    config: TransferConfig = field(
        default_factory=lambda: TransferConfig(
            threads=4,
            part_size_bytes=6 * 1024 * 1024,
            timeouts=Timeouts(connect_s=2, stall_s=2),
            retry=RetryPolicy(attempts=5, base_s=0.01, cap_s=0.1, total_s=20),
        )
    )
    naming: Naming = field(
        default_factory=lambda: Naming(source_prefix="", destination_prefix="", state_prefix=STATE_PREFIX)
    )
    stop: threading.Event = field(default_factory=StopRequest)
    capabilities: Capabilities = field(default_factory=Capabilities)
    selection: Selection | None = None
    listed: int = 0
    """How many objects the last listing found."""
    user_project: str = ""
    token: GoogleToken = field(default_factory=lambda: GoogleToken(AnonymousCredentials()))
    progress: Progress = field(default_factory=Progress)
    """Of the last `move`."""

    # Each client is made when it is first used: a process that needs one of them does not pay for all.

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.s3.url,
            aws_access_key_id=self.s3.access_key_id,
            aws_secret_access_key=self.s3.secret_access_key,
            region_name=self.s3.region,
        )

    @cached_property
    def storage(self) -> storage.Client:
        return storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.gcs.url}
        )

    @cached_property
    def publisher(self) -> pubsub_v1.PublisherClient:
        return pubsub_v1.PublisherClient()

    @cached_property
    def subscriber(self) -> pubsub_v1.SubscriberClient:
        return pubsub_v1.SubscriberClient()

    @property
    def subscription(self) -> str:
        return f"projects/{PROJECT}/subscriptions/{self.run_id}"

    @property
    def error_subscription(self) -> str:
        return f"{self.subscription}-errors"

    @property
    def state_prefix(self) -> str:
        """Where this run's records are."""
        return f"{STATE_PREFIX}{self.run_id}/"

    @property
    def name_filter(self) -> Callable[[str], bool] | None:
        return self.selection.name_filter if self.selection else None

    def open(self, *, ack_deadline_s: int = 10) -> None:
        """Topics and this run's subscriptions."""
        for topic, subscription in ((TOPIC, self.subscription), (ERROR_TOPIC, self.error_subscription)):
            ensure_topic(self.publisher, topic)
            create_subscription(
                self.subscriber, subscription, topic=topic, run_id=self.run_id, ack_deadline_s=ack_deadline_s
            )

    def put(self, key: str, body: bytes = b"content", **arguments: object) -> None:
        self.client.put_object(Bucket=SOURCE, Key=key, Body=body, **arguments)

    def stored(self, name: str) -> bytes:
        body: bytes = self.storage.bucket(DESTINATION).blob(name).download_as_bytes(raw_download=True)
        return body

    def names(self) -> list[str]:
        """What is at the destination, without the run's own records."""
        blobs = self.storage.list_blobs(DESTINATION)
        return [blob.name for blob in blobs if not blob.name.startswith(STATE_PREFIX)]

    def gcs_client(self) -> GcsClient:
        curl = CurlClient(unavailable=SinkUnavailable, stage=Stage.UPLOAD, timeouts=self.config.timeouts)
        return GcsClient(
            curl, base_url=self.gcs.url, bucket=DESTINATION, token=self.token, user_project=self.user_project
        )

    def queue(self, subscription: str, *, ack_deadline_s: int = 10) -> PubSubQueue:
        return PubSubQueue(self.subscriber, subscription, ack_deadline_s=ack_deadline_s, stop=self.stop)

    def retrier(self) -> Retrier:
        return Retrier(self.config.retry)

    def state(self) -> GcsState:
        return GcsState(self.gcs_client(), self.retrier(), Grace(self.stop, RECORDS_S), prefix=self.state_prefix)

    def destination_listing(self) -> GcsListing:
        return GcsListing(self.gcs_client(), self.retrier(), self.stop)

    def mover(self, share: WorkerContext) -> ObjectCopier:
        pacer = share.pacer
        curl = CurlClient(
            unavailable=SourceUnavailable,
            stage=Stage.DOWNLOAD,
            timeouts=self.config.timeouts,
            book=pacer.request_wait_s,
        )
        source = EdgeSource(
            curl,
            base_url=self.edge.url,
            prefix=self.naming.source_prefix,
            authorizer=self.authorizer,
            wait_for=pacer.bytes_wait_s if pacer.has_bandwidth_limit else None,
        )
        sink = GcsSink(self.gcs_client(), self.capabilities)
        retrier = Retrier(self.config.retry, on_slow=pacer.slowed, others_pass=pacer.others_pass)
        return ObjectCopier(
            source,
            sink,
            naming=self.naming,
            retrier=retrier,
            config=self.config,
            records=UploadRecords(sink, self.state_prefix, retrier, opening=self.opening),
            share=share,
        )

    def move(self, item: ObjectMeta, *, lanes: int = 1) -> TransferOutcome:
        """One object, alone; further lanes lend a hand."""
        self.progress = Progress()
        share = WorkerContext(progress=self.progress, pacer=Pacer(self.config), board=PartsBoard())
        outcomes: list[TransferOutcome] = []

        def move() -> Step[None]:
            outcomes.append((yield from self.mover(share).move(item)))

        def help_out() -> Step[None]:
            mover = self.mover(share)
            while not outcomes:
                if not (yield from mover.help()):
                    yield Pause(0.01)

        CurlLoop(self.stop).run([move(), *(help_out() for _ in range(lanes - 1))])
        return outcomes[0]

    def list(
        self,
        *,
        overwrite: Overwrite = Overwrite.CHANGED,
        listing: str = "1",
        planned: Iterable[ObjectMeta] | None = None,
        is_planned: bool | None = None,
        cursor: ListingCursor | None = None,
        on_cursor: Callable[[ListingCursor], None] | None = None,
        shard_lines: int = 50_000,
        began_at_s: float = 0.0,
    ) -> ListingSummary:
        after, before = (cursor.after, cursor.before) if cursor else ("", "")
        source = list_objects(
            self.client, SOURCE, self.naming.source_prefix, after=after, before=before, stop=self.stop
        )
        job = self.listing_job(
            listing,
            overwrite,
            is_planned=planned is not None if is_planned is None else is_planned,
            began_at_s=began_at_s,
        )
        lister = Lister(
            job,
            publisher=PubSubRequests(self.publisher, TOPIC, NoEventLog(), stop=self.stop),
            manifest=Manifest(self.state(), listing, shard_lines=shard_lines, shards=cursor.shards if cursor else 0),
            cursor=cursor,
            on_cursor=on_cursor,
        )
        summary = lister.run(
            source if planned is None else planned,
            self.destination_listing().objects(
                self.naming.destination_prefix,
                leave_out=STATE_PREFIX,
                after=self.naming.name_of(after) if after else "",
            ),
            reporter=silent_reporter(),
            stop=self.stop,
        )
        self.listed = summary.counts.listed
        return summary

    def listing_job(self, listing: str, overwrite: Overwrite, **fields: Any) -> ListingJob:
        return ListingJob(
            run_id=self.run_id,
            listing=listing,
            naming=self.naming,
            overwrite=overwrite,
            selection=self.selection,
            **fields,
        )

    def compare(self, *, listing: str = "1") -> ReconciliationReport:
        """What `mode=verify` does: no topic is there to publish to."""
        self.list_to_compare(listing=listing)
        return self.reconcile(Pass.COMPARE, listing=listing)

    def list_to_compare(self, *, listing: str = "1") -> int:
        """The listing of `mode=verify`; how many objects there are."""
        lister = Lister(
            self.listing_job(listing, Overwrite.ALWAYS),
            publisher=PlanTally(self.naming, self.config),
            manifest=Manifest(self.state(), listing),
        )
        source = list_objects(self.client, SOURCE, self.naming.source_prefix)
        self.listed = lister.run(source, (), reporter=silent_reporter(), stop=self.stop).counts.listed
        return self.listed

    def sweep(
        self,
        may: Permission,
        *,
        listed: int,
        listing: str = "1",
        began_at_s: float = math.inf,
        max_percent: float = 100,
        max_objects: int = 10_000,
        source: SourceKeys | None = None,
        attempt: int = 1,
        destination: Iterable[DestinationObject] | None = None,
    ) -> SweepResult:
        """What the task `delete_extraneous` does once it is permitted; everything at the destination counts as old."""
        listed_there = self.destination_listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX)
        return sweep(
            may,
            replace(self.context(listing=listing, attempt=attempt), listed=listed),
            destination=listed_there if destination is None else destination,
            source=source or S3Keys(self.client, SOURCE, stop=self.stop),
            deleters=Deleters(
                lanes=[(GcsSink(self.gcs_client()), self.retrier()) for _ in range(3)],
                new_loop=lambda: CurlLoop(self.stop),
            ),
            limits=DeletionLimits(max_percent=max_percent, max_objects=max_objects),
            began_at_s=began_at_s,
        )

    def plan(self, *, overwrite: Overwrite = Overwrite.CHANGED, listing: str = "1") -> Plan:
        """What `mode=plan` does: no topic is there to publish to."""
        tally = PlanTally(self.naming, self.config, self.name_filter)
        lister = Lister(
            self.listing_job(listing, overwrite),
            publisher=tally,
            manifest=Manifest(self.state(), listing),
            on_pair=tally.take,
        )
        lister.run(
            list_objects(self.client, SOURCE, self.naming.source_prefix),
            self.destination_listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX),
            reporter=silent_reporter(),
            stop=self.stop,
        )
        return tally.plan(load_prices(), run_id=self.run_id, listing=listing, is_listed_in_s3=True)

    def worker(
        self,
        summary: ListingSummary | Republished,
        *,
        name: str = "w0",
        attempt: int = 1,
        listing: str = "1",
        ack_deadline_s: int = 10,
    ) -> Worker:
        amount = summary.counts if isinstance(summary, ListingSummary) else summary
        return Worker(
            Assignment(
                run_id=self.run_id,
                listing=listing,
                source_bucket=SOURCE,
                destination_bucket=DESTINATION,
                messages=amount.messages,
                skipped_numbers=tuple(parse_ranges(getattr(summary, "skipped_numbers", ""))),
                objects=amount.objects,
                bytes=amount.size_bytes if isinstance(amount, ListingCounts) else amount.bytes,
            ),
            queue=self.queue(self.subscription, ack_deadline_s=ack_deadline_s),
            failures=PubSubFailures(self.publisher, ERROR_TOPIC, run_id=self.run_id, stop=self.stop),
            ledger=Ledger(self.state(), listing=listing, worker=f"{name}-{attempt}"),
            begun=InFlightMessages(self.state(), listing=listing, slot=name, attempt=attempt),
            new_mover=self.mover,
            new_loop=lambda: CurlLoop(self.stop),
            config=self.config,
            events=NoEventLog(),
            stop=self.stop,
        )

    def reconcile(
        self, which: Pass = Pass.FINAL, *, listing: str = "1", attempt: int = 1, may_replace: bool = True
    ) -> ReconciliationReport:
        return self.one_pass(which, listing=listing, attempt=attempt, may_replace=may_replace)[0]

    def one_pass(
        self, which: Pass, *, listing: str = "1", attempt: int = 1, may_replace: bool = True, is_reopened: bool = False
    ) -> tuple[ReconciliationReport, Republished]:
        queue = self.queue(self.error_subscription)
        return run_pass(
            self.context(listing=listing, attempt=attempt),
            PassSettings(which=which, may_replace=may_replace, has_extras=True),
            destination=self.destination_listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX),
            errors=None if is_reopened else queue,
            publisher=PubSubRequests(self.publisher, TOPIC, NoEventLog(), stop=self.stop),
        )

    def context(self, *, listing: str = "1", attempt: int = 1) -> RunContext:
        """What the steps after the copying know of the run."""
        return RunContext(
            run_id=self.run_id,
            transfer_id=self.run_id,
            state=self.state(),
            naming=self.naming,
            listing=listing,
            listed=self.listed,
            attempt=attempt,
            name_filter=self.name_filter,
        )

    def report(self) -> ReconciliationReport:
        return ReconciliationReport.decode(self.state().read("report.json"))

    def s3_lists(self) -> int:
        """Listing requests that S3 has answered."""
        return sum(count for name, count in self.s3.requests().items() if name.startswith("GET bucket"))

    def copy_all(self) -> tuple[TransferStats, ReconciliationReport]:
        """Open, list, drain with one worker, reconcile."""
        self.open()
        stats = self.worker(self.list()).run()
        return stats, self.reconcile()


def silent_reporter() -> ProgressReporter:
    return ProgressReporter(Progress(), lambda stats: None)


def fault(match: str, action: str, **fields: object) -> Fault:
    return Fault(match=match, action=action, **fields)  # type: ignore[arg-type]


@contextmanager
def engine_rig(folder: Path, set_variable: Callable[[str, str], None], **fields: object) -> Iterator[EngineRig]:
    """A rig on fresh servers; `set_variable` is monkeypatch.setenv."""
    s3 = S3Server(buckets=[SOURCE])
    s3.start()
    gcs = GcsServer(folder / "gcs", buckets=[DESTINATION])
    gcs.start()
    pubsub = PubSubServer(None)
    pubsub.start()
    edge = EdgeServer(
        s3.url,
        SOURCE,
        access_key_id=s3.access_key_id,
        secret_access_key=s3.secret_access_key,
        restrict=False,
    )
    edge.start()
    set_variable("PUBSUB_EMULATOR_HOST", pubsub.url)
    try:
        yield EngineRig(s3=s3, edge=edge, gcs=gcs, pubsub=pubsub, **fields)  # type: ignore[arg-type]
    finally:
        for server in (edge, pubsub, gcs, s3):
            server.stop()
