"""List an S3 bucket and publish what has to move."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from operators.base import CopyOperator
from operators.hand_over import PLAN_KEY, SUMMARY_KEY, ListingResult
from operators.links import DestinationLink, LogsLink, logs_url
from operators.live_progress import LiveProgress
from operators.parameters import as_bool, choice, whole
from operators.run_identity import RunIdentity
from operators.run_selection import run_selection
from operators.run_source import RunSource
from operators.siblings import refuse_when_closed, sibling
from operators.stored_cursor import StoredCursor
from transfer.limits import MIB, PART_SIZE_MIB, WORKERS
from transfer.records.layout import STATE_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from transfer.event_log import EventLog
    from transfer.listing.cursor import ListingCursor
    from transfer.listing.publish import ListingSummary
    from transfer.planning.plan import Plan
    from transfer.ports import StateStore
    from transfer.records.listing_record import ListingRecord

PRICES_VARIABLE = "EDGEHAUL_PRICES"
"""Names a price file of your own, on the machine of the task, in place of the list prices."""


class S3ListToPubSubOperator(CopyOperator):
    """Marches the source listing against the destination's, publishes what has to move, and writes the manifest.

    Returns one dict for each worker slot, for `CloudfrontToGcsWorker.expand(slot=…)`: one for each message to share, at
    least one and at most `workers`. The XCom `summary` holds the identity of the listing and its counts, for the reconciliation.

    With `mode=plan` nothing is published and no slot is returned: the XCom `plan`, plan.json among the run's records and a
    table in the log say what a transfer would do and cost. With `mode=verify` nothing is published either: the manifest has
    all objects as the source lists them, for the reconciliation to compare.

    A listing that came to its end stands until the run is opened anew: cleared alone, the task returns the same again.

    :param run: what `OpenTransferRunOperator` returned.
    :param close_task: the task id of `CloseTransferRunOperator`.
    :param mode: `transfer`, `plan` or `verify`.
    :param source_listing: the URI of an S3 Inventory or a manifest that takes the place of a listing; empty for a listing.
    :param topic: the topic to publish to.
    :param workers: the most worker slots, 1 to 64.
    :param overwrite: what to do with an object that is there: `changed`, `never` or `always`.
    :param selection: which objects are to move, by the fields of `hooks.selection`; it applies to what an earlier run left, too.
    :param only_failed: the run id of an earlier run of this DAG, or `last`: what that run left unfinished is published,
        as it was listed then, and S3 is not listed. Empty for a listing.
    :param plan_run: the run id of an earlier run with `mode=plan`, or `last`: what it planned to move is published, and S3
        is not listed. What somebody else wrote to the destination since is not overwritten. Empty for a listing.
    :param part_size_mib: as the workers have it; a plan counts requests by it.
    :param allow_empty: whether it is a success that there are no objects, or none that can be copied (not selected, archived);
        it is an error otherwise.
    :param log_name: the Cloud Logging log for events; empty for none.
    :param is_verbose: whether each published message is an event.
    :raises AirflowFailException: nothing listed, a missing bucket, credentials refused, a listing out of order, an earlier
        run without records.
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

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List, publish, and return the worker slots."""
        source, run = RunSource.of(self), RunIdentity.of(self.run, sibling(context["ti"], self.open_task))
        events = self.event_log(self.log_name, run, is_verbose=as_bool(self.is_verbose))
        self.show_links(
            context, {LogsLink: logs_url(self.gcp_conn_id, self.gcp_project, self.log_name, run.transfer_id)}
        )
        with self.engine_errors(events):
            workers = whole("workers", self.workers)
            found, plan = self._found(context, source, run, events)
        return self._told(context, source, run, found, plan, workers=workers)

    def _found(
        self, context: Context, source: RunSource, run: RunIdentity, events: EventLog
    ) -> tuple[ListingRecord, dict[str, Any] | None]:
        """What this opening has listed already, or what is listed now; on record either way."""
        from transfer.records.layout import PLAN_JSON
        from transfer.records.listing_record import ListingRecord, read_listing

        task = context["ti"]
        state = self.state(run)
        earlier = read_listing(state)
        if earlier is not None and earlier.is_complete and earlier.transfer_id == run.transfer_id:
            self.log.info("this run was listed already since it was opened, so that listing stands")
            return earlier, json.loads(state.read(PLAN_JSON)) if self.mode == "plan" else None
        refuse_when_closed(task, self.close_task)
        stored = StoredCursor(context, self)
        # A plan's tally is in memory alone, a list is to be sorted anew, and a run's records are read again as quickly.
        is_resumable = self.mode == "transfer" and source.is_listed_in_s3
        cursor = stored.load() if is_resumable else None
        listing = cursor.listing if cursor else run.listing_name(task.try_number)
        if cursor:
            self.log.info(
                "an earlier try listed and published %s objects: going on behind them", f"{cursor.counts.listed:,}"
            )
        ListingRecord(transfer_id=run.transfer_id, mode=self.mode, listing=listing).write(state)
        with _forgetting(stored):
            summary, plan = self._list(
                source,
                run,
                task.dag_id,
                listing,
                events=events,
                live=LiveProgress(context),
                cursor=cursor,
                on_cursor=stored.save if is_resumable else None,
            )
        if source.is_nothing(summary, self.mode) and not as_bool(self.allow_empty):
            raise AirflowFailException(source.why_nothing(summary))
        counts = summary.counts if self.mode == "transfer" else replace(summary.counts, messages=0)
        found = ListingRecord(
            transfer_id=run.transfer_id,
            mode=self.mode,
            listing=listing,
            is_complete=True,
            counts=counts,
            skipped_numbers=summary.skipped_numbers,
            began_at_s=summary.began_at_s,
        )
        self.log.info(
            "%s objects listed (%s bytes): %s to %s, in %s messages, %s skipped",
            *(f"{count:,}" for count in (counts.listed, counts.listed_bytes, counts.objects)),
            "compare" if self.mode == "verify" else "copy",
            *(f"{count:,}" for count in (counts.messages, counts.skipped)),
        )
        if plan is not None:
            self._tell(plan, run, state)
        found.write(state)
        stored.forget()
        return found, None if plan is None else plan.to_dict()

    def _told(
        self,
        context: Context,
        source: RunSource,
        run: RunIdentity,
        found: ListingRecord,
        plan: dict[str, Any] | None,
        *,
        workers: int,
    ) -> list[dict[str, Any]]:
        """The XComs, and one slot for each worker."""
        result = ListingResult(
            run=run,
            listing=found.listing,
            messages=found.counts.messages,
            skipped_numbers=found.skipped_numbers,
            objects=found.counts.objects,
            bytes=found.counts.size_bytes,
            mode=self.mode,
            listed=found.counts.listed,
            skipped=found.counts.skipped,
            began_at_s=found.began_at_s,
            is_whole_source=source.is_listed_in_s3,
            allow_empty=as_bool(self.allow_empty),
            workers=workers,
        )
        context["ti"].xcom_push(key=SUMMARY_KEY, value=result.to_dict())
        if plan is not None:
            context["ti"].xcom_push(key=PLAN_KEY, value=plan)
        if self.mode != "transfer":
            return []
        # One even for nothing: skipping would spread downstream.
        return result.slots(max(1, min(workers, found.counts.messages)))

    def _list(
        self,
        source: RunSource,
        run: RunIdentity,
        dag_id: str,
        listing: str,
        *,
        events: EventLog,
        live: LiveProgress,
        cursor: ListingCursor | None,
        on_cursor: Callable[[ListingCursor], None] | None,
    ) -> tuple[ListingSummary, Plan | None]:
        from transfer.accounting.progress import Progress, ProgressReporter
        from transfer.config import Mode, Overwrite, TransferConfig
        from transfer.listing.publish import Lister, ListingJob
        from transfer.planning.plan import PlanTally
        from transfer.planning.prices import LIST_PRICES, load_prices
        from transfer.records.manifest import Manifest

        mode = Mode(choice("mode", self.mode))
        prices = load_prices(Path(os.environ.get(PRICES_VARIABLE) or LIST_PRICES)) if mode is Mode.PLAN else None
        config = TransferConfig(part_size_bytes=whole("part_size_mib", self.part_size_mib) * MIB)
        naming, destination = self.naming, self.destination(run, config)
        selection = run_selection(self.selection, now_s=run.opened_at_s)
        # Also in the place of the topic, where nothing is to move.
        tally = PlanTally(naming, config, selection.name_filter if selection else None)
        after, before = (cursor.after, cursor.before) if cursor else ("", "")
        began_at_s = source.begin(run, destination)
        job = ListingJob(
            run_id=run.transfer_id,
            listing=listing,
            naming=naming,
            overwrite=Overwrite.ALWAYS if mode is Mode.VERIFY else Overwrite(choice("overwrite", self.overwrite)),
            selection=selection,
            is_planned=bool(self.plan_run) and mode is not Mode.VERIFY,  # which asks for no new generation
            began_at_s=began_at_s,
        )
        lister = Lister(
            job,
            publisher=self.messaging().requests(self.topic, events) if mode is Mode.TRANSFER else tally,
            manifest=Manifest(destination.state(run.state_prefix), listing, shards=cursor.shards if cursor else 0),
            cursor=cursor,
            on_cursor=on_cursor,
            on_pair=tally.take if mode is Mode.PLAN else None,
        )
        # A verification compares everything, and only once: the reconciliation does it.
        at_destination = (
            ()
            if mode is Mode.VERIFY
            else destination.listing().objects(
                naming.destination_prefix,
                leave_out=STATE_PREFIX,
                is_dated=False,
                after=naming.name_of(after) if cursor else "",
            )
        )
        summary = lister.run(
            source.objects(run, dag_id, destination, after=after, before=before),
            at_destination,
            reporter=ProgressReporter(Progress(), live.show),
            stop=self.stop,
        )
        if prices is None:
            return summary, None
        return summary, tally.plan(prices, run_id=run.run_id, listing=listing, is_listed_in_s3=source.is_listed_in_s3)

    def _tell(self, plan: Plan, run: RunIdentity, state: StateStore) -> None:
        """The plan among the run's records, where it is the run's verdict, and in the log."""
        from transfer.planning.plan import write_plan
        from transfer.planning.table import plan_table
        from transfer.records.layout import PLAN_JSON
        from transfer.records.verdict import RunVerdict

        write_plan(state, plan)
        RunVerdict(
            transfer_id=run.transfer_id, is_plan=True, is_green=True, said="a plan: nothing was to be copied"
        ).write(state)
        self.log.info("the plan, also at %s%s:\n%s", state.uri, PLAN_JSON, plan_table(plan))


@contextmanager
def _forgetting(stored: StoredCursor) -> Iterator[None]:
    """What was listed before a refusal is as doubtful as what came then: the next try begins anew."""
    from transfer.errors import EndpointRejected, ListingOutOfOrder

    try:
        yield
    except (EndpointRejected, ListingOutOfOrder):
        stored.forget()
        raise
