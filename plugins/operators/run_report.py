"""Presents the report of a reconciliation: in the log, as counts for XCom, and as the verdict of a run."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

from operators.hand_over import PassResult

if TYPE_CHECKING:
    from operators.run_identity import RunIdentity
    from transfer.reconciliation.report import ReconciliationReport
    from transfer.records.verdict import RunVerdict

log = logging.getLogger(__name__)


def log_report(run: RunIdentity, report: ReconciliationReport, report_uri: str) -> PassResult:
    """Write a summary of the report to the log, and return its counts."""
    from transfer.reconciliation.report import evidence_line, reason_table

    result = PassResult(
        run_id=run.run_id,
        listed=report.listed,
        copied=report.copied,
        skipped=report.skipped,
        failed=report.failed,
        matched=report.matched,
        missing=report.missing,
        differing=report.differing,
        extra=report.extra,
        bytes_copied=report.bytes_copied,
        seconds=round(time.time() - run.opened_at_s, 1),
        report_uri=report_uri,
    )
    log.info("%s", json.dumps(result.to_dict()))
    if report.evidence:
        log.info("evidence for the matched objects: %s", evidence_line(report.evidence))
    if report.unbound:
        log.warning(
            "%s copies bear no proof of their bytes, because Cloud Storage refused the label (storage.objects.update?): this"
            " run's ledger shows what they hold, and a later run will copy them again",
            f"{report.unbound:,}",
        )
    if report.reasons:
        log.info("not copied, by reason:\n%s", reason_table(report.reasons))
    return result


def verdict_on(run: RunIdentity, report: ReconciliationReport, report_uri: str, *, was_copied: bool) -> RunVerdict:
    """The verdict that results from the report. `was_copied` is whether the run copied, rather than compared only."""
    from transfer.reconciliation.report import reason_table
    from transfer.records.verdict import RunVerdict

    said = f"every object is there; report: {report_uri}"
    if not report.is_green:
        said = (
            f"{report.why_red(was_copied=was_copied)}; report: {report_uri}, and each object in failures.csv beside it\n"
            f"{reason_table(report.unfinished_reasons)}"
        )
    return RunVerdict(transfer_id=run.transfer_id, is_plan=False, is_green=report.is_green, said=said)
