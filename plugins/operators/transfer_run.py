"""The operators of the setup and teardown of a run: they manage its subscriptions, and decide whether it may succeed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from operators.base import ACK_DEADLINE_S, EdgehaulOperator
from operators.parameters import whole
from operators.run_identity import (
    OPEN_TASK,
    RunIdentity,
    copy_name,
    error_subscription,
    work_subscription,
)
from operators.run_turn import wait_for_turn
from operators.siblings import has_ended, sibling, state_of
from operators.verdict import why_not_green
from transfer.limits import KEEP_RUNS
from transfer.records.layout import STATE_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from hooks.engine import Messaging
    from transfer.records.runs import RunIndex


class OpenTransferRunOperator(EdgehaulOperator):
    """Waits for its turn, then creates this run's two subscriptions, filtered by the run, and missing topics.

    Returns the run's identity: `run_id`, `transfer_id`, `subscription`, `error_subscription`, `opened_at_s`,
    `state_bucket`, `open_task`. Cleared alone, it opens nothing, because no task would close the run.

    Takes the parameters of `operators.base.EdgehaulOperator`, and these:

    :param close_task: the task id of `CloseTransferRunOperator`.
    :param state_bucket: the bucket for the run's records; the destination bucket when empty.
    :param endpoints: source and destination of this run, for the log.
    :param date: the date that the run is for, for the log.
    :param max_open_runs: how many runs of the DAG may be open at a time; None for no limit. With a limit, only one
        instance of this task may run at a time (`max_active_tis_per_dag=1`).
    :param topic: the topic that transfer requests go to, by its short or full name.
    :param error_topic: the topic that failure records go to.
    :raises AirflowFailException: a missing permission, or a name that Pub/Sub does not accept.
    """

    template_fields: Sequence[str] = (
        *EdgehaulOperator.template_fields,
        "topic",
        "error_topic",
        "state_bucket",
        "endpoints",
        "date",
    )
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        topic: str,
        error_topic: str,
        close_task: str = "close_run",
        state_bucket: str = "",
        endpoints: str = "",
        date: str = "",
        max_open_runs: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.topic = topic
        self.error_topic = error_topic
        self.close_task = close_task
        self.state_bucket = state_bucket
        self.endpoints = endpoints
        self.date = date
        self.max_open_runs = max_open_runs

    def work(self, context: Context) -> dict[str, str | float]:
        """Open the run, and return its identity."""
        from transfer.errors import TransferError

        task = context["ti"]
        self.log.info("this run copies %s; its date is %s", self.endpoints, self.date)
        if has_ended(task, self.close_task):
            raise AirflowSkipException(
                f"{sibling(task, self.close_task)} has closed this run, and would not close what is opened now: clear"
                f" {task.task_id} with what is downstream of it"
            )
        if self.max_open_runs is not None:
            wait_for_turn(task, self.max_open_runs)
        run = RunIdentity.new(
            dag_id=task.dag_id,
            run_id=task.run_id,
            opening=task.try_number,
            now_s=time.time(),
            state_bucket=self.state_bucket,
            open_task=task.task_id,
        )
        # Recorded first and created second, so that the teardown or a later run finds the subscriptions of a killed task.
        task.xcom_push(key="return_value", value=run.to_dict())
        messaging = self.messaging()
        with self.engine_errors():
            index = _index_of(self, run, task.dag_id)
            index.open(run.name, run.opened_at_s, run_id=run.run_id, opening=run.opening)
            try:
                self._open(messaging, run)
            except TransferError:  # Airflow runs the teardown only after a setup that succeeded
                with suppress(TransferError):
                    _close_subscriptions(messaging, run.name, run.opening)
                raise
            if state_of(task, task.task_id) == "failed":  # marked manually, so the teardown does not run
                _close_subscriptions(messaging, run.name, run.opening)
                raise AirflowFailException(
                    "this task was marked as failed while it opened the run, and has closed it again"
                )
        return run.to_dict()

    def _open(self, messaging: Messaging, run: RunIdentity) -> None:
        for subscription, topic in ((run.subscription, self.topic), (run.error_subscription, self.error_topic)):
            messaging.open(subscription, topic=topic, run_id=run.transfer_id, ack_deadline_s=ACK_DEADLINE_S)
            self.log.info("subscription %s on topic %s is open", subscription, topic)


class CloseTransferRunOperator(EdgehaulOperator):
    """Cleans up after a run, and fails unless the run was verified since it was last opened.

    It deletes the subscriptions of every opening of this run, ends its unfinished uploads, does the same for earlier runs
    that were never closed, and deletes the records of old runs. Safe to repeat.

    As `.as_teardown(setups=…, on_failure_fail_dagrun=True)` it also runs in a run that a person marks as failed or
    successful, and keeps that run from succeeding without a verdict.

    Takes the parameters of `operators.base.EdgehaulOperator`, and these:

    :param run: the result of `OpenTransferRunOperator`.
    :param keep_runs: how many runs of this DAG keep their records, 1 or more; records of older, closed runs are deleted.
    :param open_task: the task id of `OpenTransferRunOperator`.
    :param list_task: the task id of `S3ListToPubSubOperator`.
    :param reconcile_task: the task id of the first pass of `ReconcileTransferOperator`.
    :param verify_task: the task id of its final pass.
    :raises AirflowFailException: the run is not verified, or not everything arrived; its message says what to do.
    """

    template_fields: Sequence[str] = (*EdgehaulOperator.template_fields, "run", "keep_runs")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        run: Mapping[str, Any] | XComArg | None,
        keep_runs: int | str = KEEP_RUNS.default,
        open_task: str = OPEN_TASK,
        list_task: str = "list",
        reconcile_task: str = "reconcile",
        verify_task: str = "verify",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.keep_runs = keep_runs
        self.open_task = open_task
        self.list_task = list_task
        self.reconcile_task = reconcile_task
        self.verify_task = verify_task

    def work(self, context: Context) -> None:
        """Close the run, then fail if its verdict is missing or not green."""
        task = context["ti"]
        run = RunIdentity.of(self.run, sibling(task, self.open_task))
        problems = []
        # The verdict is read first, because the run's own records may be the oldest; it is reported last.
        for step in (self._judge, self._close):
            try:
                step(task, run)
            except AirflowException as problem:
                problems.append(problem)
        if problems:
            # A temporary problem is retried: the verdict is recorded, and is read again.
            is_final = all(isinstance(problem, AirflowFailException) for problem in problems)
            kind = AirflowFailException if is_final else AirflowException
            raise kind("\n".join(map(str, problems)))

    def on_kill(self) -> None:
        """Continue until Airflow kills the task, which no other task replaces. Every step may be interrupted; a later run
        finishes it."""

    def _judge(self, task: Task, run: RunIdentity) -> None:
        with self.engine_errors():
            why_not = why_not_green(
                task,
                run,
                self.state(run),
                list_task=self.list_task,
                reconcile_task=self.reconcile_task,
                verify_task=self.verify_task,
            )
        if why_not:
            raise AirflowFailException(why_not)

    def _close(self, task: Task, run: RunIdentity) -> None:
        messaging = self.messaging()
        with self.engine_errors():
            _close_subscriptions(messaging, run.name, run.opening)
        self.log.info("the subscriptions of this run are deleted")
        self._clean_up(task, run, messaging)

    def _clean_up(self, task: Task, run: RunIdentity, messaging: Messaging) -> None:
        """Close the remains of this run and of earlier runs; after an error, a later run completes it."""
        from transfer.errors import TransferError
        from transfer.plain_text import redact

        index = _index_of(self, run, task.dag_id)
        try:
            for entry in list(index.entries()):
                if not entry.is_closed and entry.run != run.name and _is_over(task, entry.run_id):
                    _close_subscriptions(messaging, entry.run, entry.opening)
                    index.close(entry.run, entry.opened_at_s)
                    self.log.info("the run %s, which was never closed, is closed now", entry.run)
            if ended := self.destination(run).end_uploads(STATE_PREFIX, run.name, run.transfer_id):
                self.log.info("%d unfinished uploads of this run and earlier ones were aborted", ended)
            index.close(run.name, run.opened_at_s)
            for name in index.old(whole("keep_runs", self.keep_runs)):
                if name == run.name:
                    continue
                index.remove(name)
                self.log.info("the records of the run %s are deleted", name)
        except TransferError as error:
            self.log.warning(
                "not everything was cleaned up; a later run will do it: %s: %s", error.code, redact(error.message)
            )


def _index_of(operator: EdgehaulOperator, run: RunIdentity, dag_id: str) -> RunIndex:
    from transfer.records.runs import RunIndex

    return RunIndex(operator.destination(run).state(STATE_PREFIX), copy_name(dag_id, run.open_task))


def _close_subscriptions(messaging: Messaging, name: str, last_opening: int) -> None:
    """Delete the subscriptions of every opening up to `last_opening`."""
    for opening in range(1, last_opening + 1):
        messaging.close(work_subscription(name, opening))
        messaging.close(error_subscription(name, opening))


def _is_over(task: Task, run_id: str) -> bool:
    """Whether a run has ended in Airflow, or Airflow has no record of it."""
    return bool(run_id) and not task.get_dr_count(task.dag_id, run_ids=[run_id], states=["running", "queued"])
