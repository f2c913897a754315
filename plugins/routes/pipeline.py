"""The tasks of a copy in their order: one pipeline for the DAG with the form and for every route."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetAlias, Param, TriggerRule
from airflow.sdk.definitions.param import ParamsDict

from hooks.selection import BOUNDS, LISTS
from operators.cloudfront_to_gcs import CloudfrontToGcsWorker
from operators.delete_extraneous import DeleteExtraneousOperator
from operators.parameters import CHECKED, PREFIXES
from operators.preflight import PreflightOperator
from operators.reconcile_transfer import ReconcileTransferOperator
from operators.run_date import RunDates
from operators.s3_list_to_pubsub import S3ListToPubSubOperator
from operators.transfer_run import CloseTransferRunOperator, OpenTransferRunOperator
from routes.form import PARAMS
from routes.task_docs import TASK_DOCS

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.mappedoperator import MappedOperator


RETRIES: Mapping[str, Any] = {
    "retries": 6,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
}
"""An attempt waits 5 to 10 s for the next one, then twice as long each time, so that all attempts outlast a failover of
Airflow's database or of its API server (at least 5 minutes). Errors that no attempt can cure end a task at the first."""


def param(name: str) -> str:
    """A template for a run's parameter without the blanks around it: its default when the field was emptied, and an empty text
    for null.
    """
    return f"{{{{ {_given(name)} | trim }}}}"


def untrimmed(name: str) -> str:
    """Like `param`, with the blanks around the value: they may be part of a key."""
    return f"{{{{ {_given(name)} }}}}"


def _given(name: str) -> str:
    return f"(params.{name} if params.{name} is not none else dag.params['{name}'] or '')"


def listed(name: str) -> str:
    """A template for a parameter that is a list, as JSON: its default when the field was emptied."""
    return f"{{{{ (params.{name} if params.{name} is not none else dag.params['{name}'] or []) | tojson }}}}"


def prefix(name: str) -> str:
    """A template for a prefix of this run, its date codes and placeholders filled in."""
    return f"{{{{ dated(params.{name}, dag_run) }}}}"


def pipeline(
    dag_id: str,
    *,
    params: Mapping[str, Param],
    arrived: Asset | AssetAlias,
    timezone: str = "UTC",
    max_open_runs: int | None = None,
    tags: Collection[str] = (),
    owner: str = "airflow",
    run_on: Mapping[str, Any] = MappingProxyType({}),
    **dag_arguments: Any,
) -> DAG:
    """A DAG of these tasks.

    :param params: the parameters of `routes.form`, which hold buckets, prefixes, connections and limits.
    :param arrived: the asset that a verified run emits an event on; for an alias, on the asset of its own destination.
    :param timezone: where the days of date prefixes begin and end, as an IANA name.
    :param max_open_runs: how many runs may be past `open_run` at a time, however they were started; None for no limit.
    :param run_on: arguments of the tasks that list, copy and compare, which take long and much memory: `routes.run_on`.
        The others take a second, and stay where Airflow sends them.
    :param dag_arguments: further arguments of `DAG`.
    """
    with DAG(
        dag_id=dag_id,
        max_active_tasks=128,
        tags=["edgehaul", "s3", "gcs", "cloudfront", *tags],
        default_args={"owner": owner, **RETRIES},
        user_defined_macros=dict(RunDates(timezone).macros()),
        **dag_arguments,
    ) as dag:
        _tasks(arrived, max_open_runs, run_on)
    # After the tasks: each would otherwise hold a copy of all parameters, and Airflow validates every copy twice whenever it
    # reads the file (1.3 s of CPU per DAG, 0.1 s without).
    dag.params = ParamsDict(dict(params))
    return dag


GOOGLE = {"gcp_conn_id": param("gcp_conn_id"), "gcp_project": param("gcp_project")}
NAMES = {
    "source_prefix": prefix("source_prefix"),
    "destination_bucket": param("destination_bucket"),
    "destination_prefix": prefix("destination_prefix"),
}
DEFAULTS = {name: param.value for name, param in PARAMS.items()}
"""The form's own values, from which a run's or a route's may differ."""
SELECTION = {name: param(name) for name in BOUNDS} | {name: listed(name) for name in LISTS}
EVENTS = {"log_name": param("log_name"), "is_verbose": param("verbose")}


def _tasks(arrived: Asset | AssetAlias, max_open_runs: int | None, run_on: Mapping[str, Any]) -> None:
    preflight, open_run = _preflight(), _open_run(max_open_runs)
    list_objects = _list(open_run, run_on)
    transfer = _workers("transfer", list_objects, run_on)
    # It runs whatever became of the workers, also where none was needed (mode=verify): trigger rules that require a success
    # skip a task when its upstream was skipped. Without a listing it skips itself.
    reconcile = _reconcile("reconcile", run_on)
    retry = _workers("retry", reconcile, run_on)
    # It also runs when the retries were skipped because there was nothing to retry. It fails without a listing.
    verify = _reconcile(
        "verify",
        run_on,
        reviews="reconcile",
        outlets=[arrived],
        verify_sample=param("verify_sample"),
        delete_extraneous=param("delete_extraneous"),
        aws_conn_id=param("aws_conn_id"),
    )
    # Airflow judges a run by the tasks that nothing follows: these two. Both fail without a green verdict of this opening, so
    # where a person marks one of them, or what it depends on, the other still judges
    # (docs/decisions/0033-the-colour-of-a-run-is-its-verdict.md).
    judges = [_delete_extraneous(run_on), _close_run(open_run)]

    preflight >> open_run >> list_objects >> transfer >> reconcile >> retry >> verify >> judges
    list_objects >> reconcile >> verify


