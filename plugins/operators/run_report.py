"""Presents the report of a reconciliation: in the log, as counts for XCom, and as the verdict of a run."""

from __future__ import annotations

import logging
import time
from textwrap import wrap
from typing import TYPE_CHECKING

from operators.hand_over import PassResult

if TYPE_CHECKING:
    from operators.run_identity import RunIdentity
    from transfer.reconciliation.report import ReconciliationReport
    from transfer.records.verdict import RunVerdict

log = logging.getLogger(__name__)


def log_report(run: RunIdentity, report: ReconciliationReport, report_uri: str) -> PassResult:
    """Write the result to the log, and return its counts. What to do about each reason is said once, by the verdict."""
    from transfer.reconciliation.result_text import result_text

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
    log.info("%s", result_text(report, report_uri=report_uri))
    if report.unbound:
        log.warning(
            "%s copies bear no proof of their bytes, because Cloud Storage refused the label (storage.objects.update?): this"
            " run's ledger shows what they hold, and a later run will copy them again",
            f"{report.unbound:,}",
        )
    return result


def verdict_on(run: RunIdentity, report: ReconciliationReport, *, was_copied: bool) -> RunVerdict:
    """The verdict that results from the report. `was_copied` is whether the run copied, rather than compared only."""
    from transfer.records.verdict import RunVerdict

    said = "every object is there" if report.is_green else report.why_red(was_copied=was_copied)
    return RunVerdict(transfer_id=run.transfer_id, is_plan=False, is_green=report.is_green, said=said)


def why_failed(verdict: RunVerdict, report: ReconciliationReport, report_uri: str) -> str:
    """The message with which a red run fails: what is wrong, for each reason what to do about it, and where to read more."""
    from transfer.reconciliation.reasons import WIDTH, reason_table

    table = reason_table(report.unfinished_reasons)
    said = wrap(f"{verdict.said}{':' if table else ''}", WIDTH, break_long_words=False)
    return "\n".join(filter(None, [*said, table, f"report: {report_uri}", "each object: failures.csv beside it"]))
