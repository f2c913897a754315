"""The last word on a run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from operators.engine_errors import connections, engine_errors
from operators.run_identity import STATE_PREFIX, RunIdentity
from operators.transfer_run import ACK_DEADLINE_S

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transfer.reconcile import ReconciliationReport

REPORT_NAME = "report.json"
REPORTED = ("listed", "copied", "skipped", "failed", "matched", "missing", "differing", "extra", "bytes_copied")


class ReconcileTransferOperator(BaseOperator):
    """Marches manifest, destination listing and failures side by side, and decides whether the run is green.

    Returns (also when it fails) `run_id, listed, copied, skipped, failed, matched, missing, differing, extra,
    bytes_copied, seconds, report_uri`; the whole report is at `report_uri`.

    :param listing: the XCom `summary` of `S3ListToPubSubOperator`.
    :param source_prefix: as the listing had it.
    :param destination_bucket: the Cloud Storage bucket.
    :param destination_prefix: as the listing had it.
    :param gcp_project: the project of the subscriptions; the connection's when empty.
    :param log_name: the Cloud Logging log for events; empty for none.
    :raises AirflowFailException: some listed object is neither matched nor skipped with a reason.
    """

    template_fields: Sequence[str] = (
        "listing",
        "source_prefix",
        "destination_bucket",
        "destination_prefix",
        "gcp_conn_id",
        "gcp_project",
        "log_name",
    )
    ui_color = "#fce8e6"

    def __init__(
        self,
        *,
        listing: Mapping[str, Any],
        destination_bucket: str,
        source_prefix: str = "",
        destination_prefix: str = "",
        gcp_conn_id: str = "google_cloud_default",
        gcp_project: str | None = None,
        log_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.listing = listing
        self.source_prefix = source_prefix
        self.destination_bucket = destination_bucket
        self.destination_prefix = destination_prefix
        self.gcp_conn_id = gcp_conn_id
        self.gcp_project = gcp_project
        self.log_name = log_name

    def execute(self, context: Context) -> dict[str, Any]:
        """Reconcile, store the report, and fail unless every listed object is explained."""
        from hooks.cloud_logging import CloudLoggingHook

        run = RunIdentity(**self.listing["run"])
        events = CloudLoggingHook(self.gcp_conn_id, self.gcp_project or None).get_event_log(
            self.log_name or None, labels={"run": run.transfer_id}
        )
        with engine_errors(self.task_id, connections(gcp=self.gcp_conn_id), events):
            report, report_uri = self._reconcile(run)
            return self._conclude(context, run, report, report_uri)

    def _conclude(
        self, context: Context, run: RunIdentity, report: ReconciliationReport, report_uri: str
    ) -> dict[str, Any]:
        from transfer.reconcile import reason_table

        summary = {
            "run_id": run.run_id,
            **{name: getattr(report, name) for name in REPORTED},
            "seconds": round(time.time() - run.opened_at_s, 1),
            "report_uri": report_uri,
        }
        self.log.info("%s", json.dumps(summary))
        if report.reasons:
            self.log.info("not matched, by reason:\n%s", reason_table(report.reasons))
        if not report.is_green:
            context["ti"].xcom_push(key="return_value", value=summary)
            unexplained = report.listed - report.matched - report.skipped
            raise AirflowFailException(
                f"{unexplained:,} of {report.listed:,} objects did not arrive; report: {report_uri}\n"
                f"{reason_table(report.reasons)}"
            )
        return summary

    def _reconcile(self, run: RunIdentity) -> tuple[ReconciliationReport, str]:
        from hooks.engine import Destination, Messaging
        from transfer.model import TransferConfig
        from transfer.naming import Naming
        from transfer.reconcile import FailureTable, drain_failures, reconcile
        from transfer.records import count_failures, read_manifest

        listing = str(self.listing["listing"])
        destination = Destination(
            gcp_conn_id=self.gcp_conn_id,
            bucket=self.destination_bucket,
            config=TransferConfig(),
            stop=threading.Event(),
        )
        state = destination.state(run.state_prefix)
        messaging = Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None)
        queue = messaging.queue(run.error_subscription, ack_deadline_s=ACK_DEADLINE_S)
        naming = Naming(
            source_prefix=self.source_prefix,
            destination_prefix=self.destination_prefix or self.source_prefix,
            state_prefix=STATE_PREFIX,
        )
        with FailureTable() as failures:
            ack_ids = drain_failures(queue, failures, run_id=run.transfer_id, expected=count_failures(state, listing))
            report = reconcile(
                read_manifest(state, listing),
                destination.listing().objects(naming.destination_prefix, leave_out=STATE_PREFIX),
                failures,
                naming=naming,
                run_id=run.run_id,
            )
        body = json.dumps(report.to_dict(), ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass")
        state.write(REPORT_NAME, body, content_type="application/json")
        if ack_ids:
            queue.ack(ack_ids)
        return report, f"{state.uri}{REPORT_NAME}"
