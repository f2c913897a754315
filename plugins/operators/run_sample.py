"""Reads a sample of a run's objects back, and shows how far that is."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from operators.live_progress import LiveProgress

if TYPE_CHECKING:
    from airflow.sdk import Context

    from transfer.model import DestinationObject
    from transfer.reconciliation.report import ReconciliationReport
    from transfer.reconciliation.run_context import RunContext
    from transfer.reconciliation.sampling import SampleReader, SampleReport
    from transfer.stopping import Stop

log = logging.getLogger(__name__)


def sampled(
    report: ReconciliationReport,
    run: RunContext,
    context: Context,
    *,
    opening: str,
    percent: float,
    destination: Iterable[DestinationObject],
    reader: SampleReader,
    stop: Stop,
) -> ReconciliationReport:
    """The report, after a sample of the matched objects has been read back from both sides and compared byte for byte."""
    from transfer.accounting.progress_reporter import log_interval_s
    from transfer.reconciliation.passes import sample_pass
    from transfer.reconciliation.sampling import Sampling

    log.info("reading %g %% of the matched objects back from both sides to compare them byte for byte", percent)
    began_at_s = logged_at_s = time.monotonic()

    def show(sample: SampleReport) -> None:
        nonlocal logged_at_s
        live.show(sample)
        if (now_s := time.monotonic()) - logged_at_s >= log_interval_s(now_s - began_at_s):
            logged_at_s = now_s
            log.info("%s; %s bytes of each side", sample, f"{sample.bytes_read:,}")

    with LiveProgress(context, opening=opening) as live:
        report = sample_pass(
            report,
            run,
            destination=destination,
            sampling=Sampling(reader=reader, percent=percent, stop=stop, on_report=show),
        )
    log.info("%s", report.sample)
    return report
