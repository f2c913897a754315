"""Collects what the tasks of a run know of it, for the details in its report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from operators.plan_record import prices_of_task

if TYPE_CHECKING:
    from airflow.sdk import Context

    from operators.hand_over import FirstPassResult, ListingResult
    from operators.reconcile_transfer import ReconcileTransferOperator
    from operators.run_identity import RunIdentity
    from transfer.planning.prices import Prices
    from transfer.reconciliation.run_details import RunFacts

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunAbout:
    """What a run is for, as its operator's parameters say."""

    source: str
    destination: str
    day: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The names and defaults of the parameters to record: others, of a DAG of a user's own, may be secret."""

    @classmethod
    def of(cls, operator: ReconcileTransferOperator) -> RunAbout:
        """What the operator's run is for."""
        return cls(
            source=f"s3://{operator.source_bucket}/{operator.source_prefix}",
            destination=f"gs://{operator.destination_bucket}/{operator.naming.destination_prefix}",
            day=operator.day,
            defaults=operator.parameter_defaults,
        )

    def parameters(self, context: Context) -> dict[str, Any]:
        """The run's parameters that have another value than the default."""
        values = context.get("params") or {}
        return {
            name: values[name]
            for name, default in self.defaults.items()
            if name in values and values[name] not in (None, "", [], default)
        }


def run_facts(
    about: RunAbout,
    context: Context,
    run: RunIdentity,
    listing: ListingResult,
    first: FirstPassResult | None,
    *,
    now_s: float,
) -> RunFacts:
    """The facts for a pass that begins now; `first` is the result of the first pass, for the final one."""
    from transfer.reconciliation.run_details import RunDetails, RunFacts

    is_own = first is not None and first.run.transfer_id == run.transfer_id
    return RunFacts(
        about=RunDetails(
            source=about.source,
            destination=about.destination,
            day=about.day,
            mode=listing.mode,
            parameters=about.parameters(context),
        ),
        opened_at_s=run.opened_at_s,
        spans=_spans(run, listing, first if is_own else None, now_s=now_s),
        is_listed_in_s3=listing.is_whole_source,
        messages=listing.messages + (first.messages if first else 0),
        message_bytes=listing.message_bytes + (first.message_bytes if first else 0),
        prices=_prices(),
    )


def _spans(
    run: RunIdentity, listing: ListingResult, first: FirstPassResult | None, *, now_s: float
) -> Sequence[tuple[Any, float]]:
    """The phases of this opening of the run until now, and when each ended."""
    from transfer.reconciliation.run_details import Phase

    if listing.mode == "verify":
        copying = Phase.JUDGING  # nothing is copied: the comparison waited for Airflow
    elif listing.run.transfer_id != run.transfer_id:
        return [(Phase.JUDGING, first.ended_at_s), (Phase.SECOND_PASS, now_s)] if first else []
    else:
        copying = Phase.COPYING
    spans = [(Phase.LISTING, listing.ended_at_s)]
    if first is None:
        return [*spans, (copying, now_s)]
    spans += [(copying, first.began_at_s), (Phase.JUDGING, first.ended_at_s)]
    return [*spans, (Phase.SECOND_PASS if first.republished else Phase.JUDGING, now_s)]


def _prices() -> Prices | None:
    """The prices to compute costs with. A price file that is wrong costs the report its costs, and nothing else."""
    from transfer.errors import PricesInvalid

    try:
        return prices_of_task()
    except PricesInvalid as error:
        log.warning("the report has no costs: %s", error.message)
        return None
