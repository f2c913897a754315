"""The operator that lists an S3 bucket and publishes the objects to copy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from operators.base import CopyOperator
from operators.hand_over import SUMMARY_KEY, ListingResult
from operators.links import DestinationLink, LogsLink, logs_url
from operators.live_progress import LiveProgress
from operators.parameters import as_bool, choice, whole
from operators.plan_record import prices_of_task, record_plan, show_plan
from operators.run_identity import RunIdentity
from operators.run_selection import run_selection
from operators.run_source import RunSource
from operators.siblings import refuse_when_closed, sibling
from operators.stored_cursor import StoredCursor
from transfer.limits import MIB, PART_SIZE_MIB, WORKERS
from transfer.records.layout import STATE_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from hooks.assembly import Destination
    from transfer.config import Mode
    from transfer.event_log import EventLog
    from transfer.listing.cursor import ListingCursor
    from transfer.listing.publish import ListingJob, ListingSummary
    from transfer.model import DestinationObject
    from transfer.planning.plan import Plan
    from transfer.records.listing_record import ListingRecord


class S3ListToPubSubOperator(CopyOperator):
    """Lists source and destination side by side, publishes the objects to copy, and writes the manifest.

    Returns one dict for each worker slot, for `CloudfrontToGcsWorker.expand(slot=…)`: as many as the work needs, at most
    `workers`, and none if there is nothing to copy. The XCom `summary` (`operators.hand_over.ListingResult`) has the listing's
    name and counts.

    With `mode=plan` nothing is published and no slot is returned: the XCom `plan`, plan.json among the run's records, and a
    table in the log report what a copy would do and cost. With `mode=verify` nothing is published either: the manifest has
    all objects as the source lists them, for the reconciliation to compare.

    A complete listing remains valid until the run is reopened: cleared alone, the task returns the same result again.

    Takes the parameters of `operators.base.CopyOperator`, and these:

    :param run: the result of `OpenTransferRunOperator`.
    :param close_task: the task id of `CloseTransferRunOperator`.
    :param mode: `transfer`, `plan` or `verify`.
    :param source_listing: the URI of an S3 Inventory or a manifest that takes the place of a listing; empty to list S3.
    :param topic: the topic to publish to.
    :param workers: the most worker slots, 1 to 64.
    :param overwrite: how to treat an object that already exists: `changed`, `never` or `always`.
    :param selection: which objects to copy, by the fields of `hooks.selection`; it applies to those of an earlier run, too.
    :param only_failed: the run id of an earlier run of this DAG, or `last`: publishes the objects that it left unfinished, as
        it listed them, without listing S3. Empty to list S3.
    :param plan_run: the run id of an earlier run with `mode=plan`, or `last`: publishes the objects that it planned to copy,
        without listing S3. Objects that were written to the destination since then are not overwritten. Empty to list S3.
    :param part_size_mib: the same value as for the workers; a plan counts requests by it.
    :param allow_empty: whether the task succeeds without objects, or with none that can be copied (not selected, or archived).
    :param aws_conn_id: the AWS connection that may list the bucket.
    :param log_name: the Cloud Logging log for events; empty for none.
    :param is_verbose: whether each published message is an event.
    :raises AirflowFailException: no objects, a missing bucket, refused credentials, a listing out of order, or an earlier run
        without records.
    """

    template_fields: Sequence[str] = (
        *CopyOperator.template_fields,
        "run",
        "mode",
        "source_listing",
        "topic",
        "workers",
        "overwrite",
        "selection",
        "only_failed",
        "plan_run",
        "part_size_mib",
        "allow_empty",
        "aws_conn_id",
        "log_name",
        "is_verbose",
    )
    operator_extra_links = (DestinationLink(), LogsLink())
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        run: Mapping[str, Any] | XComArg | None,
        topic: str,
        close_task: str = "close_run",
        mode: str = "transfer",
        source_listing: str = "",
        workers: int | str = WORKERS.default,
        overwrite: str = "changed",
        selection: Mapping[str, str] | None = None,
        only_failed: str = "",
        plan_run: str = "",
        part_size_mib: int | str = PART_SIZE_MIB.default,
        allow_empty: bool | str = False,
        aws_conn_id: str = "aws_default",
        log_name: str | None = None,
        is_verbose: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.close_task = close_task
        self.mode = mode
        self.source_listing = source_listing
        self.topic = topic
        self.workers = workers
        self.overwrite = overwrite
        self.selection = selection or {}
        self.only_failed = only_failed
        self.plan_run = plan_run
        self.part_size_mib = part_size_mib
        self.allow_empty = allow_empty
        self.aws_conn_id = aws_conn_id
        self.log_name = log_name
        self.is_verbose = is_verbose

    def work(self, context: Context) -> list[dict[str, Any]]:
        """List, publish, and return the worker slots."""
        source, run = RunSource.of(self), RunIdentity.of(self.run, sibling(context["ti"], self.open_task))
        events = self.event_log(self.log_name, run, is_verbose=as_bool(self.is_verbose))
        self.show_links(
            context, {LogsLink: logs_url(self.gcp_conn_id, self.gcp_project, self.log_name, run.transfer_id)}
        )
        with self.engine_errors(events):
            workers = whole("workers", self.workers)
            record, plan = self._listed(context, source, run, events)
        return self._hand_over(context, source, run, record, plan, workers=workers)

    def _listed(
        self, context: Context, source: RunSource, run: RunIdentity, events: EventLog
    ) -> tuple[ListingRecord, dict[str, Any] | None]:
        """The complete listing of this opening, which is the recorded one or a new one, with the plan if there is one."""
        from transfer.records.layout import PLAN_JSON
        from transfer.records.listing_record import read_listing

        state = self.state(run)
        earlier = read_listing(state)
        if earlier is not None and earlier.is_complete and earlier.transfer_id == run.transfer_id:
            self.log.info("this run has already been listed since it was opened; keeping that listing")
            return earlier, json.loads(state.read(PLAN_JSON)) if self.mode == "plan" else None
        refuse_when_closed(context["ti"], self.close_task)
        return self._list(context, source, run, events)

    def _list(
        self, context: Context, source: RunSource, run: RunIdentity, events: EventLog
    ) -> tuple[ListingRecord, dict[str, Any] | None]:
        """List the source, publish the objects to copy, and record the listing and the plan."""
        from transfer.records.listing_record import ListingRecord

        state = self.state(run)
        stored = StoredCursor(state, self)
        # Other listings cannot resume: the counts of a plan are in memory only, and a list has to be sorted again.
        is_resumable = self.mode == "transfer" and source.is_listed_in_s3
        cursor = stored.load() if is_resumable else None
        listing = cursor.listing if cursor else run.listing_name(context["ti"].try_number)
        if cursor:
            self.log.info(
                "an earlier attempt listed and published %s objects; continuing after them", f"{cursor.counts.listed:,}"
            )
        ListingRecord(transfer_id=run.transfer_id, mode=self.mode, listing=listing).write(state)
        with stored.forgotten_when_refused():
            summary, plan = self._publish(
                context, source, run, listing, events, cursor=cursor, on_cursor=stored.save if is_resumable else None
            )
        if source.is_nothing(summary, self.mode) and not as_bool(self.allow_empty):
            raise AirflowFailException(source.why_nothing(summary))
        counts = summary.counts if self.mode == "transfer" else replace(summary.counts, messages=0, message_bytes=0)
        record = ListingRecord(
            transfer_id=run.transfer_id,
            mode=self.mode,
            listing=listing,
            is_complete=True,
            counts=counts,
            skipped_numbers=summary.skipped_numbers,
            began_at_s=summary.began_at_s,
            ended_at_s=time.time(),
        )
        self.log.info(
            "%s objects listed (%s bytes): %s to %s, in %s messages, %s skipped",
            *(f"{count:,}" for count in (counts.listed, counts.listed_bytes, counts.objects)),
            "compare" if self.mode == "verify" else "copy",
            *(f"{count:,}" for count in (counts.messages, counts.skipped)),
        )
        if plan is not None:
            self.log.info("%s", record_plan(plan, run, state))
        record.write(state)
        stored.forget()
        return record, None if plan is None else plan.to_dict()

    def _publish(
        self,
        context: Context,
        source: RunSource,
        run: RunIdentity,
        listing: str,
        events: EventLog,
        *,
        cursor: ListingCursor | None,
        on_cursor: Callable[[ListingCursor], None] | None,
    ) -> tuple[ListingSummary, Plan | None]:
        """List both sides, from the cursor on, and publish the objects to copy, or count them for a plan."""
        from transfer.config import Mode, TransferConfig
        from transfer.listing.publish import Lister
        from transfer.planning.plan import PlanTally
        from transfer.records.manifest import Manifest

        mode = Mode(choice("mode", self.mode))
        prices = prices_of_task() if mode is Mode.PLAN else None
        config = TransferConfig(part_size_bytes=whole("part_size_mib", self.part_size_mib) * MIB)
        destination = self.destination(run, config)
        job = self._job(mode, run, listing)
        job = replace(job, began_at_s=source.begin(run, destination))
        # Where nothing is copied, the tally takes the place of the topic.
        tally = PlanTally(self.naming, config, job.selection.name_filter if job.selection else None)
        lister = Lister(
            job,
            publisher=self.messaging().requests(self.topic, events) if mode is Mode.TRANSFER else tally,
            manifest=Manifest(destination.state(run.state_prefix), listing, shards=cursor.shards if cursor else 0),
            cursor=cursor,
            on_cursor=on_cursor,
            on_pair=tally.take if mode is Mode.PLAN else None,
        )
        after, before = (cursor.after, cursor.before) if cursor else ("", "")
        with LiveProgress(context, opening=run.transfer_id) as live:
            summary = lister.run(
                source.objects(run, context["ti"].dag_id, destination, after=after, before=before),
                # With mode=verify the reconciliation lists the destination, once, and compares everything.
                () if mode is Mode.VERIFY else self._destination_objects(destination, after),
                on_report=live.show,
                stop=self.stop,
            )
        if prices is None:
            return summary, None
        return summary, tally.plan(prices, run_id=run.run_id, listing=listing, is_listed_in_s3=source.is_listed_in_s3)

    def _job(self, mode: Mode, run: RunIdentity, listing: str) -> ListingJob:
        from transfer.config import Mode, Overwrite
        from transfer.listing.publish import ListingJob

        return ListingJob(
            run_id=run.transfer_id,
            listing=listing,
            naming=self.naming,
            overwrite=Overwrite.ALWAYS if mode is Mode.VERIFY else Overwrite(choice("overwrite", self.overwrite)),
            selection=run_selection(self.selection, now_s=run.opened_at_s),
            is_planned=bool(self.plan_run) and mode is not Mode.VERIFY,  # a verification ignores planned generations
        )

    def _destination_objects(self, destination: Destination, after: str) -> Iterator[DestinationObject]:
        """The destination's objects after the name of the key `after`."""
        naming = self.naming
        return destination.listing().objects(
            naming.destination_prefix,
            leave_out=STATE_PREFIX,
            is_dated=False,
            after=naming.name_of(after) if after else "",
        )

    def _hand_over(
        self,
        context: Context,
        source: RunSource,
        run: RunIdentity,
        record: ListingRecord,
        plan: dict[str, Any] | None,
        *,
        workers: int,
    ) -> list[dict[str, Any]]:
        """Push the XComs, and return one slot for each worker."""
        result = ListingResult(
            run=run,
            listing=record.listing,
            messages=record.counts.messages,
            skipped_numbers=record.skipped_numbers,
            objects=record.counts.objects,
            bytes=record.counts.size_bytes,
            mode=self.mode,
            listed=record.counts.listed,
            skipped=record.counts.skipped,
            began_at_s=record.began_at_s,
            ended_at_s=record.ended_at_s,
            message_bytes=record.counts.message_bytes,
            is_whole_source=source.is_listed_in_s3,
            allow_empty=as_bool(self.allow_empty),
            workers=workers,
        )
        context["ti"].xcom_push(key=SUMMARY_KEY, value=result.to_dict())
        if plan is not None:
            show_plan(plan, self.state(run), context["ti"])
        if self.mode != "transfer":
            return []
        return result.slots(workers)
