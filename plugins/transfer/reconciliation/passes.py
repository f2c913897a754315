"""One pass of the reconciliation, from the records of a run to its report."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from transfer.accounting.traffic import WorkerTraffic
from transfer.config import TransferConfig
from transfer.errors import RunUnknown, Stage
from transfer.listing.batches import Batches
from transfer.model import DestinationObject
from transfer.planning.usage import UsageMeter
from transfer.ports import RequestPublisher, RequestQueue, StateStore
from transfer.reconciliation.failures import FailureRecords, FailureTable, drain_failures, load_failures
from transfer.reconciliation.reconcile import PassSettings, judge_keys, reconcile
from transfer.reconciliation.report import ReconciliationReport, write_report
from transfer.reconciliation.run_context import RunContext
from transfer.reconciliation.run_details import RunDetails, RunFacts
from transfer.reconciliation.sampling import SAMPLE_COLUMNS, Sampling, compare_sample
from transfer.reconciliation.verdicts import Pass, Verdict
from transfer.records.csv_file import CsvFile
from transfer.records.in_flight import crash_of, fatal_error_of
from transfer.records.layout import IN_FLIGHT, SAMPLE_CSV
from transfer.records.ledger import ledger_traffic, ledger_unbound
from transfer.records.listing_record import ListingCounts
from transfer.records.manifest import read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Republished:
    """The objects that a pass published again."""

    messages: int
    message_bytes: int
    """The bytes that Pub/Sub bills for these messages."""
    objects: int
    size_bytes: int

    @classmethod
    def of(cls, counts: ListingCounts) -> Republished:
        """What `counts` say of the messages of a pass."""
        return cls(
            messages=counts.messages,
            message_bytes=counts.message_bytes,
            objects=counts.objects,
            size_bytes=counts.size_bytes,
        )


def round_name(listing: str, attempt: int, which: Pass) -> str:
    """The name of a pass over a listing, and of the listing that the pass publishes.

    `attempt` is the attempt of the Airflow task, from 1.
    """
    return f"{listing}.{attempt:03d}{'v' if which is Pass.FINAL else ''}"


def rounds(state: StateStore, listing: str) -> list[str]:
    """The listing, and the later ones published from it that workers have started on, in order."""
    later = re.compile(rf"{IN_FLIGHT}({re.escape(listing)}\.\d+)-")
    found = {match[1] for entry in state.entries(f"{IN_FLIGHT}{listing}.") if (match := later.match(entry.name))}
    return [listing, *sorted(found)]


def run_pass(
    run: RunContext,
    settings: PassSettings,
    *,
    destination: Iterable[DestinationObject],
    errors: RequestQueue | None,
    publisher: RequestPublisher,
    facts: RunFacts | None = None,
    config: TransferConfig | None = None,
) -> tuple[ReconciliationReport, Republished]:
    """Judge every key of a listing, publish again what is worth retrying, and store the report after everything else.

    `destination` lists the objects under the destination prefix in byte order. `errors` is the subscription to the error
    topic; None when it is newer than the work, so that it has none of the failures. `facts` are for the details in the report,
    which has none without them; `config` is that of the workers, by which requests are computed.

    A pass that was interrupted is repeated as the next attempt; no worker takes part in the listing that it published.
    Raises RunUnknown when the manifest does not name as many objects as were listed, ListingOutOfOrder, and whatever the
    backends raise.
    """
    this = round_name(run.listing, run.attempt, settings.which)
    earlier = rounds(run.state, run.listing)
    fatal_error = fatal_error_of(run.state, earlier[-1]) if settings.which is not Pass.REPLAY else ""
    if fatal_error:
        settings = replace(settings, which=Pass.FINAL)  # a retry would end the same way until a person intervenes
    meter = UsageMeter(config or TransferConfig())
    batches = Batches(publisher, run_id=run.transfer_id, listing=this, attempt=len(earlier) + 1)
    with FailureTable() as failures:
        load_failures(run.state, failures, earlier)
        if errors is not None:
            records = FailureRecords(run.state, listing=earlier[-1], reader=this)
            drain_failures(errors, failures, records, run_id=run.transfer_id)
        report = reconcile(
            judge_keys(
                read_manifest(run.state, run.listing),
                destination,
                failures.sorted(),
                ledger_unbound(run.state, earlier),
                naming=run.naming,
                name_filter=run.name_filter,
            ),
            run,
            settings,
            batches,
            round_name=this,
            why_missing=fatal_error or crash_of(run.state, earlier[-1]),
            invalid_messages=failures.invalid_messages,
            meter=meter,
        )
    _check_listed(report, run)
    batches.flush()
    publisher.flush()
    counts = batches.counts
    if facts is not None:
        facts = facts.with_messages(counts.messages, counts.message_bytes)
        report = replace(report, details=_details(report, facts, meter, ledger_traffic(run.state, earlier)))
    write_report(run.state, report)
    return report, Republished.of(counts)


def _check_listed(report: ReconciliationReport, run: RunContext) -> None:
    """Raise RunUnknown when the manifest does not name as many objects as were listed."""
    if report.listed != run.listed:
        raise RunUnknown(
            f"{run.listed:,} objects were listed, but the manifest under {run.state.uri} names {report.listed:,}: the run's"
            " records were removed or changed (keep_runs, state_bucket), so nothing can be verified; start another run",
            stage=Stage.RECONCILE,
        )


def _details(
    report: ReconciliationReport, facts: RunFacts, meter: UsageMeter, traffic: WorkerTraffic | None
) -> RunDetails:
    usage = meter.usage(
        listed=report.listed if facts.is_listed_in_s3 else None,
        stored=report.stored,
        message_bytes=facts.message_bytes,
    )
    return facts.details(report, usage=usage, traffic=traffic)


def sample_pass(
    report: ReconciliationReport, run: RunContext, *, destination: Iterable[DestinationObject], sampling: Sampling
) -> ReconciliationReport:
    """Compare a share of the objects that a final report calls matched byte for byte, and store the report with the result.

    Raises Stopped, ListingOutOfOrder, and whatever the backends raise.
    """
    verdicts = judge_keys(
        read_manifest(run.state, run.listing),
        destination,
        (),
        ledger_unbound(run.state, rounds(run.state, run.listing)),
        naming=run.naming,
    )
    matched = ((key.item, key.stored) for key in verdicts if key.verdict is Verdict.MATCHED and key.item and key.stored)
    sample = compare_sample(matched, CsvFile(run.state, SAMPLE_CSV, SAMPLE_COLUMNS), sampling)
    report = replace(report, sample=sample)
    write_report(run.state, report)
    return report
