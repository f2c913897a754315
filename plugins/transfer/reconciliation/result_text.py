"""The result of a run as a few lines of text, for the log of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transfer.accounting.progress import human_bytes, human_seconds
from transfer.planning.costs import S3_DIRECT
from transfer.reconciliation.reasons import reason_line
from transfer.reconciliation.report import ReconciliationReport
from transfer.reconciliation.run_details import MIB
from transfer.reconciliation.verdicts import Verdict


def result_text(report: ReconciliationReport, *, report_uri: str) -> str:
    """What was copied from where to where, how long it took, how fast it was, what it cost, and where the report is."""
    done = "compared" if report.details.mode == "verify" else "copied"
    head = f"{report.details.source} {done} {'with' if done == 'compared' else 'to'} {report.details.destination}"
    rows = [*_counts(report), *_account(report), ("report", report_uri)]
    return "\n".join([head, *(f"  {name:<9} {text}" for name, text in rows)])


def _counts(report: ReconciliationReport) -> Iterator[tuple[str, str]]:
    listed_bytes = sum(band.size_bytes for band in report.sizes)
    yield "listed", f"{_objects(report.listed)}, {human_bytes(listed_bytes)}"
    if report.details.mode == "verify":
        yield "matched", _objects(report.matched)
    else:
        yield "copied", f"{_objects(report.copied)}, {human_bytes(report.bytes_copied)}"
    skipped = [reason for reason in report.reasons if reason.verdict is Verdict.SKIPPED]
    for name, count, reasons in (
        ("skipped", report.skipped, reason_line(skipped)),
        ("not done", report.listed - report.matched - report.skipped, reason_line(report.unfinished_reasons)),
    ):
        if count:
            yield name, f"{_objects(count)}: {reasons}"
    if report.republished and not report.is_final:
        yield "retried", f"{_objects(report.republished)} of those not done"
    if report.extra:
        yield (
            "extra",
            f"{_objects(report.extra)} at the destination that the source does not have; the parameter delete_extraneous"
            " lists or deletes them",
        )
    if report.evidence:
        yield "evidence", evidence_line(report.evidence)


def _account(report: ReconciliationReport) -> Iterator[tuple[str, str]]:
    details = report.details
    if details.day:
        yield "date", details.day
    if details.seconds:
        phases = ", ".join(f"{name.replace('_', ' ')} {human_seconds(span)}" for name, span in details.phases.items())
        yield "time", f"{human_seconds(details.seconds)}: {phases}"
    if report.copied and details.mib_per_s:
        yield "rate", f"{human_bytes(details.mib_per_s * MIB)}/s, {details.objects_per_s:,.1f} objects/s while copying"
    if details.requests.get("edge"):
        yield "edge", f"{details.requests['edge']:,} requests, {human_bytes(details.edge_bytes)}"
    if details.costs:
        yield "cost", _cost(details.costs, details.prices_as_of)


def _cost(costs: Mapping[str, Any], as_of: str) -> str:
    ways = [way for way in costs["ways"] if way["way"] != S3_DIRECT]
    cheapest = min([way for way in ways if way["months"] == 1] or ways, key=lambda way: way["usd"])
    direct = sum(way["usd"] for way in costs["ways"] if way["way"] == S3_DIRECT)
    return (
        f"{_usd(costs['common_usd'] + cheapest['usd'])} with {cheapest['way']}, {_usd(costs['common_usd'] + direct)} by"
        f" {S3_DIRECT}, in a month without other traffic (prices of {as_of})"
    )


def _usd(amount: float) -> str:
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"


def _objects(count: int) -> str:
    return "1 object" if count == 1 else f"{count:,} objects"


def evidence_line(evidence: Mapping[str, Mapping[str, int]]) -> str:
    """The evidence as one line of text, such as `copied: 990 etag-md5, 10 transport`; empty when there is none."""
    return "; ".join(
        f"{claim}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}"
        for claim, counts in evidence.items()
    )
