"""The source of a run's objects: S3's listing, an inventory or a manifest, or an earlier run's records."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from operators.parameters import WHAT_TO_COPY
from operators.run_identity import RunIdentity, copy_name, run_name
from transfer.records.layout import STATE_PREFIX

if TYPE_CHECKING:
    from hooks.assembly import Destination
    from operators.base import CopyOperator
    from transfer.listing.publish import ListingSummary
    from transfer.model import ObjectMeta
    from transfer.records.run_record import RunRecord

LAST_RUN = "last"
IN_A_ROUTE = "(in a route: parameters: {allow_empty: true}, so that days without objects are green)"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunSource:
    """The source of one run, described by parameters of `S3ListToPubSubOperator`."""

    source_bucket: str
    source_prefix: str
    source_listing: str
    only_failed: str
    plan_run: str
    destination_bucket: str
    destination_prefix: str
    aws_conn_id: str
    gcp_conn_id: str

    @classmethod
    def of(cls, operator: CopyOperator) -> RunSource:
        """The source of an operator whose templates are rendered. Raises AirflowFailException when it has more than one."""
        made = cls(**{name: getattr(operator, name) for name in cls.__dataclass_fields__})
        named = [name for name in WHAT_TO_COPY if getattr(made, name)]
        if len(named) > 1:
            raise AirflowFailException(f"{' and '.join(named)} each name the objects to copy: set only one of them")
        return made

    @property
    def earlier(self) -> str:
        """The run whose records take the place of a listing; empty for none."""
        return self.only_failed or self.plan_run

    @property
    def is_listed_in_s3(self) -> bool:
        """Whether the source is S3's own listing: only then are objects that it does not name certainly not in the source."""
        return not (self.earlier or self.source_listing)

    def begin(self, run: RunIdentity, destination: Destination) -> float:
        """Record source and destination before the listing; returns the record's Unix time by Cloud Storage's clock."""
        from transfer.records.layout import RUN_JSON

        state = destination.state(run.state_prefix)
        self.record_of(run.run_id).write(state)
        return state.created_at_s(RUN_JSON)

    def record_of(self, run_id: str) -> RunRecord:
        """The record of the source and the destination of the run `run_id`."""
        from transfer.records.run_record import RunRecord

        return RunRecord(
            run_id=run_id,
            source_bucket=self.source_bucket,
            source_prefix=self.source_prefix,
            destination_bucket=self.destination_bucket,
            destination_prefix=self.destination_prefix,
        )

    def earlier_objects(
        self, dag_id: str, open_task: str, destination: Destination, *, run: str, now: RunRecord
    ) -> Iterator[ObjectMeta]:
        """Objects that the earlier run left unfinished, or planned. `run` is the name of this run. Raises RunUnknown."""
        from transfer.records.runs import RunIndex
        from transfer.sources.replay import planned_objects, unfinished_objects

        earlier = run_name(dag_id, self.earlier, open_task)
        if self.earlier == LAST_RUN:
            earlier = RunIndex(destination.state(STATE_PREFIX), copy_name(dag_id, open_task)).last_but(run) or LAST_RUN
        objects_of = planned_objects if self.plan_run else unfinished_objects
        return objects_of(destination.state(f"{STATE_PREFIX}{earlier}/"), run=self.earlier, now=now)

    def objects(
        self, run: RunIdentity, dag_id: str, destination: Destination, *, after: str = "", before: str = ""
    ) -> Iterator[ObjectMeta]:
        """All objects, in byte order. S3's own listing continues after the key `after`, which follows the key `before`."""
        from hooks.engine import source_listing
        from hooks.source import SourceList

        if self.source_listing:
            listed = SourceList(
                uri=self.source_listing,
                aws_conn_id=self.aws_conn_id,
                gcp_conn_id=self.gcp_conn_id,
                bucket=self.source_bucket,
                prefix=self.source_prefix,
                stop=destination.stop,
            )
            return listed.objects(log.info)
        if not self.earlier:
            return source_listing(
                self.aws_conn_id,
                self.source_bucket,
                self.source_prefix,
                after=after,
                before=before,
                stop=destination.stop,
            )
        done = "planned" if self.plan_run else "left unfinished"
        log.info("not listing S3: using the objects that the run %s %s", self.earlier, done)
        return self.earlier_objects(dag_id, run.open_task, destination, run=run.name, now=self.record_of(run.run_id))

    def is_nothing(self, summary: ListingSummary, mode: str) -> bool:
        """Whether this source has nothing to copy, which is more likely a mistake than a success.

        listed           mode              nothing
        none             any               yes, unless an earlier run left nothing unfinished
        some, none of    transfer          yes
        them to copy     plan, verify      no: a plan reports it, a verification has its own verdict
        any other        any               no
        """
        if not summary.counts.listed:
            return not self.earlier
        return summary.is_empty and mode == "transfer"

    def why_nothing(self, summary: ListingSummary) -> str:
        """The message for people when no objects are listed, or none of them can be copied."""
        from transfer.reconciliation.report import nothing_to_copy

        place, counts = f"s3://{self.source_bucket}/{self.source_prefix}", summary.counts
        if counts.listed > counts.left_out:
            return f"{place}: {nothing_to_copy(counts.listed)}; archived.csv of such a run names what is archived"
        if counts.listed:
            return (
                f"of the {counts.listed:,} objects of {place}, none is selected: check include, exclude and the bounds, or set"
                f" allow_empty if that is expected {IN_A_ROUTE}"
            )
        nothing = (
            f"{self.source_listing} names no objects of {place}" if self.source_listing else f"{place} holds no objects"
        )
        return f"{nothing}: check bucket and prefix, or set allow_empty if that is expected {IN_A_ROUTE}"
