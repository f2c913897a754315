"""List or delete the objects that the destination has and the source does not, after a green verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from operators.base import CopyOperator
from operators.hand_over import SUMMARY_KEY, ListingResult
from operators.prefixes import prefix_problem
from operators.report_xcom import REPORT_KEY, bounded_report
from operators.run_identity import RunIdentity
from operators.run_page import write_page
from operators.siblings import sibling
from operators.verdict import why_not_green
from transfer.limits import MAX_DELETE_OBJECTS, MAX_DELETE_PERCENT
from transfer.plain_text import one_line

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from transfer.deletion.extraneous import DeleteExtraneous
    from transfer.ports import StateStore


class DeleteExtraneousOperator(CopyOperator):
    """Compares manifest and destination listing again, lists extraneous objects, and deletes them by their generation.

    S3 is asked for each key again right before its copy is deleted. Returns `extraneous, extraneous_bytes, percent, new,
    protected, deleted, gone, changed, still_in_source, list_uri, why_not_deleted`; report.json gets `deleted` and `deletion`,
    or `why_not_deleted`, and deleted.csv each object with its outcome. The task is skipped when `wish` is `off`, or when
    neither is permitted: see `transfer.deletion.extraneous.permission`. Whatever the wish, it fails when this opening of the
    run has no green verdict: as the last task besides the teardown, it keeps a run from succeeding without one.

    Takes the parameters of `operators.base.CopyOperator`, and these:

    :param wish: `off`, `list` or `delete`.
    :param max_delete_percent: if more than this percentage of the objects under the destination prefix would be deleted,
        nothing is deleted.
    :param max_delete_objects: if more than this number of objects would be deleted, nothing is deleted.
    :param selection: the same as for the listing: objects at the destination that its globs leave out are kept.
    :param list_task: the task id of `S3ListToPubSubOperator`.
    :param reconcile_task: the task id of the first pass of `ReconcileTransferOperator`.
    :param verify_task: the task id of its final pass.
    :param aws_conn_id: the AWS connection, which may read the source's objects.
    :raises AirflowFailException: no green verdict, a limit would be exceeded, the manifest is not complete, a prefix is not a
        folder, or an object could not be deleted.
    """

    template_fields: Sequence[str] = (
        *CopyOperator.template_fields,
        "wish",
        "max_delete_percent",
        "max_delete_objects",
        "selection",
        "aws_conn_id",
    )
    ui_color = "#fce8e6"

    def __init__(
        self,
        *,
        wish: str = "off",
        max_delete_percent: float | str = MAX_DELETE_PERCENT.default,
        max_delete_objects: int | str = MAX_DELETE_OBJECTS.default,
        selection: Mapping[str, str] | None = None,
        list_task: str = "list",
        reconcile_task: str = "reconcile",
        verify_task: str = "verify",
        aws_conn_id: str = "aws_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wish = wish
        self.max_delete_percent = max_delete_percent
        self.max_delete_objects = max_delete_objects
        self.selection = selection or {}
        self.list_task = list_task
        self.reconcile_task = reconcile_task
        self.verify_task = verify_task
        self.aws_conn_id = aws_conn_id

    def work(self, context: Context) -> dict[str, Any]:
        """Find and list the extraneous objects, and delete them if `wish` is `delete`; returns the counts."""
        from transfer.deletion.extraneous import DeleteExtraneous

        wish = DeleteExtraneous(self.wish or DeleteExtraneous.OFF)
        if wish is not DeleteExtraneous.OFF and (
            problem := prefix_problem(self.source_prefix, self.destination_prefix, deletes=True)
        ):
            raise AirflowFailException(f"nothing is deleted: {problem}")
        task = context["ti"]
        run = self.opened_run(task)
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
                raise AirflowFailException(f"nothing was deleted: {why_not}")
            if wish is DeleteExtraneous.OFF:
                raise AirflowSkipException("delete_extraneous is off")
            list_task = sibling(task, self.list_task)
            listing = ListingResult.of(task.xcom_pull(task_ids=list_task, key=SUMMARY_KEY), list_task)
            if listing.mode == "plan":
                raise AirflowSkipException("a plan deletes nothing; it counts what a run would delete")
            try:
                return self._sweep(wish, run, listing, attempt=task.try_number)
            finally:
                self._show_report(task, self.state(run))

    def _show_report(self, task: Task, state: StateStore) -> None:
        """Push the report with what was deleted as the XCom `report`, and write its page. It ends no task."""
        from transfer.reconciliation.report import read_report

        if self.stop.is_set():
            return
        try:
            report = read_report(state)
            task.xcom_push(key=REPORT_KEY, value=bounded_report(report))
            write_page(state, task, report=report.to_dict())
        except Exception as error:  # noqa: BLE001 - the result, or the error, of the deletion is more important
            self.log.warning("the report cannot be shown: %s: %s", type(error).__name__, one_line(str(error)))

    def _sweep(
        self, wish: DeleteExtraneous, run: RunIdentity, listing: ListingResult, *, attempt: int
    ) -> dict[str, Any]:
        from hooks.engine import source_keys
        from transfer.config import Mode
        from transfer.deletion.extraneous import DeleteExtraneous, DeletionLimits, permission
        from transfer.deletion.removal import LANES, Deleters
        from transfer.deletion.sweep import record_refusal, sweep
        from transfer.reconciliation.report import read_report

        destination = self.destination(run)
        state = destination.state(run.state_prefix)
        may = permission(
            wish,
            mode=Mode(listing.mode),
            is_whole_source=listing.is_whole_source,
            is_own_listing=listing.run.transfer_id == run.transfer_id,
            listed=listing.listed,
            is_green=read_report(state).is_green,
        )
        if may.action is DeleteExtraneous.OFF:
            record_refusal(state, may.why_not)
            raise AirflowSkipException(f"nothing is deleted: {may.why_not}")
        swept = sweep(
            may,
            self.run_context(run, listing, attempt=attempt, selection=self.selection),
            destination=self.destination_objects(run),
            source=source_keys(self.aws_conn_id, self.source_bucket, stop=self.stop),
            deleters=Deleters(lanes=destination.sinks(LANES), new_loop=destination.loop),
            limits=DeletionLimits(max_percent=float(self.max_delete_percent), max_objects=int(self.max_delete_objects)),
            began_at_s=listing.began_at_s,
        )
        self.log.info("%s", swept.text)
        return swept.to_dict()
