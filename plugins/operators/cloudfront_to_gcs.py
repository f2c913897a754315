"""Drain the queue: objects through the edge into Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from operators.engine_errors import connections, engine_errors
from operators.links import (
    DestinationLink,
    DistributionLink,
    LogsLink,
    destination_url,
    distribution_url,
    logs_url,
    show_links,
)
from operators.live_progress import LiveProgress
from operators.parameters import as_bool
from operators.run_identity import OPEN_TASK, STATE_PREFIX, RunIdentity
from operators.siblings import refuse_when_closed, sibling
from operators.stopping import StopsOnKill
from operators.transfer_run import ACK_DEADLINE_S
from operators.worker_settings import transfer_config

if TYPE_CHECKING:
    from airflow.sdk import Context


class CloudfrontToGcsWorker(StopsOnKill, BaseOperator):
    """One worker of a run: pulls transfer requests, moves their objects many at a time, settles them.

    Map it over what `S3ListToPubSubOperator` returned. Workers share the run's queue: any of them may be killed at any
    time, and the others, or its own retry, move what it held. Returns its counts:
    `copied, skipped, failed, bytes_copied, objects_total, bytes_total, seconds, lanes, threads`.

    :param slot: one dict of those that the listing returned.
    :param open_task: the task id of `OpenTransferRunOperator`.
    :param close_task: the task id of `CloseTransferRunOperator`.
    :param source_bucket: the S3 bucket, for logs and events; the edge connection decides what is read.
    :param source_prefix: what one signature covers, and what is cut from keys.
    :param destination_bucket: the Cloud Storage bucket.
    :param destination_prefix: takes the place of the source prefix in names; empty keeps keys as they are.
    :param error_topic: the topic that failure records go to.
    :param threads: how many objects are moved at a time, 1 to 256, and fewer for a while after an answer that says slow down.
        Each takes about 3 MiB of memory.
    :param part_size_mib: how much of a large object one request fetches, 5 to 1,024 MiB.
    :param bandwidth_limit_mib_s: the most MiB a second that this worker reads; empty or 0 for no limit.
    :param max_requests_per_s: the most requests a second that this worker sends, to both sides together; empty or 0 for no limit.
    :param ramp_up: whether writes keep to Cloud Storage's ramp-up guideline: about 1,000 a second for all workers of the run,
        doubled every 20 minutes. Not needed for a bucket that has taken more of late.
    :param gcp_project: the project of the topics; the connection's when empty.
    :param log_name: the Cloud Logging log for events; empty for none.
    :param is_verbose: whether each object begun is an event.
    :raises AirflowFailException: a signature, a credential or a bucket that no object gets past, or a parameter out of its
        limits; nothing is retried.
    """

    template_fields: Sequence[str] = (
        "slot",
        "source_bucket",
        "source_prefix",
        "destination_bucket",
        "destination_prefix",
        "error_topic",
        "threads",
        "part_size_mib",
        "bandwidth_limit_mib_s",
        "max_requests_per_s",
        "ramp_up",
        "cloudfront_conn_id",
        "gcp_conn_id",
        "gcp_project",
        "log_name",
        "is_verbose",
    )
    operator_extra_links = (DestinationLink(), DistributionLink(), LogsLink())
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        slot: Mapping[str, Any],
        source_bucket: str,
        destination_bucket: str,
        error_topic: str,
        open_task: str = OPEN_TASK,
        close_task: str = "close_run",
        source_prefix: str = "",
        destination_prefix: str = "",
        threads: int | str = 16,
        part_size_mib: int | str = 32,
        bandwidth_limit_mib_s: float | str | None = None,
        max_requests_per_s: float | str | None = None,
        ramp_up: bool | str = True,
        cloudfront_conn_id: str = "cloudfront_default",
        gcp_conn_id: str = "google_cloud_default",
        gcp_project: str | None = None,
        log_name: str | None = None,
        is_verbose: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.slot = slot
        self.source_bucket = source_bucket
        self.source_prefix = source_prefix
        self.destination_bucket = destination_bucket
        self.destination_prefix = destination_prefix
        self.error_topic = error_topic
        self.open_task = open_task
        self.close_task = close_task
        self.threads = threads
        self.part_size_mib = part_size_mib
        self.bandwidth_limit_mib_s = bandwidth_limit_mib_s
        self.max_requests_per_s = max_requests_per_s
        self.ramp_up = ramp_up
        self.cloudfront_conn_id = cloudfront_conn_id
        self.gcp_conn_id = gcp_conn_id
        self.gcp_project = gcp_project
        self.log_name = log_name
        self.is_verbose = is_verbose

    def execute(self, context: Context) -> dict[str, int | float]:
        """Work until the whole listing is settled, by this worker or another."""
        from hooks.cloud_logging import CloudLoggingHook

        task = context["ti"]
        refuse_when_closed(task, self.close_task)
        run = RunIdentity(**self.slot["run"])
        opened = task.xcom_pull(task_ids=sibling(task, self.open_task))
        if opened and opened["transfer_id"] != run.transfer_id:
            raise AirflowSkipException(
                "the run was opened anew since this was listed: the reconciliation has all that is unfinished copied"
            )
        events = CloudLoggingHook(self.gcp_conn_id, self.gcp_project or None).get_event_log(
            self.log_name or None, is_verbose=as_bool(self.is_verbose), labels={"run": run.transfer_id}
        )
        conn = connections(gcp=self.gcp_conn_id, cloudfront=self.cloudfront_conn_id)
        with engine_errors(self.task_id, conn, events):
            stats = self._worker(context, run, events).run()
        return stats.to_dict()

    def _worker(self, context: Context, run: RunIdentity, events: Any) -> Any:
        from hooks.engine import Destination, Messaging
        from transfer.naming import Naming
        from transfer.records.in_flight import InFlightMessages
        from transfer.records.ledger import Ledger
        from transfer.records.numbers import parse_ranges
        from transfer.worker.drain import Assignment, Worker

        config = transfer_config(
            threads=self.threads,
            part_size_mib=self.part_size_mib,
            bandwidth_limit_mib_s=self.bandwidth_limit_mib_s,
            max_requests_per_s=self.max_requests_per_s,
            is_ramped=as_bool(self.ramp_up),
            workers=self.slot["workers"],
        )
        show_links(
            self,
            context,
            {
                DestinationLink: destination_url(
                    self.destination_bucket, self.destination_prefix or self.source_prefix
                ),
                DistributionLink: distribution_url(self.cloudfront_conn_id),
                LogsLink: logs_url(self.gcp_conn_id, self.gcp_project, self.log_name, run.transfer_id),
            },
        )
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
            stop=self.stop,
        )
        state = destination.state(run.state_prefix)
        messaging = Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None, stop=self.stop)
        task, listing = context["ti"], str(self.slot["listing"])
        slot = f"{self.task_id}-{task.map_index}"
        return Worker(
            Assignment(
                run_id=run.transfer_id,
                listing=listing,
                source_bucket=self.source_bucket,
                destination_bucket=self.destination_bucket,
                messages=self.slot["messages"],
                skipped_numbers=tuple(parse_ranges(self.slot.get("skipped_numbers", ""))),
                objects=self.slot["objects"],
                bytes=self.slot["bytes"],
            ),
            queue=messaging.queue(run.subscription, ack_deadline_s=ACK_DEADLINE_S),
            failures=messaging.failures(self.error_topic, run_id=run.transfer_id),
            ledger=Ledger(state, listing=listing, worker=f"{slot}-{task.try_number}"),
            begun=InFlightMessages(state, listing=listing, slot=slot, attempt=task.try_number),
            new_mover=destination.mover_factory(
                self.cloudfront_conn_id, naming=naming, state_prefix=run.state_prefix, opening=run.transfer_id
            ),
            new_loop=destination.loop,
            config=config,
            events=events,
            stop=self.stop,
            on_report=LiveProgress(context).show,
        )
