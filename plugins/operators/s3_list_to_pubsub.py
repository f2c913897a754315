"""List an S3 bucket and publish what has to move."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from operators.engine_errors import connections, engine_errors
from operators.links import DestinationLink, LogsLink, destination_url, logs_url, show_links
from operators.live_progress import LiveProgress
from operators.run_identity import STATE_PREFIX, RunIdentity, dag_name, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hooks.engine import Destination
    from transfer.model import ObjectMeta

SUMMARY_KEY = "summary"
LAST_RUN = "last"


class S3ListToPubSubOperator(BaseOperator):
    """Marches the source listing against the destination's, publishes what has to move, and writes the manifest.

    Returns one dict for each worker slot, for `CloudfrontToGcsWorker.expand(slot=…)`: one for each message to share, at
    least one and at most `workers`. The XCom `summary` holds the identity of the listing and its counts, for the reconciliation.

    :param run: what `OpenTransferRunOperator` returned.
    :param source_bucket: the S3 bucket.
    :param source_prefix: only keys under it are listed; empty for all.
    :param destination_bucket: the Cloud Storage bucket.
    :param destination_prefix: takes the place of the source prefix in names; empty keeps keys as they are.
    :param topic: the topic to publish to.
    :param workers: the most worker slots, 1 to 1,024.
    :param overwrite: what to do with an object that is there: `changed`, `never` or `always`.
    :param only_failed: the run id of an earlier run of this DAG, or `last`: what that run left unfinished is published,
        as it was listed then, and S3 is not listed. Empty for a listing.
    :param allow_empty: whether a prefix with no objects is a success; it is an error otherwise.
    :param gcp_project: the project of the topic; the connection's when empty.
    :param log_name: the Cloud Logging log for events; empty for none.
    :param is_verbose: whether each published message is an event.
    :raises AirflowFailException: nothing listed, a missing bucket, credentials refused, a listing out of order, an earlier
        run without records.
    """

    template_fields: Sequence[str] = (
        "run",
        "source_bucket",
        "source_prefix",
        "destination_bucket",
        "destination_prefix",
        "topic",
        "workers",
        "overwrite",
        "only_failed",
        "allow_empty",
        "aws_conn_id",
        "gcp_conn_id",
        "gcp_project",
        "log_name",
        "is_verbose",
    )
    operator_extra_links = (DestinationLink(), LogsLink())
    ui_color = "#fff3e0"

    _stop: threading.Event | None = None

    def __init__(
        self,
        *,
        run: Mapping[str, Any],
        source_bucket: str,
        destination_bucket: str,
        topic: str,
        source_prefix: str = "",
        destination_prefix: str = "",
        workers: int | str = 4,
        overwrite: str = "changed",
        only_failed: str = "",
        allow_empty: bool | str = False,
        aws_conn_id: str = "aws_default",
        gcp_conn_id: str = "google_cloud_default",
        gcp_project: str | None = None,
        log_name: str | None = None,
        is_verbose: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.source_bucket = source_bucket
        self.source_prefix = source_prefix
        self.destination_bucket = destination_bucket
        self.destination_prefix = destination_prefix
        self.topic = topic
        self.workers = workers
        self.overwrite = overwrite
        self.only_failed = only_failed
        self.allow_empty = allow_empty
        self.aws_conn_id = aws_conn_id
        self.gcp_conn_id = gcp_conn_id
        self.gcp_project = gcp_project
        self.log_name = log_name
        self.is_verbose = is_verbose

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List, publish, and return the worker slots."""
        from hooks.cloud_logging import CloudLoggingHook
        from transfer.listing import ListingSummary

        self._stop = threading.Event()
        run = RunIdentity(**self.run)
        events = CloudLoggingHook(self.gcp_conn_id, self.gcp_project or None).get_event_log(
            self.log_name or None, is_verbose=as_bool(self.is_verbose), labels={"run": run.transfer_id}
        )
        show_links(
            self,
            context,
            {
                DestinationLink: destination_url(
                    self.destination_bucket, self.destination_prefix or self.source_prefix
                ),
                LogsLink: logs_url(self.gcp_conn_id, self.gcp_project, self.log_name, run.transfer_id),
            },
        )
        conn = connections(aws=self.aws_conn_id, gcp=self.gcp_conn_id)
        listing = run.listing_name(context["ti"].try_number)
        with engine_errors(self.task_id, conn, events):
            summary: ListingSummary = self._list(run, context["ti"].dag_id, listing, events, LiveProgress(context))
            if not (summary.listed or self.only_failed or as_bool(self.allow_empty)):
                raise AirflowFailException(
                    f"s3://{self.source_bucket}/{self.source_prefix} holds no objects: check bucket and prefix, or set"
                    " allow_empty if that is expected"
                )
        self.log.info(
            "%s objects listed (%s bytes): %s to move in %s messages, %s skipped",
            *(f"{count:,}" for count in (summary.listed, summary.listed_bytes, summary.objects, summary.messages)),
            f"{summary.skipped:,}",
        )
        shared = {
            "run": run.to_dict(),
            "listing": listing,
            "messages": summary.messages,
            "objects": summary.objects,
            "bytes": summary.bytes,
        }
        context["ti"].xcom_push(
            key=SUMMARY_KEY,
            value={
                **shared,
                "listed": summary.listed,
                "skipped": summary.skipped,
                "only_failed": self.only_failed,
                "workers": int(self.workers),
            },
        )
        # One even for nothing: skipping would spread downstream.
        return worker_slots(shared, workers=max(1, min(int(self.workers), summary.messages)))

    def _list(self, run: RunIdentity, dag_id: str, listing: str, events: Any, live: LiveProgress) -> Any:
        from hooks.engine import Destination, Messaging
        from transfer.listing import list_and_publish
        from transfer.model import Overwrite, TransferConfig
        from transfer.naming import Naming
        from transfer.progress import Progress
        from transfer.records import Manifest

        config = TransferConfig()
        naming = Naming(
            source_prefix=self.source_prefix,
            destination_prefix=self.destination_prefix or self.source_prefix,
            state_prefix=STATE_PREFIX,
        )
        destination = Destination(
            gcp_conn_id=self.gcp_conn_id,
            bucket=self.destination_bucket,
            state_bucket=run.state_bucket,
            config=config,
            stop=self._stop,
        )
        return list_and_publish(
            self._source(run, dag_id, destination),
            destination.listing().objects(naming.destination_prefix, leave_out=STATE_PREFIX),
            naming=naming,
            overwrite=Overwrite(self.overwrite),
            publisher=Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None).requests(
                self.topic, events
            ),
            manifest=Manifest(destination.state(run.state_prefix), listing),
            run_id=run.transfer_id,
            listing=listing,
            progress=Progress(),
            stop=self._stop,
            on_report=live.show,
        )

    def _source(self, run: RunIdentity, dag_id: str, destination: Destination) -> Iterator[ObjectMeta]:
        """The source's objects, or those that an earlier run left unfinished; this run is put on record first."""
        from hooks.engine import source_listing
        from transfer.replay import RunRecord, unfinished_objects
        from transfer.runs import RunIndex

        record = RunRecord(
            run_id=run.run_id,
            source_bucket=self.source_bucket,
            source_prefix=self.source_prefix,
            destination_bucket=self.destination_bucket,
            destination_prefix=self.destination_prefix,
        )
        index = RunIndex(destination.state(STATE_PREFIX), dag_name(dag_id))
        earlier = run_name(dag_id, self.only_failed)
        if self.only_failed == LAST_RUN:
            earlier = index.last_but(run.name) or LAST_RUN
        index.open(run.name, run.opened_at_s)
        record.write(destination.state(run.state_prefix))
        if not self.only_failed:
            return source_listing(self.aws_conn_id, self.source_bucket, self.source_prefix)
        self.log.info("not listing S3: taking what the run %s left unfinished", self.only_failed)
        earlier_state = destination.state(f"{STATE_PREFIX}{earlier}/")
        return unfinished_objects(earlier_state, run=self.only_failed, now=record)

    def on_kill(self) -> None:
        """Stop listing; what was published belongs to a listing that nobody will wait for."""
        if self._stop is not None:
            self._stop.set()


def worker_slots(shared: Mapping[str, Any], *, workers: int) -> list[dict[str, Any]]:
    """One dict for each worker, for `CloudfrontToGcsWorker.expand(slot=…)`."""
    return [{**shared, "workers": workers, "label": f"worker {index + 1} of {workers}"} for index in range(workers)]


def as_bool(value: bool | str) -> bool:
    """A flag as a template renders it: `True`, `true`, `False`, ``."""
    return value if isinstance(value, bool) else value.strip().lower() in ("true", "1", "yes")
