"""The base classes of all operators: shared parameters, access to the engine, stopping, and reporting of errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowRescheduleException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from operators.engine_errors import connections, engine_errors
from operators.links import DestinationLink, ShownLink, destination_url, show_links
from operators.run_identity import OPEN_TASK, RunIdentity
from operators.siblings import sibling
from operators.stopping import StopsOnKill
from operators.xcom_record import plain_json
from transfer.event_log import EventLog, NoEventLog
from transfer.naming import Naming
from transfer.plain_text import one_line
from transfer.records.layout import STATE_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from hooks.assembly import Destination
    from hooks.engine import Messaging
    from operators.hand_over import ListingResult
    from transfer.config import TransferConfig
    from transfer.model import DestinationObject
    from transfer.ports import StateStore
    from transfer.reconciliation.run_context import RunContext

PROBLEM_KEY = "problem"
"""The XCom key of the message with which a task failed."""
MAX_PROBLEM_CHARACTERS = 4_000
NO_FAILURES = (AirflowSkipException, AirflowRescheduleException, DownstreamTasksSkipped)
"""Exceptions by which a task ends without having failed."""
ACK_DEADLINE_S = 30
"""After how many seconds the messages of a killed worker are delivered again; living workers extend theirs every 10 s."""


class EdgehaulOperator(StopsOnKill, BaseOperator):
    """Base of all operators of a run. When Airflow asks the task to stop, its work ends, or is interrupted before SIGKILL.

    :param destination_bucket: the Cloud Storage bucket that is copied to.
    :param gcp_conn_id: the Google Cloud connection.
    :param gcp_project: the project of topics, subscriptions and logs; the connection's own when empty.
    """

    template_fields: Sequence[str] = ("destination_bucket", "gcp_conn_id", "gcp_project")
    aws_conn_id = ""
    cloudfront_conn_id = ""
    link_urls: Mapping[str, str] = {}
    """The URL of each link by the link's name, once `show_links` has set them."""

    def __init__(
        self,
        *,
        destination_bucket: str,
        gcp_conn_id: str = "google_cloud_default",
        gcp_project: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination_bucket = destination_bucket
        self.gcp_conn_id = gcp_conn_id
        self.gcp_project = gcp_project

    def execute(self, context: Context) -> Any:
        """Do the work of the task. A failure is shown on the page of the run, and raised without the frames of this program.

        Airflow prints every frame below the message, which says what to do; frames of an unexpected error are in the log.
        """
        try:
            return self.work(context)
        except AirflowException as error:
            if not isinstance(error, NO_FAILURES) and not self.stop.is_set():
                self._show_problem(context, str(error))
            raise error.with_traceback(None) from None

    @abstractmethod
    def work(self, context: Context) -> Any:
        """Do the work, and return what the task hands over. Raises an AirflowException when it fails."""

    def _show_problem(self, context: Context, message: str) -> None:
        """Push the message as the XCom `problem`, which Airflow removes when the task runs again."""
        try:
            context["ti"].xcom_push(key=PROBLEM_KEY, value=plain_json({"": message[:MAX_PROBLEM_CHARACTERS]})[""])
        except Exception as error:  # noqa: BLE001 - the problem itself is more important
            self.log.warning("the problem cannot be shown on the page of the run: %s", one_line(str(error)))

    def destination(self, run: RunIdentity, config: TransferConfig | None = None) -> Destination:
        """The destination bucket, with the bucket of the run's records. `config` is for a task that copies."""
        from hooks.engine import destination

        found = destination(
            self.gcp_conn_id,
            self.destination_bucket,
            state_bucket=run.state_bucket,
            config=config,
            endpoint=self.__dict__.get("_endpoint"),
            stop=self.stop,
        )
        self.__dict__["_endpoint"] = found.endpoint  # one look at the connection, and one token, for the whole task
        return found

    def state(self, run: RunIdentity) -> StateStore:
        """The store of the run's records."""
        return self.destination(run).state(run.state_prefix)

    def record_uri(self, run: RunIdentity, name: str) -> str:
        """The `gs://` URI of one of the run's records."""
        return f"gs://{run.state_bucket or self.destination_bucket}/{run.state_prefix}{name}"

    def messaging(self) -> Messaging:
        """Access to the topics and subscriptions of the project."""
        from hooks.engine import Messaging

        return Messaging(gcp_conn_id=self.gcp_conn_id, project=self.gcp_project or None, stop=self.stop)

    def event_log(self, log_name: str | None, run: RunIdentity, *, is_verbose: bool = False) -> EventLog:
        """The event log in Cloud Logging, with this run's label; without a name, a log that drops all events."""
        from hooks.cloud_logging import CloudLoggingHook

        return CloudLoggingHook(self.gcp_conn_id, self.gcp_project or None).get_event_log(
            log_name or None, is_verbose=is_verbose, labels={"run": run.transfer_id}
        )

    def engine_errors(self, events: EventLog | None = None) -> AbstractContextManager[None]:
        """A context that turns the engine's errors into Airflow's (see `operators.engine_errors`) and closes the event log."""
        conn = connections(aws=self.aws_conn_id, gcp=self.gcp_conn_id, cloudfront=self.cloudfront_conn_id)
        return engine_errors(self.task_id, conn, events or NoEventLog())


class CopyOperator(EdgehaulOperator):
    """Base of the operators that know both sides of a copy.

    :param source_bucket: the S3 bucket that is copied from.
    :param source_prefix: only keys that begin with it belong to the run; empty for all.
    :param destination_prefix: takes the place of the source prefix in names; empty keeps keys as they are.
    :param open_task: the task id of `OpenTransferRunOperator`.
    """

    template_fields: Sequence[str] = (
        *EdgehaulOperator.template_fields,
        "source_bucket",
        "source_prefix",
        "destination_prefix",
    )

    def __init__(
        self,
        *,
        source_bucket: str,
        source_prefix: str = "",
        destination_prefix: str = "",
        open_task: str = OPEN_TASK,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_bucket = source_bucket
        self.source_prefix = source_prefix
        self.destination_prefix = destination_prefix
        self.open_task = open_task

    @property
    def naming(self) -> Naming:
        """Maps keys of the source to names at the destination."""
        return Naming(
            source_prefix=self.source_prefix,
            destination_prefix=self.destination_prefix or self.source_prefix,
            state_prefix=STATE_PREFIX,
        )

    def destination_objects(self, run: RunIdentity) -> Iterator[DestinationObject]:
        """All objects under the destination prefix, in order of their names."""
        return self.destination(run).listing().objects(self.naming.destination_prefix, leave_out=STATE_PREFIX)

    def opened_run(self, task: Task) -> RunIdentity:
        """The run that the task `open_task` has opened last. Raises AirflowFailException when it has opened none."""
        open_task = sibling(task, self.open_task)
        return RunIdentity.of(task.xcom_pull(task_ids=open_task), open_task)

    def run_context(
        self, run: RunIdentity, listing: ListingResult, *, attempt: int, selection: Mapping[str, str]
    ) -> RunContext:
        """The facts about the run that the steps after the copying need. `attempt` is the attempt of this task, from 1."""
        from operators.run_selection import run_globs
        from transfer.reconciliation.run_context import RunContext

        return RunContext(
            run_id=run.run_id,
            transfer_id=run.transfer_id,
            state=self.state(run),
            naming=self.naming,
            listing=listing.listing,
            listed=listing.listed,
            attempt=attempt,
            name_filter=run_globs(selection),
        )

    def show_links(self, context: Context, urls: Mapping[type[ShownLink], str]) -> None:
        """Show the link to the destination and these links on the task instance, from now on."""
        destination = destination_url(self.destination_bucket, self.naming.destination_prefix)
        show_links(self, context, {DestinationLink: destination, **urls})
