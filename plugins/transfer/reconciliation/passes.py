"""One pass of the reconciliation, from the records of a run to its report."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from transfer.errors import RunUnknown, Stage
from transfer.listing.batches import Batches
from transfer.model import DestinationObject
from transfer.naming import NameFilter, Naming
from transfer.ports import RequestPublisher, RequestQueue, StateStore
from transfer.reconciliation.failures import FailureTable, drain_failures, load_failures
from transfer.reconciliation.reconcile import judge_keys, reconcile
from transfer.reconciliation.report import ReconciliationReport, write_report
from transfer.reconciliation.sampling import SAMPLE_COLUMNS, SampleReader, SampleReport, compare_sample, new_seed
from transfer.reconciliation.verdicts import Pass, Verdict
from transfer.records.csv_file import CsvFile
from transfer.records.in_flight import crash_of, fatal_error_of
from transfer.records.layout import IN_FLIGHT, SAMPLE_CSV
from transfer.records.ledger import ledger_unbound
from transfer.records.manifest import read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Republished:
    """What a pass published again."""

    messages: int
    objects: int
    bytes: int


def round_name(listing: str, attempt: int, which: Pass) -> str:
    """The name of a pass over a listing, and of the listing that it publishes. `attempt` is the task's try, from 1."""
    return f"{listing}.{attempt:03d}{'v' if which is Pass.FINAL else ''}"


def rounds(state: StateStore, listing: str) -> list[str]:
    """The listing and those published after it that workers have begun, in order."""
    later = re.compile(rf"{IN_FLIGHT}({re.escape(listing)}\.\d+)-")
    found = {match[1] for entry in state.entries(f"{IN_FLIGHT}{listing}.") if (match := later.match(entry.name))}
    return [listing, *sorted(found)]


def run_pass(
    which: Pass,
    *,
    state: StateStore,
    destination: Iterable[DestinationObject],
    errors: RequestQueue | None,
    publisher: RequestPublisher,
    naming: Naming,
    run_id: str,
    transfer_id: str,
    listing: str,
    listed: int,
    attempt: int,
    may_replace: bool,
    has_extras: bool,
    name_filter: NameFilter | None = None,
    allows_empty: bool = False,
) -> tuple[ReconciliationReport, Republished]:
    """Judge every key of a listing, publish again what is worth it, and store the report, once all else is stored.

    `errors` is the error topic's subscription, None when it is newer than the work. `run_id` is Airflow's, for people,
    `transfer_id` what messages carry. A pass that was broken off is simply made again, as the next attempt: what it
    published belongs to a listing that nobody waits for. Raises RunUnknown when the manifest does not name all `listed`
    objects, ListingOutOfOrder, or what the backends raise.
    """
    this = round_name(listing, attempt, which)
    earlier = rounds(state, listing)
    fatal = fatal_error_of(state, earlier[-1]) if which is not Pass.REPLAY else ""
    if fatal:
        which = Pass.FINAL  # another try would end alike: it takes a person
    batches = Batches(publisher, run_id=transfer_id, listing=this, attempt=len(earlier) + 1)
    with FailureTable() as failures:
        load_failures(state, failures, earlier)
        if errors is not None:
            drain_failures(errors, state, failures, run_id=transfer_id, listing=earlier[-1], reader=this)
        report = reconcile(
            judge_keys(
                read_manifest(state, listing),
                destination,
                failures.sorted(),
                ledger_unbound(state, earlier),
                naming=naming,
                name_filter=name_filter,
            ),
            state,
            which=which,
            run_id=run_id,
            listing=listing,
            round_name=this,
            may_overwrite=may_replace and which is Pass.REPLAY,
            has_extras=has_extras,
            invalid_messages=failures.invalid_messages,
            why_missing=fatal or crash_of(state, earlier[-1]),
            republisher=batches,
            allows_empty=allows_empty,
        )
    if report.listed != listed:
        raise RunUnknown(
            f"{listed:,} objects were listed, and the manifest under {state.uri} names {report.listed:,}: its records were"
            " removed or changed (keep_runs, state_bucket), so nothing can be proved; start another run",
            stage=Stage.RECONCILE,
        )
    batches.flush()
    publisher.flush()
    write_report(state, report)
    counts = batches.counts
    return report, Republished(messages=counts.messages, objects=counts.objects, bytes=counts.size_bytes)


def sample_pass(
    report: ReconciliationReport,
    reader: SampleReader,
    *,
    state: StateStore,
    destination: Iterable[DestinationObject],
    naming: Naming,
    percent: float,
    stop: threading.Event,
    on_report: Callable[[SampleReport], None] = lambda report: None,
) -> ReconciliationReport:
    """Compare a share of what a final report calls matched byte for byte, and store the report with what that came to.

    Raises Stopped, ListingOutOfOrder, or what the backends raise.
    """
    listing = report.listing
    judged = judge_keys(
        read_manifest(state, listing), destination, (), ledger_unbound(state, rounds(state, listing)), naming=naming
    )
    sample = compare_sample(
        ((key.item, key.stored) for key in judged if key.verdict is Verdict.MATCHED and key.item and key.stored),
        reader,
        CsvFile(state, SAMPLE_CSV, SAMPLE_COLUMNS),
        percent=percent,
        seed=new_seed(),
        stop=stop,
        on_report=on_report,
    )
    report = replace(report, sample=sample)
    write_report(state, report)
    return report
