"""The operator of the first task of a run, which checks everything that the other tasks need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from operators.base import CopyOperator
from operators.links import DestinationLink, DistributionLink, distribution_url
from operators.parameters import WHAT_TO_COPY, code_problems, name_problems, value_problems
from operators.prefixes import prefix_warnings
from operators.run_identity import run_name
from operators.run_source import RunSource
from operators.siblings import sibling
from operators.stopping import may_be_broken_off
from transfer.records.layout import STATE_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hooks.probes import SourceListProbe
    from transfer.preflight.checks import Finding, Preflight


OWN = ("delete_extraneous", "source_prefix", "destination_prefix", *WHAT_TO_COPY)
"""The parameters to check that are attributes of the operator."""


class PreflightOperator(CopyOperator):
    """Checks every permission, connection and clock that a run needs, and reports all problems before anything is copied.

    Returns `checks`, their number, and `warnings`, the lines of those that passed with a warning.

    Takes the parameters of `operators.base.CopyOperator`, and these:

    :param source_listing: an inventory or a manifest in place of a listing of S3; checks that it can be read.
    :param delete_extraneous: must be `off` together with `source_listing`, which may not name every object of the source, and
        where the destination prefix is not a folder. With `delete`, checks that S3 answers questions about single keys.
    :param state_bucket: the bucket for the run's records; the destination bucket when empty.
    :param topic: the topic that transfer requests go to.
    :param error_topic: the topic that failure records go to.
    :param selection: only checked; see `S3ListToPubSubOperator`.
    :param settings: only checked: parameters of later tasks, by the names in `operators.parameters.CHECKED`.
    :param only_failed: an earlier run; checks that its records exist and have this source and destination. S3 is not listed.
    :param plan_run: an earlier run with `mode=plan`; checks its records like those of `only_failed`.
    :raises AirflowFailException: a check failed; the task is not retried.
    :raises AirflowException: all failed checks failed for temporary reasons; the task is retried.
    """

    template_fields: Sequence[str] = (
        *CopyOperator.template_fields,
        "source_listing",
        "delete_extraneous",
        "state_bucket",
        "topic",
        "error_topic",
        "selection",
        "settings",
        "only_failed",
        "plan_run",
        "aws_conn_id",
        "cloudfront_conn_id",
    )
    operator_extra_links = (DestinationLink(), DistributionLink())
    ui_color = "#fef7e0"

    def __init__(
        self,
        *,
        topic: str,
        error_topic: str,
        source_listing: str = "",
        delete_extraneous: str = "off",
        state_bucket: str = "",
        selection: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        only_failed: str = "",
        plan_run: str = "",
        aws_conn_id: str = "aws_default",
        cloudfront_conn_id: str = "cloudfront_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source_listing = source_listing
        self.delete_extraneous = delete_extraneous
        self.state_bucket = state_bucket
        self.topic = topic
        self.error_topic = error_topic
        self.selection = selection or {}
        self.settings = settings or {}
        self.only_failed = only_failed
        self.plan_run = plan_run
        self.aws_conn_id = aws_conn_id
        self.cloudfront_conn_id = cloudfront_conn_id

    def work(self, context: Context) -> dict[str, Any]:
        """Run all checks, log each, and fail if one failed."""
        self._check_parameters(context)

        from transfer.plain_text import redact
        from transfer.preflight.checks import Mark, table

        self.show_links(context, {DistributionLink: distribution_url(self.cloudfront_conn_id)})
        findings = []
        with may_be_broken_off():
            for finding in chain(self._prefixes(), self._preflight(context).findings(), self._earlier_run(context)):
                findings.append(finding)
                level = {Mark.WARNED: self.log.warning, Mark.FAILED: self.log.error}.get(finding.mark, self.log.info)
                level("%s", redact(str(finding)))
        if failed := [finding for finding in findings if finding.mark is Mark.FAILED]:
            may_pass = all(finding.is_temporary for finding in failed)
            kind = AirflowException if may_pass else AirflowFailException
            raise kind(f"{len(failed)} of {len(findings)} checks failed; nothing was copied\n{redact(table(failed))}")
        warnings = [redact(str(finding)) for finding in findings if finding.mark is Mark.WARNED]
        return {"checks": len(findings), "warnings": warnings}

    def _check_parameters(self, context: Context) -> None:
        """Report all invalid values and unknown names at once."""
        dag, dag_run = context.get("dag"), context.get("dag_run")
        problems = list(name_problems(dag_run.conf if dag_run else None, dag.params if dag else ()))
        for name in ("source_bucket", "destination_bucket"):
            if not getattr(self, name):
                problems.append(f"{name} is empty: give the bucket's name")
        own = {name: getattr(self, name) for name in OWN if getattr(self, name)}
        values = {**own, **self.settings}
        problems += [problem for _, problem in code_problems(self.settings)]
        problems += [problem for _, problem in value_problems(values, self.selection, now_s=time.time())]
        if problems:
            count = "one parameter is" if len(problems) == 1 else f"{len(problems)} parameters are"
            raise AirflowFailException("\n".join([f"{count} wrong; nothing was copied", *problems]))

    def _prefixes(self) -> Iterator[Finding]:
        """Warn of prefixes that are legal and seldom meant."""
        from transfer.preflight.checks import Finding, Mark

        for warning in prefix_warnings(self.source_prefix, self.destination_prefix):
            yield Finding(mark=Mark.WARNED, check="look at the prefixes", detail=warning)

    def _earlier_run(self, context: Context) -> Iterator[Finding]:
        """Check that the records of the earlier run, if any, can be read."""
        from hooks.engine import destination
        from hooks.probes import connection_errors
        from transfer.errors import RetryableError, Stage, TransferError
        from transfer.preflight.checks import Finding, Mark

        source = RunSource.of(self)
        if not source.earlier:
            return
        task = context["ti"]
        open_task = sibling(task, self.open_task)
        check = f"find the records of the run {source.earlier!r}"
        try:
            with connection_errors(self.gcp_conn_id, Stage.LIST):
                source.earlier_objects(
                    task.dag_id,
                    open_task,
                    destination(self.gcp_conn_id, self.destination_bucket, state_bucket=self.state_bucket),
                    run=run_name(task.dag_id, task.run_id, open_task),
                    now=source.record_of(task.run_id),
                )
        except TransferError as error:
            is_temporary = isinstance(error, RetryableError)
            yield Finding(mark=Mark.FAILED, check=check, detail=error.message, is_temporary=is_temporary)
        else:
            yield Finding(mark=Mark.PASSED, check=check)

    def _source_list(self) -> SourceListProbe | None:
        from hooks.probes import SourceListProbe
        from hooks.source import SourceList

        if not self.source_listing:
            return None
        return SourceListProbe(
            SourceList(
                uri=self.source_listing,
                aws_conn_id=self.aws_conn_id,
                gcp_conn_id=self.gcp_conn_id,
                bucket=self.source_bucket,
                prefix=self.source_prefix,
                stop=self.stop,
            )
        )

    def _preflight(self, context: Context) -> Preflight:
        from hooks.probes import CloudfrontProbe, GcsProbe, PubSubProbe, S3Probe
        from transfer.preflight.checks import Preflight

        task = context["ti"]
        buckets = dict.fromkeys([self.destination_bucket, self.state_bucket or self.destination_bucket])
        return Preflight(
            source=None if self.only_failed else S3Probe(self.aws_conn_id, self.source_bucket, self.source_prefix),
            deletes=self.delete_extraneous == "delete",
            samples=float(self.settings.get("verify_sample") or 0) > 0,
            source_list=self._source_list(),
            edge=CloudfrontProbe(self.cloudfront_conn_id, self.source_prefix),
            buckets=[GcsProbe(self.gcp_conn_id, bucket) for bucket in buckets],
            topics=[PubSubProbe(self.gcp_conn_id, topic, self.gcp_project) for topic in (self.topic, self.error_topic)],
            object_name=f"{STATE_PREFIX}preflight/{run_name(task.dag_id, task.run_id, task.task_id)}",
        )
