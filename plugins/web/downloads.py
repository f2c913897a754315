"""Downloads of a run's records: streamed from their bucket by the run's own connection, for whom may read the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from urllib.parse import urlencode

from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi.responses import StreamingResponse

from operators.run_identity import OPEN_TASK, run_name
from pages.documents import Document
from pages.records import Link, Result
from transfer.plain_text import one_line
from transfer.records.layout import (
    ARCHIVED_CSV,
    DELETED_CSV,
    EXTRANEOUS_CSV,
    FAILURES_CSV,
    PLAN_JSON,
    REPORT_HTML,
    REPORT_JSON,
    SAMPLE_CSV,
    STATE_PREFIX,
    of_attempt,
)
from web.answers import HEADERS
from web.run_rows import DELETE, OPEN, RunRows

log = logging.getLogger(__name__)

LABELS: Mapping[str, str] = {
    "failures.csv": "failures.csv: every object that was not copied, and why",
    "archived.csv": "archived.csv: the objects to restore in S3, which a later run can take as its manifest",
    "extraneous.csv": "extraneous.csv: the objects that only the destination has",
    "deleted.csv": "deleted.csv: what became of each of them",
    "sample.csv": "sample.csv: the objects that were read back and compared",
    REPORT_HTML: "report.html: this page in one file",
    REPORT_JSON: "report.json: this page for programs",
    PLAN_JSON: "plan.json: the plan for programs",
}
"""The files that can be downloaded, by the name in the address."""
CSV_FILES = {f"{base}.csv": base for base in (FAILURES_CSV, ARCHIVED_CSV, EXTRANEOUS_CSV, DELETED_CSV, SAMPLE_CSV)}
OF_DELETION = (EXTRANEOUS_CSV, DELETED_CSV)
TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "html": "text/html; charset=utf-8"}


class Unavailable(Exception):
    """A record that cannot be downloaded; the message is one sentence for people. `status` is the HTTP status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run's records are, and the connection that may read them."""

    gcp_conn_id: str
    bucket: str
    run: str
    """The name of the folder of the run's records."""


def downloads_of(rows: RunRows, result: Result, *, has_report: bool, has_plan: bool) -> tuple[Link, ...]:
    """The links to the files that the run has written, by its report."""
    skipped = {row.reason for row in result.skipped}
    labels = {row.label for row in result.extra}
    written = {
        "failures.csv": has_report and bool(result.failures),
        "archived.csv": "archived" in skipped,
        "extraneous.csv": has_report and _has_ended(rows, DELETE),
        "deleted.csv": "deleted" in labels,
        "sample.csv": has_report and any("Read back" in note for note in result.proof_notes),
        REPORT_HTML: (has_report or has_plan) and bool(result.costs),
        REPORT_JSON: has_report,
        PLAN_JSON: has_plan,
    }
    key = {"dag_id": rows.key.dag_id, "run_id": rows.key.run_id, "group": rows.group}
    return tuple(
        Link(label=label, url=f"run/download?{urlencode({**key, 'name': name})}")
        for name, label in LABELS.items()
        if written[name]
    )


def _has_ended(rows: RunRows, part: str) -> bool:
    return any(task.state in ("success", "failed") for task in rows.tasks.get(part, ()))


def place_of(rows: RunRows) -> Place:
    """Where the records of a run are. Raises Unavailable when the database does not say it."""
    opened = Document(rows.result(OPEN, "return_value"))
    bucket = opened.text("state_bucket", 250) or rows.argument("destination_bucket")
    if not opened or not bucket:
        raise Unavailable(
            404, "This run has no records: it was never opened, or Airflow no longer knows where its records are."
        )
    open_task = opened.text("open_task", 250) or OPEN_TASK
    # The name is computed, and not read: what a task hands over cannot point this page to other objects.
    return Place(
        gcp_conn_id=rows.argument("gcp_conn_id") or "google_cloud_default",
        bucket=bucket,
        run=run_name(rows.key.dag_id, rows.key.run_id, open_task),
    )


def download(rows: RunRows, name: str) -> StreamingResponse:
    """The file, all its parts in one. Raises Unavailable before anything is sent."""
    from hooks.records import RecordGone, RecordUnreadable  # libcurl, which no other part of a page needs

    if name not in LABELS:
        raise Unavailable(404, f"There is no download of the name {one_line(name, 100)}: choose {', '.join(LABELS)}.")
    place = place_of(rows)
    pieces = _pieces(rows, place, name)
    try:
        first = next(pieces, b"")
    except RecordGone:
        raise Unavailable(
            404,
            f"{name} is not among the records of this run in gs://{place.bucket}: the run wrote none, or its records were"
            " deleted since (keep_runs).",
        ) from None
    except RecordUnreadable as error:
        sentence = one_line(str(error), 600)
        raise Unavailable(
            502,
            f"{name} cannot be read with the connection {place.gcp_conn_id!r}: {sentence}{'.' * (sentence[-1:] != '.')}",
        ) from error
    except AirflowNotFoundException:
        raise Unavailable(
            502,
            f"{name} cannot be read: the API server has no connection {place.gcp_conn_id!r}, which the run used; store it in"
            " Airflow's connections, not in the environment of the workers alone.",
        ) from None
    return StreamingResponse(
        _sent(name, chain([first], pieces)),
        media_type=TYPES[name.rpartition(".")[2]],
        headers={**HEADERS, "Content-Disposition": f'attachment; filename="{place.run}-{name}"'},
    )


def _pieces(rows: RunRows, place: Place, name: str) -> Iterator[bytes]:
    from hooks.records import csv_pieces, record_pieces

    folder = f"{STATE_PREFIX}{place.run}/"
    base = CSV_FILES.get(name)
    if base is None:
        return record_pieces(place.gcp_conn_id, place.bucket, folder + name)
    if base in OF_DELETION and rows.tasks.get(DELETE):
        base = of_attempt(base, rows.tasks[DELETE][0].attempt or 1)
    return csv_pieces(place.gcp_conn_id, place.bucket, folder + base)


def _sent(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces. An error breaks the answer off, so that the browser does not take a part for the whole."""
    from hooks.records import RecordGone, RecordUnreadable

    try:
        yield from pieces
    except (RecordUnreadable, RecordGone) as error:
        log.warning("the download of %s was broken off: %s: %s", name, type(error).__name__, one_line(str(error)))
        raise
