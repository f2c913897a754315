"""The setup and teardown of a run: its own subscriptions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from operators.engine_errors import connections, engine_errors
from operators.run_identity import STATE_PREFIX, RunIdentity, dag_name, error_subscription, run_name, work_subscription
from operators.run_turn import wait_for_turn

if TYPE_CHECKING:
    from airflow.sdk import Context

ACK_DEADLINE_S = 30
"""How long after a worker was killed its messages come again; leases of living workers are extended every 10 s."""


class OpenTransferRunOperator(BaseOperator):
    """Creates this run's two subscriptions, filtered on the run, and the topics where they are missing, when it is its turn.

    Returns the run's identity: `run_id`, `transfer_id`, `subscription`, `error_subscription`, `opened_at_s`, `state_bucket`.

    :param state_bucket: the bucket for the run's records; the destination bucket when empty.
    :param way: from where to where this run copies, for the log.
    :param date: the date that the run is for, for the log.
    :param max_open_runs: how many runs of the DAG may be open at a time; None for no limit. With a limit, only one
        instance of this task may run at a time (`max_active_tis_per_dag=1`).
    :param topic: the topic that transfer requests go to; its short name, or the full one.
    :param error_topic: the topic that failure records go to.
    :param gcp_project: the project of topics and subscriptions; the connection's when empty.
    :param gcp_conn_id: the Google Cloud connection.
    :raises AirflowFailException: missing permission, or a name that Pub/Sub does not take.
    """

    template_fields: Sequence[str] = (
        "topic",
        "error_topic",
        "state_bucket",
        "way",
        "date",
        "gcp_project",
        "gcp_conn_id",
    )
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        topic: str,
        error_topic: str,
        state_bucket: str = "",
        way: str = "",
        date: str = "",
        max_open_runs: int | None = None,
        gcp_project: str | None = None,
        gcp_conn_id: str = "google_cloud_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.topic = topic
        self.error_topic = error_topic
        self.state_bucket = state_bucket
        self.way = way
        self.date = date
        self.max_open_runs = max_open_runs
        self.gcp_project = gcp_project
        self.gcp_conn_id = gcp_conn_id

    def execute(self, context: Context) -> dict[str, str | float]:
        """Open the run."""
        from hooks.engine import Messaging
        from transfer.event_log import NoEventLog

        task = context["ti"]
        self.log.info("this run copies %s; its date is %s", self.way, self.date)
        if self.max_open_runs is not None:
            wait_for_turn(task, self.max_open_runs)
        run = RunIdentity.new(
            dag_id=task.dag_id,
            run_id=task.run_id,
            opening=task.try_number,
            now_s=time.time(),
            state_bucket=self.state_bucket,
        )
        messaging = Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None)
        with engine_errors(self.task_id, connections(gcp=self.gcp_conn_id), NoEventLog()):
            for subscription, topic in ((run.subscription, self.topic), (run.error_subscription, self.error_topic)):
                messaging.open(subscription, topic=topic, run_id=run.transfer_id, ack_deadline_s=ACK_DEADLINE_S)
                self.log.info("subscription %s on topic %s is open", subscription, topic)
        return run.to_dict()


class CloseTransferRunOperator(BaseOperator):
    """Deletes the subscriptions of every opening of this run, ends its unfinished uploads, and deletes the records of old runs.

    Safe to repeat.

    :param run: what the opening returned.
    :param destination_bucket: the Cloud Storage bucket.
    :param keep_runs: of how many runs of this DAG the records stay, 1 or more; the others' go, once those runs are closed.
    :param gcp_project: the project of the subscriptions; the connection's when empty.
    :param gcp_conn_id: the Google Cloud connection.
    """

    template_fields: Sequence[str] = ("run", "destination_bucket", "keep_runs", "gcp_project", "gcp_conn_id")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        run: Mapping[str, Any],
        destination_bucket: str,
        keep_runs: int | str = 30,
        gcp_project: str | None = None,
        gcp_conn_id: str = "google_cloud_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.destination_bucket = destination_bucket
        self.keep_runs = keep_runs
        self.gcp_project = gcp_project
        self.gcp_conn_id = gcp_conn_id

    def execute(self, context: Context) -> None:
        """Close the run."""
        from hooks.engine import Messaging
        from transfer.event_log import NoEventLog

        task = context["ti"]
        base = run_name(task.dag_id, task.run_id)
        last_opening = int(str(self.run["subscription"]).rpartition("-")[2])
        messaging = Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None)
        with engine_errors(self.task_id, connections(gcp=self.gcp_conn_id), NoEventLog()):
            for opening in range(1, last_opening + 1):
                messaging.close(work_subscription(base, opening))
                messaging.close(error_subscription(base, opening))
        self.log.info("the subscriptions of this run are gone")
        self._clean_up(RunIdentity(**self.run), task.dag_id)

    def _clean_up(self, run: RunIdentity, dag_id: str) -> None:
        """What stays because of an error goes with a later run."""
        from hooks.engine import Destination
        from transfer.errors import TransferError
        from transfer.plain_text import redact
        from transfer.runs import RunIndex

        destination = Destination.of_records(self.gcp_conn_id, self.destination_bucket, run.state_bucket)
        index = RunIndex(destination.state(STATE_PREFIX), dag_name(dag_id))
        try:
            if ended := destination.end_uploads(STATE_PREFIX, run.name, run.transfer_id):
                self.log.info("%d unfinished uploads, of this run and of earlier ones, were ended", ended)
            index.close(run.name, run.opened_at_s)
            for name in index.old(int(self.keep_runs)):
                index.remove(name)
                self.log.info("the records of the run %s are gone", name)
        except TransferError as error:
            self.log.warning(
                "not everything was cleaned up, a later run will: %s: %s", error.code, redact(error.message)
            )
