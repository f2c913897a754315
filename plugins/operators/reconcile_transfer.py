"""The reconciliation of a run: the pass after the transfers, and the one after the retries, whose word is final."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from operators.arrival import announce
from operators.engine_errors import connections, engine_errors
from operators.links import (
    DestinationLink,
    LogsLink,
    ReportLink,
    destination_url,
    logs_url,
    object_url,
    show_links,
)
from operators.run_identity import OPEN_TASK, STATE_PREFIX, RunIdentity
from operators.run_selection import run_globs
from operators.s3_list_to_pubsub import SUMMARY_KEY, worker_slots
from operators.siblings import refuse_when_closed, sibling
from operators.stopping import StopsOnKill
from operators.transfer_run import ACK_DEADLINE_S

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transfer.naming import Naming
    from transfer.reconciliation.passes import Republished
    from transfer.reconciliation.report import ReconciliationReport
    from transfer.reconciliation.sampling import SampleReport
    from transfer.reconciliation.verdicts import Pass
    from transfer.records.verdict import RunVerdict

REPORTED = ("listed", "copied", "skipped", "failed", "matched", "missing", "differing", "extra", "bytes_copied")
SAMPLE_LOG_INTERVAL_S = 10.0


class ReconcileTransferOperator(StopsOnKill, BaseOperator):
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
    :param open_task: the task id of `OpenTransferRunOperator`.
    :param close_task: the task id of `CloseTransferRunOperator`.
    :param source_prefix: as the listing had it.
    :param destination_bucket: the Cloud Storage bucket.
    :param destination_prefix: as the listing had it.
    :param overwrite: as the listing had it: with `never`, a replay overwrites nothing either.
    :param selection: as the listing had it: what its globs leave out at the destination is not counted as extra.
    :param topic: the topic that the listing publishes to.
    :param verify_sample: for the final pass: the share, in percent, of the matched objects that is chosen at random, read back
        from both sides by other means than it was copied, and compared byte for byte. What differs, and what cannot be read,
        makes the run red.
    :param source_bucket: the S3 bucket that a sample is read from.
    :param aws_conn_id: the connection that may read it (`s3:GetObject`).
    :param gcp_project: the project of topics and subscriptions; the connection's when empty.
    :param log_name: the Cloud Logging log for events; empty for none.
    :raises AirflowFailException: some listed object is neither matched nor skipped with a reason (final pass only).
    """

    template_fields: Sequence[str] = (
        "source_prefix",
        "destination_bucket",
        "destination_prefix",
        "overwrite",
        "selection",
        "topic",
        "source_bucket",
        "verify_sample",
        "aws_conn_id",
        "gcp_conn_id",
        "gcp_project",
        "log_name",
    )
    operator_extra_links = (DestinationLink(), ReportLink(), LogsLink())
    ui_color = "#fce8e6"

    def __init__(
        self,
        *,
        destination_bucket: str,
        topic: str,
        reviews: str | None = None,
        list_task: str = "list",
        open_task: str = OPEN_TASK,
        close_task: str = "close_run",
        source_prefix: str = "",
        destination_prefix: str = "",
        overwrite: str = "changed",
        selection: Mapping[str, str] | None = None,
        source_bucket: str = "",
        verify_sample: float | str = 0,
        aws_conn_id: str = "aws_default",
        gcp_conn_id: str = "google_cloud_default",
        gcp_project: str | None = None,
        log_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reviews = reviews
        self.list_task = list_task
        self.open_task = open_task
        self.close_task = close_task
        self.source_prefix = source_prefix
        self.destination_bucket = destination_bucket
        self.destination_prefix = destination_prefix
        self.overwrite = overwrite
        self.selection = selection or {}
        self.topic = topic
        self.source_bucket = source_bucket
        self.verify_sample = verify_sample
        self.aws_conn_id = aws_conn_id
        self.gcp_conn_id = gcp_conn_id
        self.gcp_project = gcp_project
        self.log_name = log_name

    def execute(self, context: Context) -> list[dict[str, Any]] | dict[str, Any]:
        """Reconcile; publish again what may still arrive, or have the last word."""
        from hooks.cloud_logging import CloudLoggingHook

        task = context["ti"]
        refuse_when_closed(task, self.close_task)
        # Pulled here, and not from template fields: neither the setup nor the listing may have come to an end.
        list_task = sibling(task, self.list_task)
        listing = task.xcom_pull(task_ids=list_task, key=SUMMARY_KEY)
        before = task.xcom_pull(task_ids=sibling(task, self.reviews), key=SUMMARY_KEY) if self.reviews else None
        if listing is not None and listing["mode"] == "plan":
            raise AirflowSkipException("a plan copies nothing: see the log of list, its XCom plan, and plan.json")
        if listing is None and self.reviews is None:
            raise AirflowSkipException(f"there is nothing to reconcile: {list_task} has not succeeded, see its log")
        if listing is None:
            raise AirflowFailException(f"there is nothing to verify: {list_task} has not succeeded, see its log")
        open_task = sibling(task, self.open_task)
        run = RunIdentity.of(task.xcom_pull(task_ids=open_task), open_task)
        events = CloudLoggingHook(self.gcp_conn_id, self.gcp_project or None).get_event_log(
            self.log_name or None, labels={"run": run.transfer_id}
        )
        show_links(
            self,
            context,
            {
                DestinationLink: destination_url(
                    self.destination_bucket, self.destination_prefix or self.source_prefix
                ),
                ReportLink: object_url(self._report_uri(run)),
                LogsLink: logs_url(self.gcp_conn_id, self.gcp_project, self.log_name, run.transfer_id),
            },
        )
        with engine_errors(self.task_id, connections(aws=self.aws_conn_id, gcp=self.gcp_conn_id), events):
            if self.reviews is None:
                return self._first_pass(context, run, listing)
            summary = self._final_pass(context, run, listing, before)
            announce(
                context["outlet_events"],
                self.outlets,
                bucket=self.destination_bucket,
                prefix=self.destination_prefix or self.source_prefix,
                dag_id=task.dag_id,
                summary=summary,
            )
            return summary

    def _first_pass(self, context: Context, run: RunIdentity, listing: Mapping[str, Any]) -> list[dict[str, Any]]:
        from transfer.reconciliation.passes import round_name
        from transfer.reconciliation.verdicts import Pass

        is_reopened = listing["run"]["transfer_id"] != run.transfer_id
        which = Pass.COMPARE if listing["mode"] == "verify" else Pass.REPLAY if is_reopened else Pass.FIRST
        if is_reopened:
            self.log.info("the run was opened anew: all that is unfinished is tried again, as it was listed")
        report, published = self._pass(which, context, run, listing, is_reopened=is_reopened)
        self._tell(run, report)
        context["ti"].xcom_push(
            key=SUMMARY_KEY,
            value={
                **_summary(run, report, self._state(run).uri),
                "republished": published.objects,
                "run": run.to_dict(),
            },
        )
        if published.objects:
            self.log.info("%s objects are tried again, in %s messages", f"{published.objects:,}", published.messages)
        shared = {
            "run": run.to_dict(),
            "listing": round_name(listing["listing"], context["ti"].try_number, which),
            "messages": published.messages,
            "objects": published.objects,
            "bytes": published.bytes,
        }
        return worker_slots(shared, workers=min(listing["workers"], published.messages))

    def _final_pass(
        self, context: Context, run: RunIdentity, listing: Mapping[str, Any], before: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        state = self._state(run)
        report = self._final_report(context, run, listing, before)
        if float(self.verify_sample or 0) > 0:
            report = self._sampled(context, run, report)
        self._tell(run, report)
        summary = _summary(run, report, state.uri)
        verdict = _verdict(run, listing, report, summary["report_uri"])
        verdict.write(state)
        if not verdict.is_green:
            context["ti"].xcom_push(key="return_value", value=summary)
            raise AirflowFailException(verdict.said)
        return summary

    def _final_report(
        self, context: Context, run: RunIdentity, listing: Mapping[str, Any], before: Mapping[str, Any] | None
    ) -> ReconciliationReport:
        """The first pass's, where nothing can have changed since; that of another pass where it can, or there was none."""
        from transfer.reconciliation.report import ReconciliationReport
        from transfer.reconciliation.verdicts import Pass
        from transfer.records.layout import REPORT_JSON

        is_compared = listing["mode"] == "verify"
        is_reopened = before is None or before["run"]["transfer_id"] != run.transfer_id
        if before is None or ((before["republished"] or is_reopened) and not is_compared):
            which = Pass.COMPARE if is_compared else Pass.FINAL
            report, _ = self._pass(which, context, run, listing, is_reopened=is_reopened)
            return report
        return ReconciliationReport.decode(self._state(run).read(REPORT_JSON))

    def _sampled(self, context: Context, run: RunIdentity, report: ReconciliationReport) -> ReconciliationReport:
        """The report, once a share of what it calls matched has been read back and compared."""
        from hooks.engine import Destination, sample_reader
        from operators.live_progress import LiveProgress
        from transfer.reconciliation.passes import sample_pass

        percent, live = float(self.verify_sample), LiveProgress(context)
        self.log.info(
            "reading %g %% of the matched objects back from both sides, to compare them byte for byte", percent
        )
        destination = Destination.of_records(
            self.gcp_conn_id, self.destination_bucket, run.state_bucket, stop=self.stop
        )
        naming = self._naming()
        logged_at = time.monotonic()

        def show(sample: SampleReport) -> None:
            nonlocal logged_at
            live.show(sample)
            if time.monotonic() - logged_at >= SAMPLE_LOG_INTERVAL_S:
                logged_at = time.monotonic()
                self.log.info("%s; %s bytes of each side", sample, f"{sample.bytes_read:,}")

        report = sample_pass(
            report,
            sample_reader(self.aws_conn_id, self.source_bucket, self.gcp_conn_id, self.destination_bucket),
            state=self._state(run),
            destination=destination.listing().objects(naming.destination_prefix, leave_out=STATE_PREFIX),
            naming=naming,
            percent=percent,
            stop=self.stop,
            on_report=show,
        )
        self.log.info("%s", report.sample)
        return report

    def _naming(self) -> Naming:
        from transfer.naming import Naming

        return Naming(
            source_prefix=self.source_prefix,
            destination_prefix=self.destination_prefix or self.source_prefix,
            state_prefix=STATE_PREFIX,
        )

    def _tell(self, run: RunIdentity, report: ReconciliationReport) -> None:
        from transfer.reconciliation.report import evidence_line, reason_table

        self.log.info("%s", json.dumps(_summary(run, report, self._state(run).uri)))
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

    def _pass(
        self, which: Pass, context: Context, run: RunIdentity, listing: Mapping[str, Any], *, is_reopened: bool
    ) -> tuple[ReconciliationReport, Republished]:
        from hooks.engine import Destination, Messaging
        from transfer.config import Overwrite
        from transfer.event_log import NoEventLog
        from transfer.reconciliation.passes import run_pass

        destination = Destination.of_records(
            self.gcp_conn_id, self.destination_bucket, run.state_bucket, stop=self.stop
        )
        messaging = Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None, stop=self.stop)
        naming = self._naming()
        return run_pass(
            which,
            state=destination.state(run.state_prefix),
            destination=destination.listing().objects(naming.destination_prefix, leave_out=STATE_PREFIX),
            # A subscription newer than the work has none of its failures; what was read of them is on record.
            errors=None if is_reopened else messaging.queue(run.error_subscription, ack_deadline_s=ACK_DEADLINE_S),
            publisher=messaging.requests(self.topic, NoEventLog()),
            naming=naming,
            run_id=run.run_id,
            transfer_id=run.transfer_id,
            listing=listing["listing"],
            listed=listing["listed"],
            attempt=context["ti"].try_number,
            may_replace=Overwrite(self.overwrite) is not Overwrite.NEVER,
            has_extras=listing["is_whole_source"],
            name_filter=run_globs(self.selection),
            allows_empty=bool(listing.get("allow_empty")),
        )

    def _report_uri(self, run: RunIdentity) -> str:
        from transfer.records.layout import REPORT_JSON

        return f"gs://{run.state_bucket or self.destination_bucket}/{run.state_prefix}{REPORT_JSON}"

    def _state(self, run: RunIdentity) -> Any:
        from hooks.engine import Destination

        records = Destination.of_records(self.gcp_conn_id, self.destination_bucket, run.state_bucket, stop=self.stop)
        return records.state(run.state_prefix)


def _summary(run: RunIdentity, report: ReconciliationReport, state_uri: str) -> dict[str, Any]:
    from transfer.records.layout import REPORT_JSON

    return {
        "run_id": run.run_id,
        **{name: getattr(report, name) for name in REPORTED},
        "seconds": round(time.time() - run.opened_at_s, 1),
        "report_uri": f"{state_uri}{REPORT_JSON}",
    }


def _verdict(run: RunIdentity, listing: Mapping[str, Any], report: ReconciliationReport, report_uri: str) -> RunVerdict:
    from transfer.reconciliation.report import reason_table
    from transfer.records.verdict import RunVerdict

    said = f"every object is there; report: {report_uri}"
    if not report.is_green:
        said = (
            f"{report.why_red(was_copied=listing['mode'] != 'verify')}; report: {report_uri}, and each object in failures.csv"
            f" beside it\n{reason_table(report.unfinished_reasons)}"
        )
    return RunVerdict(transfer_id=run.transfer_id, is_plan=False, is_green=report.is_green, said=said)
