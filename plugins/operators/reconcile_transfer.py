"""The reconciliation of a run: the pass after the transfers, and the one after the retries, whose word is final."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from operators.arrival import announce
from operators.base import ACK_DEADLINE_S, CopyOperator
from operators.hand_over import SUMMARY_KEY, FirstPassResult, ListingResult, PassResult, Work
from operators.links import DestinationLink, LogsLink, ReportLink, logs_url, object_url
from operators.run_identity import RunIdentity
from operators.run_selection import run_globs
from operators.siblings import refuse_when_closed, sibling
from transfer.limits import VERIFY_SAMPLE_PERCENT
from transfer.records.layout import STATE_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from transfer.reconciliation.passes import Republished
    from transfer.reconciliation.report import ReconciliationReport
    from transfer.reconciliation.run_context import RunContext
    from transfer.reconciliation.sampling import SampleReport
    from transfer.reconciliation.verdicts import Pass
    from transfer.records.verdict import RunVerdict

SAMPLE_LOG_INTERVAL_S = 10.0


class ReconcileTransferOperator(CopyOperator):
    """Marches manifest, destination listing and failures side by side; used twice in a run.

    As the first pass it has published again what a second try may help, and returns one dict for each worker slot of
    `CloudfrontToGcsWorker.expand(slot=…)`, none when there is nothing to try. The XCom `summary` has the counts.

    As the final pass (`reviews` is given) it decides whether the run is green, and returns (also when it fails)
    `run_id, listed, copied, skipped, failed, matched, missing, differing, extra, bytes_copied, seconds, report_uri`; the
    whole report is at `report_uri`. Where the first pass had nothing published, nothing has changed: its report stands.
    Its word goes on record as the verdict of this opening of the run, on which the run's colour rests.

    With `mode=verify` (the XCom `summary` of the listing says so) nothing was moved and nothing is published: the first pass
    compares, and the final one is red if anything is missing or differs.

    Green, it also puts its counts and report into the events of its outlets (`operators.arrival`).

    When it is cleared, the run has been opened anew (its setup is cleared with it), and the first pass has everything
    published again that is unfinished, as it was listed.

    :param reviews: the task id of the first pass, for the final one.
    :param list_task: the task id of `S3ListToPubSubOperator`.
    :param close_task: the task id of `CloseTransferRunOperator`.
    :param overwrite: as the listing had it: with `never`, a replay overwrites nothing either.
    :param selection: as the listing had it: what its globs leave out at the destination is not counted as extra.
    :param topic: the topic that the listing publishes to.
    :param verify_sample: for the final pass: the share, in percent, of the matched objects that is chosen at random, read back
        from both sides by other means than it was copied, and compared byte for byte. What differs, and what cannot be read,
        makes the run red.
    :param aws_conn_id: the connection that may read it (`s3:GetObject`).
    :param log_name: the Cloud Logging log for events; empty for none.
    :raises AirflowFailException: some listed object is neither matched nor skipped with a reason (final pass only).
    """

    template_fields: Sequence[str] = (
        *CopyOperator.template_fields,
        "overwrite",
        "selection",
        "topic",
        "verify_sample",
        "aws_conn_id",
        "log_name",
    )
    operator_extra_links = (DestinationLink(), ReportLink(), LogsLink())
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
        aws_conn_id: str = "aws_default",
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
        self.aws_conn_id = aws_conn_id
        self.log_name = log_name

    def execute(self, context: Context) -> list[dict[str, Any]] | dict[str, Any]:
        """Reconcile; publish again what may still arrive, or have the last word."""
        task = context["ti"]
        refuse_when_closed(task, self.close_task)
        # Pulled here, and not from template fields: neither the setup nor the listing may have come to an end.
        listing, before = self._listing(task), self._first_pass_result(task)
        run = self.opened_run(task)
        events = self.event_log(self.log_name, run)
        self.show_links(
            context,
            {
                ReportLink: object_url(self._report_uri(run)),
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
            return summary

    def _listing(self, task: Task) -> ListingResult:
        """What the listing handed over. Raises AirflowException where there is nothing to reconcile, or to verify."""
        list_task = sibling(task, self.list_task)
        handed_over = task.xcom_pull(task_ids=list_task, key=SUMMARY_KEY)
        if handed_over is None and self.reviews is None:
            raise AirflowSkipException(f"there is nothing to reconcile: {list_task} has not succeeded, see its log")
        if handed_over is None:
            raise AirflowFailException(f"there is nothing to verify: {list_task} has not succeeded, see its log")
        listing = ListingResult.of(handed_over, list_task)
        if listing.mode == "plan":
            raise AirflowSkipException("a plan copies nothing: see the log of list, its XCom plan, and plan.json")
        return listing

    def _first_pass_result(self, task: Task) -> FirstPassResult | None:
        """What the first pass handed over to the final one, if it came to an end."""
        if self.reviews is None:
            return None
        reviewed = sibling(task, self.reviews)
        handed_over = task.xcom_pull(task_ids=reviewed, key=SUMMARY_KEY)
        return None if handed_over is None else FirstPassResult.of(handed_over, reviewed)

    def _first_pass(self, context: Context, run: RunIdentity, listing: ListingResult) -> list[dict[str, Any]]:
        from transfer.reconciliation.passes import round_name
        from transfer.reconciliation.verdicts import Pass

        task = context["ti"]
        is_reopened = listing.run.transfer_id != run.transfer_id
        which = Pass.COMPARE if listing.mode == "verify" else Pass.REPLAY if is_reopened else Pass.FIRST
        if is_reopened:
            self.log.info("run reopened: retrying everything unfinished, as originally listed")
        report, published = self._pass(which, context, run, listing, is_reopened=is_reopened)
        result = FirstPassResult.after(self._log(run, report), republished=published.objects, run=run)
        task.xcom_push(key=SUMMARY_KEY, value=result.to_dict())
        if published.objects:
            self.log.info("retrying %s objects, in %s messages", f"{published.objects:,}", published.messages)
        work = Work(
            run=run,
            listing=round_name(listing.listing, task.try_number, which),
            messages=published.messages,
            objects=published.objects,
            bytes=published.bytes,
        )
        return work.slots(min(listing.workers, published.messages))

    def _final_pass(
        self, context: Context, run: RunIdentity, listing: ListingResult, before: FirstPassResult | None
    ) -> dict[str, Any]:
        state = self.state(run)
        report = self._final_report(context, run, listing, before)
        if float(self.verify_sample or 0) > 0:
            report = self._sampled(context, run, listing, report)
        result = self._log(run, report)
        verdict = _verdict(run, listing, report, result.report_uri)
        verdict.write(state)
        if not verdict.is_green:
            context["ti"].xcom_push(key="return_value", value=result.to_dict())
            raise AirflowFailException(verdict.said)
        return result.to_dict()

    def _final_report(
        self, context: Context, run: RunIdentity, listing: ListingResult, before: FirstPassResult | None
    ) -> ReconciliationReport:
        """The first pass's, where nothing can have changed since; that of another pass where it can, or there was none."""
        from transfer.reconciliation.report import ReconciliationReport
        from transfer.reconciliation.verdicts import Pass
        from transfer.records.layout import REPORT_JSON

        is_compared = listing.mode == "verify"
        is_reopened = before is None or before.run.transfer_id != run.transfer_id
        if before is None or ((before.republished or is_reopened) and not is_compared):
            which = Pass.COMPARE if is_compared else Pass.FINAL
            report, _ = self._pass(which, context, run, listing, is_reopened=is_reopened)
            return report
        return ReconciliationReport.decode(self.state(run).read(REPORT_JSON))

    def _sampled(
        self, context: Context, run: RunIdentity, listing: ListingResult, report: ReconciliationReport
    ) -> ReconciliationReport:
        """The report, once a share of what it calls matched has been read back and compared."""
        from hooks.engine import sample_reader
        from operators.live_progress import LiveProgress
        from transfer.reconciliation.passes import sample_pass
        from transfer.reconciliation.sampling import Sampling

        percent, live = float(self.verify_sample), LiveProgress(context)
        self.log.info(
            "reading %g %% of the matched objects back from both sides, to compare them byte for byte", percent
        )
        destination = self.destination(run)
        logged_at = time.monotonic()

        def show(sample: SampleReport) -> None:
            nonlocal logged_at
            live.show(sample)
            if time.monotonic() - logged_at >= SAMPLE_LOG_INTERVAL_S:
                logged_at = time.monotonic()
                self.log.info("%s; %s bytes of each side", sample, f"{sample.bytes_read:,}")

        report = sample_pass(
            report,
            self._run_context(context, run, listing),
            destination=destination.listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX),
            sampling=Sampling(
                reader=sample_reader(self.aws_conn_id, self.source_bucket, self.gcp_conn_id, self.destination_bucket),
                percent=percent,
                stop=self.stop,
                on_report=show,
            ),
        )
        self.log.info("%s", report.sample)
        return report

    def _log(self, run: RunIdentity, report: ReconciliationReport) -> PassResult:
        """Log the report in short; the counts."""
        from transfer.reconciliation.report import evidence_line, reason_table

        result = _result(run, report, self._report_uri(run))
        self.log.info("%s", json.dumps(result.to_dict()))
        if report.evidence:
            self.log.info("what that rests on: %s", evidence_line(report.evidence))
        if report.unbound:
            self.log.warning(
                "%s copies bear no proof of their own, which Cloud Storage refused (storage.objects.update?): this run's ledger"
                " shows what they hold, and a later run will copy them again",
                f"{report.unbound:,}",
            )
        if report.reasons:
            self.log.info("not copied, by reason:\n%s", reason_table(report.reasons))
        return result

    def _pass(
        self, which: Pass, context: Context, run: RunIdentity, listing: ListingResult, *, is_reopened: bool
    ) -> tuple[ReconciliationReport, Republished]:
        from transfer.config import Overwrite
        from transfer.event_log import NoEventLog
        from transfer.reconciliation.passes import run_pass
        from transfer.reconciliation.reconcile import PassSettings

        destination, messaging = self.destination(run), self.messaging()
        return run_pass(
            self._run_context(context, run, listing),
            PassSettings(
                which=which,
                may_replace=Overwrite(self.overwrite) is not Overwrite.NEVER,
                has_extras=listing.is_whole_source,
                allows_empty=listing.allow_empty,
            ),
            destination=destination.listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX),
            # A subscription newer than the work has none of its failures; those that were read from it are on record.
            errors=None if is_reopened else messaging.queue(run.error_subscription, ack_deadline_s=ACK_DEADLINE_S),
            publisher=messaging.requests(self.topic, NoEventLog()),
        )

    def _run_context(self, context: Context, run: RunIdentity, listing: ListingResult) -> RunContext:
        from transfer.reconciliation.run_context import RunContext

        return RunContext(
            run_id=run.run_id,
            transfer_id=run.transfer_id,
            state=self.state(run),
            naming=self.naming,
            listing=listing.listing,
            listed=listing.listed,
            attempt=context["ti"].try_number,
            name_filter=run_globs(self.selection),
        )

    def _report_uri(self, run: RunIdentity) -> str:
        from transfer.records.layout import REPORT_JSON

        return f"gs://{run.state_bucket or self.destination_bucket}/{run.state_prefix}{REPORT_JSON}"


def _result(run: RunIdentity, report: ReconciliationReport, report_uri: str) -> PassResult:
    return PassResult(
        run_id=run.run_id,
        listed=report.listed,
        copied=report.copied,
        skipped=report.skipped,
        failed=report.failed,
        matched=report.matched,
        missing=report.missing,
        differing=report.differing,
        extra=report.extra,
        bytes_copied=report.bytes_copied,
        seconds=round(time.time() - run.opened_at_s, 1),
        report_uri=report_uri,
    )


def _verdict(run: RunIdentity, listing: ListingResult, report: ReconciliationReport, report_uri: str) -> RunVerdict:
    from transfer.reconciliation.report import reason_table
    from transfer.records.verdict import RunVerdict

    said = f"every object is there; report: {report_uri}"
    if not report.is_green:
        said = (
            f"{report.why_red(was_copied=listing.mode != 'verify')}; report: {report_uri}, and each object in failures.csv"
            f" beside it\n{reason_table(report.unfinished_reasons)}"
        )
    return RunVerdict(transfer_id=run.transfer_id, is_plan=False, is_green=report.is_green, said=said)