def _preflight() -> PreflightOperator:
    """Comes before the setup: when it fails, there is nothing to tear down."""
    return PreflightOperator(
        task_id="preflight",
        doc_md=TASK_DOCS["preflight"],
        source_bucket=param("source_bucket"),
        topic=param("topic"),
        error_topic=param("error_topic"),
        destination_bucket=param("destination_bucket"),
        state_bucket=param("state_bucket"),
        **{name: f"{{{{ dated_if_sound(params.{name}, dag_run) }}}}" for name in PREFIXES},
        selection=SELECTION,
        settings={name: (untrimmed if name in PREFIXES else param)(name) for name in CHECKED},
        only_failed=param("only_failed"),
        plan_run=param("plan_run"),
        aws_conn_id=param("aws_conn_id"),
        cloudfront_conn_id=param("cloudfront_conn_id"),
        **GOOGLE,
    )


def _open_run(max_open_runs: int | None) -> OpenTransferRunOperator:
    task = OpenTransferRunOperator(
        task_id="open_run",
        doc_md=TASK_DOCS["open_run"],
        topic=param("topic"),
        error_topic=param("error_topic"),
        destination_bucket=param("destination_bucket"),
        state_bucket=param("state_bucket"),
        endpoints=f"s3://{param('source_bucket')}/{prefix('source_prefix')} to "
        f"gs://{param('destination_bucket')}/{prefix('destination_prefix')}",
        date="{{ date_of(dag_run) }}",
        max_open_runs=max_open_runs,
        # Only one run at a time asks for its turn, so that two never take the same turn.
        max_active_tis_per_dag=None if max_open_runs is None else 1,
        **GOOGLE,
    )
    task.as_setup()  # type: ignore[no-untyped-call]  # Airflow's
    return task


def _list(open_run: OpenTransferRunOperator, run_on: Mapping[str, Any]) -> S3ListToPubSubOperator:
    return S3ListToPubSubOperator(
        task_id="list",
        doc_md=TASK_DOCS["list"],
        run=open_run.output,
        source_bucket=param("source_bucket"),
        topic=param("topic"),
        workers=param("workers"),
        overwrite=param("overwrite"),
        source_listing=prefix("source_listing"),
        selection=SELECTION,
        only_failed=param("only_failed"),
        mode=param("mode"),
        plan_run=param("plan_run"),
        part_size_mib=param("part_size_mib"),
        allow_empty=param("allow_empty"),
        aws_conn_id=param("aws_conn_id"),
        **NAMES,
        **GOOGLE,
        **EVENTS,
        **run_on,
    )


def _workers(task_id: str, published_by: BaseOperator, run_on: Mapping[str, Any]) -> MappedOperator:
    """One worker for each slot that a task has returned."""
    return CloudfrontToGcsWorker.partial(
        task_id=task_id,
        map_index_template="{{ task.slot['label'] }}{{ for_day(dag_run, params.source_prefix, params.destination_prefix) }}",
        doc_md=TASK_DOCS[task_id],
        source_bucket=param("source_bucket"),
        error_topic=param("error_topic"),
        threads=param("threads"),
        part_size_mib=param("part_size_mib"),
        bandwidth_limit_mib_s=param("bandwidth_limit_mib_s"),
        max_requests_per_s=param("max_requests_per_s"),
        ramp_up=param("ramp_up"),
        cloudfront_conn_id=param("cloudfront_conn_id"),
        **NAMES,
        **GOOGLE,
        **EVENTS,
        **run_on,
    ).expand(slot=published_by.output)


def _reconcile(task_id: str, run_on: Mapping[str, Any], **more: Any) -> ReconcileTransferOperator:
    return ReconcileTransferOperator(
        task_id=task_id,
        doc_md=TASK_DOCS[task_id],
        trigger_rule=TriggerRule.ALL_DONE,
        source_bucket=param("source_bucket"),
        topic=param("topic"),
        overwrite=param("overwrite"),
        selection=SELECTION,
        part_size_mib=param("part_size_mib"),
        day="{{ date_of(dag_run) }}",
        parameter_defaults=DEFAULTS,
        log_name=param("log_name"),
        **NAMES,
        **GOOGLE,
        **run_on,
        **more,
    )


def _delete_extraneous(run_on: Mapping[str, Any]) -> DeleteExtraneousOperator:
    return DeleteExtraneousOperator(
        task_id="delete_extraneous",
        doc_md=TASK_DOCS["delete_extraneous"],
        # A plan skips verify.
        trigger_rule=TriggerRule.NONE_FAILED,
        wish=param("delete_extraneous"),
        max_delete_percent=param("max_delete_percent"),
        max_delete_objects=param("max_delete_objects"),
        selection=SELECTION,
        source_bucket=param("source_bucket"),
        aws_conn_id=param("aws_conn_id"),
        gcp_conn_id=param("gcp_conn_id"),
        **NAMES,
        **run_on,
    )


def _close_run(open_run: OpenTransferRunOperator) -> CloseTransferRunOperator:
    task = CloseTransferRunOperator(
        task_id="close_run",
        doc_md=TASK_DOCS["close_run"],
        run=open_run.output,
        destination_bucket=param("destination_bucket"),
        keep_runs=param("keep_runs"),
        **GOOGLE,
    )
    task.as_teardown(setups=open_run, on_failure_fail_dagrun=True)
    return task
