"""The engine on the local cloud, without Airflow, assembled as the hooks assemble it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from google.auth.credentials import AnonymousCredentials

from hooks.assembly import Destination, Edge, GcsEndpoint
from rig_servers import DESTINATION, PROJECT, SOURCE, RigServers, running_servers
from rig_servers import fault as fault
from transfer.accounting.pacing import Pacer
from transfer.accounting.progress import Progress, TransferStats
from transfer.backends.cloudfront.signing import PublicUrls, UrlAuthorizer
from transfer.backends.gcs.client import GcsClient
from transfer.backends.gcs.state import GcsListing, GcsState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.gcs.verification import Capabilities
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
from transfer.copying.whole import ObjectCopier, WorkerContext
from transfer.deletion.extraneous import DeletionLimits, Permission
from transfer.deletion.removal import Deleters
from transfer.deletion.sweep import SweepResult, sweep
from transfer.event_log import NoEventLog
from transfer.listing.cursor import ListingCursor
from transfer.listing.publish import ListingSummary, list_and_publish
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
from transfer.records.layout import STATE_PREFIX
from transfer.records.manifest import Manifest
from transfer.records.numbers import parse_ranges
from transfer.retry import Retrier
from transfer.steps import Pause, Step
from transfer.stopping import StopRequest
from transfer.worker.drain import Assignment, Worker

TOPIC = f"projects/{PROJECT}/topics/requests"
ERROR_TOPIC = f"projects/{PROJECT}/topics/failures"


@dataclass
class EngineRig(RigServers):
    """One run's worth of engine on running servers, assembled as the hooks assemble it."""

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
    stop: StopRequest = field(default_factory=StopRequest)
    capabilities: Capabilities = field(default_factory=Capabilities)
    selection: Selection | None = None
    listed: int = 0
    """How many objects the last listing found."""
    user_project: str = ""
    token: GoogleToken = field(default_factory=lambda: GoogleToken(AnonymousCredentials()))
    progress: Progress = field(default_factory=Progress)
    """Of the last `move`."""

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

    @property
    def destination(self) -> Destination:
        """The destination bucket, as the rig is set now."""
        return Destination(
            endpoint=GcsEndpoint(base_url=self.gcs.url, token=self.token, user_project=self.user_project),
            bucket=DESTINATION,
            config=self.config,
            stop=self.stop,
            capabilities=self.capabilities,
        )

    def gcs_client(self) -> GcsClient:
        return self.destination.client()

    def queue(self, subscription: str, *, ack_deadline_s: int = 10) -> PubSubQueue:
        return PubSubQueue(self.subscriber, subscription, ack_deadline_s=ack_deadline_s, stop=self.stop)

    def retrier(self) -> Retrier:
        return self.destination.retrier()

    def state(self) -> GcsState:
        return self.destination.state(self.state_prefix)

    def destination_listing(self) -> GcsListing:
        return self.destination.listing()

    @property
    def _edge(self) -> Edge:
        return Edge(base_url=self.edge.url, authorizer=self.authorizer)

    def mover(self, share: WorkerContext) -> ObjectCopier:
        return self.destination.copier(
            self._edge, share, naming=self.naming, state_prefix=self.state_prefix, opening=self.opening
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

        self.destination.loop().run([move(), *(help_out() for _ in range(lanes - 1))])
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
        summary = list_and_publish(
            source if planned is None else planned,
            self.destination_listing().objects(
                self.naming.destination_prefix,
                leave_out=STATE_PREFIX,
                after=self.naming.name_of(after) if after else "",
            ),
            naming=self.naming,
            overwrite=overwrite,
            publisher=PubSubRequests(self.publisher, TOPIC, NoEventLog(), stop=self.stop),
            manifest=Manifest(self.state(), listing, shard_lines=shard_lines, shards=cursor.shards if cursor else 0),
            run_id=self.run_id,
            listing=listing,
            progress=Progress(),
            stop=self.stop,
            began_at_s=began_at_s,
            is_planned=planned is not None if is_planned is None else is_planned,
            selection=self.selection,
            cursor=cursor,
            on_cursor=on_cursor,
        )
        self.listed = summary.listed
        return summary

    def compare(self, *, listing: str = "1") -> ReconciliationReport:
        """What `mode=verify` does: no topic is there to publish to."""
        self.list_to_compare(listing=listing)
        return self.reconcile(Pass.COMPARE, listing=listing)

    def list_to_compare(self, *, listing: str = "1") -> int:
        """The listing of `mode=verify`; how many objects there are."""
        self.listed = list_and_publish(
            list_objects(self.client, SOURCE, self.naming.source_prefix),
            (),
            naming=self.naming,
            overwrite=Overwrite.ALWAYS,
            publisher=PlanTally(self.naming, self.config),
            manifest=Manifest(self.state(), listing),
            run_id=self.run_id,
            listing=listing,
            progress=Progress(),
            stop=self.stop,
            selection=self.selection,
        ).listed
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
                lanes=self.destination.sinks(3),
                new_loop=self.destination.loop,
            ),
            limits=DeletionLimits(max_percent=max_percent, max_objects=max_objects),
            began_at_s=began_at_s,
        )

    def plan(self, *, overwrite: Overwrite = Overwrite.CHANGED, listing: str = "1") -> Plan:
        """What `mode=plan` does: no topic is there to publish to."""
        tally = PlanTally(self.naming, self.config, self.name_filter)
        list_and_publish(
            list_objects(self.client, SOURCE, self.naming.source_prefix),
            self.destination_listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX),
            naming=self.naming,
            overwrite=overwrite,
            publisher=tally,
            manifest=Manifest(self.state(), listing),
            run_id=self.run_id,
            listing=listing,
            progress=Progress(),
            stop=self.stop,
            selection=self.selection,
            on_pair=tally.take,
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
        return self.destination.worker(
            Assignment(
                run_id=self.run_id,
                listing=listing,
                source_bucket=SOURCE,
                destination_bucket=DESTINATION,
                messages=summary.messages,
                skipped_numbers=tuple(parse_ranges(getattr(summary, "skipped_numbers", ""))),
                objects=summary.objects,
                bytes=summary.bytes,
            ),
            self._edge,
            naming=self.naming,
            state_prefix=self.state_prefix,
            opening=self.opening,
            slot=name,
            attempt=attempt,
            queue=self.queue(self.subscription, ack_deadline_s=ack_deadline_s),
            failures=PubSubFailures(self.publisher, ERROR_TOPIC, run_id=self.run_id, stop=self.stop),
            events=NoEventLog(),
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

    def copy_all(self) -> tuple[TransferStats, ReconciliationReport]:
        """Open, list, drain with one worker, reconcile."""
        self.open()
        stats = self.worker(self.list()).run()
        return stats, self.reconcile()


@contextmanager
def engine_rig(folder: Path, set_variable: Callable[[str, str], None], **fields: object) -> Iterator[EngineRig]:
    """A rig on fresh servers; `set_variable` is monkeypatch.setenv."""
    with running_servers(folder, set_variable) as servers:
        yield EngineRig(**vars(servers), **fields)  # type: ignore[arg-type]
