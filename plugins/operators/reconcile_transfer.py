"""The operator that reconciles a run: in a first pass after the copying, and in a final one after the retries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped

from operators.arrival import announce
from operators.base import ACK_DEADLINE_S, CopyOperator
from operators.hand_over import SUMMARY_KEY, FirstPassResult, ListingResult, Work
from operators.links import DestinationLink, FailuresLink, LogsLink, ReportLink, logs_url, object_url
from operators.parameters import whole
from operators.report_xcom import REPORT_KEY, bounded_report
from operators.run_facts import RunAbout, run_facts
from operators.run_identity import RunIdentity
from operators.run_page import write_page
from operators.run_report import log_report, verdict_on, why_failed
from operators.run_sample import sampled
from operators.siblings import refuse_when_closed, sibling
from transfer.limits import MIB, PART_SIZE_MIB, VERIFY_SAMPLE_PERCENT
from transfer.records.layout import FAILURES_CSV, REPORT_JSON

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from transfer.reconciliation.passes import Republished
    from transfer.reconciliation.report import ReconciliationReport
    from transfer.reconciliation.run_context import RunContext
    from transfer.reconciliation.verdicts import Pass


class ReconcileTransferOperator(CopyOperator):
    """Compares manifest, destination listing and failures side by side; used twice in a run.

    The first pass publishes objects again that another attempt may copy, and returns one dict for each worker slot of
    `CloudfrontToGcsWorker.expand(slot=…)`; none when there is nothing to retry. The XCom `summary`
    (`operators.hand_over.FirstPassResult`) has the counts.

    The final pass (the one with `reviews`) decides whether the run is green, and returns (also when it fails)
    `run_id, listed, copied, skipped, failed, matched, missing, differing, extra, bytes_copied, seconds, report_uri`; the
    whole report is at `report_uri`. If the first pass published nothing, its report is used unchanged. The decision is recorded
    as the verdict of this opening of the run, which decides whether the run succeeds.

    After a listing with `mode=verify`, nothing was copied and nothing is published: the first pass compares, and the final
    one is red if anything is missing or differs.

    When a person clears the task, Airflow clears the setup with it and the run is reopened: the first pass then publishes
    everything unfinished again, as originally listed.

    Both push the XCom `report`, which has what report.json has, within limits (`operators.report_xcom`). A green final pass
    also puts its counts and report into the events of its outlets (`operators.arrival`).

    Takes the parameters of `operators.base.CopyOperator`, and these:

    :param reviews: for the final pass, the task id of the first one.
    :param list_task: the task id of `S3ListToPubSubOperator`.
    :param close_task: the task id of `CloseTransferRunOperator`.
    :param overwrite: the same value as for the listing: with `never`, a retry overwrites nothing either.
    :param selection: the same as for the listing: objects at the destination that its globs leave out are not extra.
    :param topic: the topic that the listing publishes to.
    :param verify_sample: for the final pass, the percentage of matched objects to choose at random, read back from both
        sides with other libraries than those that copied them, and compare byte for byte. An object that differs, or cannot
        be read, makes the run red.
    :param delete_extraneous: for the final pass, the same value as for `DeleteExtraneousOperator`: if it is `off`, a green pass
        skips that task, so that no process is started only to skip itself.
    :param delete_task: the task id of `DeleteExtraneousOperator`.
    :param aws_conn_id: the AWS connection that may read the sample (`s3:GetObject`).
    :param part_size_mib: the same value as for the workers; the report computes requests by it.
    :param day: the date that the run is for, for the report.
    :param parameter_defaults: the names and defaults of the parameters that the report names where they have another value.
    :param log_name: the Cloud Logging log for events; empty for none.
    :raises AirflowFailException: some listed object is neither matched nor skipped with a reason (final pass only).
    """

    template_fields: Sequence[str] = (
        *CopyOperator.template_fields,
        "overwrite",
        "selection",
        "topic",
        "verify_sample",
        "delete_extraneous",
        "aws_conn_id",
        "part_size_mib",
        "day",
        "log_name",
    )
    operator_extra_links = (DestinationLink(), FailuresLink(), ReportLink(), LogsLink())
    ui_color = "#fce8e6"

    def __init__(
        self,
        *,
        topic: str,
        reviews: str | None = None,
        list_task: str = "list",
        close_task: str = "close_run",
        overwrite: str = "changed",
        selection: Mapping[str, str] | None = None,
        source_bucket: str = "",
        verify_sample: float | str = VERIFY_SAMPLE_PERCENT.default,
        delete_extraneous: str = "",
        delete_task: str = "delete_extraneous",
        aws_conn_id: str = "aws_default",
        part_size_mib: int | str = PART_SIZE_MIB.default,
        day: str = "",
        parameter_defaults: Mapping[str, Any] | None = None,
        log_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(source_bucket=source_bucket, **kwargs)
        self.reviews = reviews
        self.list_task = list_task
        self.close_task = close_task
        self.overwrite = overwrite
        self.selection = selection or {}
        self.topic = topic
        self.verify_sample = verify_sample
        self.delete_extraneous = delete_extraneous
        self.delete_task = delete_task
        self.aws_conn_id = aws_conn_id
        self.part_size_mib = part_size_mib
        self.day = day
        self.parameter_defaults = parameter_defaults or {}
        self.log_name = log_name

    def work(self, context: Context) -> list[dict[str, Any]] | dict[str, Any]:
        """Reconcile; the first pass returns worker slots for a retry, the final pass returns the counts of a green run."""
        task = context["ti"]
        refuse_when_closed(task, self.close_task)
        # Not template fields, because the setup and the listing may not have succeeded.
        listing, before = self._listing(task), self._first_pass_result(task)
        run = self.opened_run(task)
        events = self.event_log(self.log_name, run)
        self.show_links(
            context,
            {
                ReportLink: object_url(self.record_uri(run, REPORT_JSON)),
                LogsLink: logs_url(self.gcp_conn_id, self.gcp_project, self.log_name, run.transfer_id),
            },
        )
        with self.engine_errors(events):
            if self.reviews is None:
                return self._first_pass(context, run, listing)
            summary = self._final_pass(context, run, listing, before)
            announce(
                context["outlet_events"],
                self.outlets,
                bucket=self.destination_bucket,
                prefix=self.naming.destination_prefix,
                dag_id=task.dag_id,
                summary=summary,
            )
        if self.delete_extraneous == "off":
            task.xcom_push(key="return_value", value=summary)  # Airflow pushes no result of a task that skips others
            raise DownstreamTasksSkipped(tasks=[sibling(task, self.delete_task)])  # type: ignore[no-untyped-call]  # Airflow's
        return summary

    def _listing(self, task: Task) -> ListingResult:
        """The result of the listing. Raises AirflowException where there is nothing to reconcile, or to verify."""
        list_task = sibling(task, self.list_task)
        handed_over = task.xcom_pull(task_ids=list_task, key=SUMMARY_KEY)
        if handed_over is None and self.reviews is None:
            raise AirflowSkipException(f"there is nothing to reconcile: {list_task} has not succeeded; see its log")
        if handed_over is None:
            raise AirflowFailException(f"there is nothing to verify: {list_task} has not succeeded; see its log")
        listing = ListingResult.of(handed_over, list_task)
        if listing.mode == "plan":
            raise AirflowSkipException(
                f"a plan copies nothing: it is on the page of the run, in the log of {list_task}, and in plan.json"
            )
        return listing

    def _first_pass_result(self, task: Task) -> FirstPassResult | None:
        """The result of the first pass, for the final one; None if it has not ended."""
        if self.reviews is None:
            return None
        reviewed = sibling(task, self.reviews)
        handed_over = task.xcom_pull(task_ids=reviewed, key=SUMMARY_KEY)
        return None if handed_over is None else FirstPassResult.of(handed_over, reviewed)

    def _first_pass(self, context: Context, run: RunIdentity, listing: ListingResult) -> list[dict[str, Any]]:
        from transfer.reconciliation.passes import round_name
        from transfer.reconciliation.verdicts import Pass

        task, began_at_s = context["ti"], time.time()
        is_reopened = listing.run.transfer_id != run.transfer_id
        which = Pass.COMPARE if listing.mode == "verify" else Pass.REPLAY if is_reopened else Pass.FIRST
        if is_reopened:
            self.log.info("run reopened: retrying everything unfinished, as originally listed")
        report, published = self._pass(which, context, run, listing, None, is_reopened=is_reopened)
        self._show_failures(context, run, report)
        result = FirstPassResult.after(
            log_report(run, report, self.record_uri(run, REPORT_JSON)),
            republished=published.objects,
            run=run,
            messages=published.messages,
            message_bytes=published.message_bytes,
            began_at_s=began_at_s,
            ended_at_s=time.time(),
        )
        task.xcom_push(key=SUMMARY_KEY, value=result.to_dict())
        task.xcom_push(key=REPORT_KEY, value=bounded_report(report))
        if published.objects:
            self.log.info("retrying %s objects, in %s messages", f"{published.objects:,}", published.messages)
        return Work(
            run=run,
            listing=round_name(listing.listing, task.try_number, which),
            messages=published.messages,
            objects=published.objects,
            bytes=published.size_bytes,
        ).slots(listing.workers)

    def _final_pass(
        self, context: Context, run: RunIdentity, listing: ListingResult, before: FirstPassResult | None
    ) -> dict[str, Any]:
        from transfer.reconciliation.report import write_report

        state = self.state(run)
        report = self._final_report(context, run, listing, before)
        if float(self.verify_sample or 0) > 0:
            report = self._sampled(context, run, listing, report)
        report = replace(report, details=report.details.until(time.time()))
        write_report(state, report)
        self._show_failures(context, run, report)
        result = log_report(run, report, self.record_uri(run, REPORT_JSON))
        context["ti"].xcom_push(key=REPORT_KEY, value=bounded_report(report))
        write_page(state, context["ti"], report=report.to_dict())
        verdict = verdict_on(run, report, was_copied=listing.mode != "verify")
        verdict.write(state)
        if not verdict.is_green:
            context["ti"].xcom_push(key="return_value", value=result.to_dict())
            raise AirflowFailException(why_failed(verdict, report, result.report_uri))
        return result.to_dict()

    def _final_report(
        self, context: Context, run: RunIdentity, listing: ListingResult, before: FirstPassResult | None
    ) -> ReconciliationReport:
        """The report of the first pass, or of another pass if objects may have changed since or there was no first pass."""
        from transfer.reconciliation.report import read_report
        from transfer.reconciliation.verdicts import Pass

        is_compared = listing.mode == "verify"
        is_reopened = before is None or before.run.transfer_id != run.transfer_id
        if before is None or ((before.republished or is_reopened) and not is_compared):
            which = Pass.COMPARE if is_compared else Pass.FINAL
            report, _ = self._pass(which, context, run, listing, before, is_reopened=is_reopened)
            return report
        return read_report(self.state(run))

    def _sampled(
        self, context: Context, run: RunIdentity, listing: ListingResult, report: ReconciliationReport
    ) -> ReconciliationReport:
        """The report, after a sample of the matched objects has been read back and compared."""
        from hooks.engine import sample_reader

        return sampled(
            report,
            self._run_context(context, run, listing),
            context,
            opening=run.transfer_id,
            percent=float(self.verify_sample),
            destination=self.destination_objects(run),
            reader=sample_reader(self.aws_conn_id, self.source_bucket, self.gcp_conn_id, self.destination_bucket),
            stop=self.stop,
        )

    def _pass(
        self,
        which: Pass,
        context: Context,
        run: RunIdentity,
        listing: ListingResult,
        before: FirstPassResult | None,
        *,
        is_reopened: bool,
    ) -> tuple[ReconciliationReport, Republished]:
        from transfer.config import Overwrite, TransferConfig
        from transfer.event_log import NoEventLog
        from transfer.reconciliation.passes import run_pass
        from transfer.reconciliation.reconcile import PassSettings

        messaging = self.messaging()
        return run_pass(
            self._run_context(context, run, listing),
            PassSettings(
                which=which,
                may_replace=Overwrite(self.overwrite) is not Overwrite.NEVER,
                has_extras=listing.is_whole_source,
                allows_empty=listing.allow_empty,
            ),
            destination=self.destination_objects(run),
            # A subscription created after the work has none of its failures; those read from the older one are recorded.
            errors=None if is_reopened else messaging.queue(run.error_subscription, ack_deadline_s=ACK_DEADLINE_S),
            publisher=messaging.requests(self.topic, NoEventLog()),
            facts=run_facts(RunAbout.of(self), context, run, listing, before, now_s=time.time()),
            config=TransferConfig(part_size_bytes=whole("part_size_mib", self.part_size_mib) * MIB),
        )

    def _run_context(self, context: Context, run: RunIdentity, listing: ListingResult) -> RunContext:
        return self.run_context(run, listing, attempt=context["ti"].try_number, selection=self.selection)

    def _show_failures(self, context: Context, run: RunIdentity, report: ReconciliationReport) -> None:
        """Link to the list of the objects that are unfinished, if there are any."""
        if report.unfinished_reasons:
            self.show_links(context, {FailuresLink: object_url(self.record_uri(run, f"{FAILURES_CSV}.csv"))})
