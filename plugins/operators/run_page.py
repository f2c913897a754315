"""Writes report.html, the page of a finished run, beside its other records."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from operators.live_progress import HISTORY_KEY
from operators.siblings import sibling
from transfer.plain_text import one_line

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as Task

    from transfer.ports import StateStore

WORKERS = ("transfer", "retry")
"""The task ids of the workers."""

log = logging.getLogger(__name__)


def write_page(
    state: StateStore,
    task: Task,
    *,
    report: Mapping[str, object] | None = None,
    plan: Mapping[str, object] | None = None,
) -> None:
    """Store the page of a report or a plan, in place of an earlier one. A page that cannot be made or stored ends no task."""
    from pages import report_html
    from pages.run_view import of_report
    from transfer.records.layout import REPORT_HTML

    try:
        histories = [] if report is None else _histories(task)
        html = report_html(of_report(report, plan, histories, dag_id=str(task.dag_id)))
        state.write(REPORT_HTML, html.encode("utf-8", "replace"), content_type="text/html; charset=utf-8")
    except Exception as error:  # noqa: BLE001 - report.json has everything that the page shows
        log.warning("report.html could not be written: %s: %s", type(error).__name__, one_line(str(error)))


def _histories(task: Task) -> list[object]:
    """The rates over time of all workers that ended well."""
    found = task.xcom_pull(task_ids=[sibling(task, name) for name in WORKERS], key=HISTORY_KEY)
    return [each for each in found or () if each]
