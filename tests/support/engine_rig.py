"""The engine on the local cloud, without Airflow, assembled as the hooks assemble it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rig_parts import ERROR_TOPIC, TOPIC, RigParts
from rig_servers import DESTINATION, PROJECT, SOURCE, fault, running_servers
from transfer.accounting.progress import TransferStats
from transfer.backends.pubsub.topics import (
    PubSubFailures,
    PubSubRequests,
)
from transfer.backends.s3.keys import S3Keys
from transfer.backends.s3.listing import list_objects
from transfer.config import Overwrite
from transfer.deletion.extraneous import DeletionLimits, Permission
from transfer.deletion.removal import Deleters
from transfer.deletion.sweep import SweepResult, sweep
from transfer.event_log import NoEventLog
from transfer.listing.cursor import ListingCursor
from transfer.listing.publish import Lister, ListingJob, ListingSummary
from transfer.model import DestinationObject, ObjectMeta
from transfer.planning.plan import Plan, PlanTally
from transfer.planning.prices import load_prices
from transfer.ports import SourceKeys
from transfer.reconciliation.passes import Republished, run_pass
from transfer.reconciliation.reconcile import PassSettings
from transfer.reconciliation.report import ReconciliationReport, read_report
from transfer.reconciliation.run_context import RunContext
from transfer.reconciliation.verdicts import Pass
from transfer.records.layout import STATE_PREFIX
from transfer.records.manifest import Manifest
from transfer.records.numbers import parse_ranges
from transfer.worker.assignment import Assignment
from transfer.worker.drain import Worker

__all__ = [
    "DESTINATION",
    "ERROR_TOPIC",
    "PROJECT",
    "SOURCE",
    "STATE_PREFIX",
    "TOPIC",
    "EngineRig",
    "engine_rig",
    "fault",
]


@dataclass
class EngineRig(RigParts):
    """One run, with what each of its tasks does."""

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
        self.listed = lister.run(source, (), stop=self.stop).counts.listed
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
        lister = Lister(
            self.listing_job(listing, overwrite),
            publisher=tally,
            manifest=Manifest(self.state(), listing),
            on_pair=tally.take,
        )
        lister.run(
            list_objects(self.client, SOURCE, self.naming.source_prefix),
            self.destination_listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX),
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
        on_report: Callable[[TransferStats], None] = lambda stats: None,
    ) -> Worker:
        amount = summary.counts if isinstance(summary, ListingSummary) else summary
        return self.destination.worker(
            Assignment(
                run_id=self.run_id,
                listing=listing,
                source_bucket=SOURCE,
                destination_bucket=DESTINATION,
                messages=amount.messages,
                skipped_numbers=tuple(parse_ranges(getattr(summary, "skipped_numbers", ""))),
                objects=amount.objects,
                size_bytes=amount.size_bytes,
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
            on_report=on_report,
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
        return read_report(self.state())

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
