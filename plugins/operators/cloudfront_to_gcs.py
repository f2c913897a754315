"""The operator of a worker: it drains the queue and copies objects through the edge into Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ACK_DEADLINE_S, CopyOperator
from operators.hand_over import WorkerSlot
from operators.links import DestinationLink, DistributionLink, LogsLink, distribution_url, logs_url
from operators.live_progress import HISTORY_KEY, LiveProgress
from operators.parameters import as_bool
from operators.run_identity import RunIdentity
from operators.siblings import refuse_when_closed, sibling
from operators.worker_settings import transfer_config
from transfer.limits import PART_SIZE_MIB, THREADS

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transfer.accounting.progress import TransferStats
    from transfer.event_log import EventLog
    from transfer.worker.drain import Worker


class CloudfrontToGcsWorker(CopyOperator):
    """One worker of a run: pulls transfer requests, copies their objects, many at a time, and acknowledges the requests.

    Map it over the result of `S3ListToPubSubOperator`. Workers share the run's queue: any of them may be killed at any time,
    and the others, or its own retry, copy the objects that it held. Returns its counts:
    `copied, skipped, failed, bytes_copied, objects_total, bytes_total, seconds, lanes, threads, edge_requests, edge_bytes,
    gcs_requests`; the XCom `history` is its rate over time.

    Takes the parameters of `operators.base.CopyOperator`, and these. The source bucket is for logs and events only: objects
    are read from the bucket behind the distribution.

    :param slot: one of the dicts that the listing returned.
    :param close_task: the task id of `CloseTransferRunOperator`.
    :param error_topic: the topic that failure records go to.
    :param threads: how many objects are copied at a time, 1 to 256; temporarily fewer while a server throttles. Each takes
        about 3 MiB of memory.
    :param part_size_mib: the part of a large object that one request fetches, 5 to 1,024 MiB.
    :param bandwidth_limit_mib_s: the most MiB per second that this worker reads; empty or 0 for no limit.
    :param max_requests_per_s: the most requests per second that this worker sends to both sides together; empty or 0 for no
        limit.
    :param ramp_up: whether writes keep to Cloud Storage's ramp-up guideline: about 1,000 a second for all workers of the run,
        doubled every 20 minutes. A bucket that has recently handled a higher rate does not need it.
    :param cloudfront_conn_id: the CloudFront connection.
    :param log_name: the Cloud Logging log for events; empty for none.
    :param is_verbose: whether each object that is started is an event.
    :raises AirflowFailException: a signature, a credential or a bucket that stops every object, or a parameter outside its
        limits; the task is not retried.
    """

    template_fields: Sequence[str] = (
        *CopyOperator.template_fields,
        "slot",
        "error_topic",
        "threads",
        "part_size_mib",
        "bandwidth_limit_mib_s",
        "max_requests_per_s",
        "ramp_up",
        "cloudfront_conn_id",
        "log_name",
        "is_verbose",
    )
    operator_extra_links = (DestinationLink(), DistributionLink(), LogsLink())
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        slot: Mapping[str, Any],
        error_topic: str,
        close_task: str = "close_run",
        threads: int | str = THREADS.default,
        part_size_mib: int | str = PART_SIZE_MIB.default,
        bandwidth_limit_mib_s: float | str | None = None,
        max_requests_per_s: float | str | None = None,
        ramp_up: bool | str = True,
        cloudfront_conn_id: str = "cloudfront_default",
        log_name: str | None = None,
        is_verbose: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.slot = slot
        self.error_topic = error_topic
        self.close_task = close_task
        self.threads = threads
        self.part_size_mib = part_size_mib
        self.bandwidth_limit_mib_s = bandwidth_limit_mib_s
        self.max_requests_per_s = max_requests_per_s
        self.ramp_up = ramp_up
        self.cloudfront_conn_id = cloudfront_conn_id
        self.log_name = log_name
        self.is_verbose = is_verbose

    def work(self, context: Context) -> dict[str, int | float]:
        """Copy until all messages of the listing are settled, by this worker or another; returns the counts."""
        task = context["ti"]
        refuse_when_closed(task, self.close_task)
        slot = WorkerSlot.of(self.slot, "the task before this one")
        open_task = sibling(task, self.open_task)
        opened = task.xcom_pull(task_ids=open_task)
        if opened and RunIdentity.of(opened, open_task).transfer_id != slot.run.transfer_id:
            raise AirflowSkipException(
                "the run was reopened after this was listed: the reconciliation publishes everything unfinished again"
            )
        events = self.event_log(self.log_name, slot.run, is_verbose=as_bool(self.is_verbose))
        live = LiveProgress(context, opening=slot.run.transfer_id, workers=slot.workers)
        with self.engine_errors(events), live:
            stats: TransferStats = self._worker(context, slot, events, live).run()
        task.xcom_push(key=HISTORY_KEY, value=live.history())
        return stats.counts()

    def _worker(self, context: Context, slot: WorkerSlot, events: EventLog, live: LiveProgress) -> Worker:
        from hooks.engine import edge
        from transfer.records.numbers import parse_ranges
        from transfer.worker.assignment import Assignment

        run = slot.run
        config = transfer_config(
            threads=self.threads,
            part_size_mib=self.part_size_mib,
            bandwidth_limit_mib_s=self.bandwidth_limit_mib_s,
            max_requests_per_s=self.max_requests_per_s,
            is_ramped=as_bool(self.ramp_up),
            workers=slot.workers,
        )
        self.show_links(
            context,
            {
                DistributionLink: distribution_url(self.cloudfront_conn_id),
                LogsLink: logs_url(self.gcp_conn_id, self.gcp_project, self.log_name, run.transfer_id),
            },
        )
        destination, messaging = self.destination(run, config), self.messaging()
        task = context["ti"]
        return destination.worker(
            Assignment(
                run_id=run.transfer_id,
                listing=slot.listing,
                source_bucket=self.source_bucket,
                destination_bucket=self.destination_bucket,
                messages=slot.messages,
                skipped_numbers=tuple(parse_ranges(slot.skipped_numbers)),
                objects=slot.objects,
                size_bytes=slot.bytes,
                is_alone=slot.workers == 1 and task.try_number == 1,
            ),
            edge(self.cloudfront_conn_id),
            naming=self.naming,
            state_prefix=run.state_prefix,
            opening=run.transfer_id,
            slot=f"{self.task_id}-{task.map_index}",
            attempt=task.try_number,
            queue=messaging.queue(run.subscription, ack_deadline_s=ACK_DEADLINE_S),
            failures=messaging.failures(self.error_topic, run_id=run.transfer_id),
            events=events,
            on_report=live.show,
        )
