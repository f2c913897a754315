"""The setup and teardown of a run: its own subscriptions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from operators.engine_errors import connections, engine_errors
from operators.run_identity import RunIdentity, error_subscription, run_name, work_subscription

if TYPE_CHECKING:
    from airflow.sdk import Context

ACK_DEADLINE_S = 30
"""How long after a worker was killed its messages come again; leases of living workers are extended every 10 s."""


class OpenTransferRunOperator(BaseOperator):
    """Creates this run's two subscriptions, filtered on the run, and the topics where they are missing.

    Returns the run's identity: `run_id`, `transfer_id`, `subscription`, `error_subscription`, `opened_at_s`.

    :param topic: the topic that transfer requests go to; its short name, or the full one.
    :param error_topic: the topic that failure records go to.
    :param gcp_project: the project of topics and subscriptions; the connection's when empty.
    :param gcp_conn_id: the Google Cloud connection.
    :raises AirflowFailException: missing permission, or a name that Pub/Sub does not take.
    """

    template_fields: Sequence[str] = ("topic", "error_topic", "gcp_project", "gcp_conn_id")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        topic: str,
        error_topic: str,
        gcp_project: str | None = None,
        gcp_conn_id: str = "google_cloud_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.topic = topic
        self.error_topic = error_topic
        self.gcp_project = gcp_project
        self.gcp_conn_id = gcp_conn_id

    def execute(self, context: Context) -> dict[str, str | float]:
        """Open the run."""
        from hooks.engine import Messaging
        from transfer.event_log import NoEventLog

        task = context["ti"]
        run = RunIdentity.new(dag_id=task.dag_id, run_id=task.run_id, opening=task.try_number, now_s=time.time())
        messaging = Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None)
        with engine_errors(self.task_id, connections(gcp=self.gcp_conn_id), NoEventLog()):
            for subscription, topic in ((run.subscription, self.topic), (run.error_subscription, self.error_topic)):
                messaging.open(subscription, topic=topic, run_id=run.transfer_id, ack_deadline_s=ACK_DEADLINE_S)
                self.log.info("subscription %s on topic %s is open", subscription, topic)
        return run.to_dict()


class CloseTransferRunOperator(BaseOperator):
    """Deletes the subscriptions of every opening of this run. Safe to repeat; one that is gone is no error.

    :param run: what the opening returned.
    :param gcp_project: the project of the subscriptions; the connection's when empty.
    :param gcp_conn_id: the Google Cloud connection.
    """

    template_fields: Sequence[str] = ("run", "gcp_project", "gcp_conn_id")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        run: Mapping[str, Any],
        gcp_project: str | None = None,
        gcp_conn_id: str = "google_cloud_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
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
