"""Runs written straight into Airflow's metadata database, as the scheduler and the tasks would have left them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any
from uuid import uuid4

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Table, func, insert, select
from sqlalchemy.orm import Session

OPERATORS = {
    "preflight": "PreflightOperator",
    "open_run": "OpenTransferRunOperator",
    "list": "S3ListToPubSubOperator",
    "transfer": "CloudfrontToGcsWorker",
    "reconcile": "ReconcileTransferOperator",
    "retry": "CloudfrontToGcsWorker",
    "verify": "ReconcileTransferOperator",
    "delete_extraneous": "DeleteExtraneousOperator",
    "close_run": "CloseTransferRunOperator",
}
BEFORE_THE_WORKERS = ("preflight", "open_run", "list")
ARGUMENTS = {
    "source_bucket": "photos",
    "source_prefix": "2026/",
    "destination_bucket": "archive",
    "destination_prefix": "",
    "gcp_conn_id": "google_cloud_default",
    "mode": "transfer",
    "date": "2026-11-29T10:00:00+00:00 (UTC), its logical date",
}


class SeededRun:
    """One DAG run, to which a test adds what its tasks wrote. `began_at` is that of the run."""

    def __init__(
        self,
        session: Session,
        run_id: str,
        *,
        dag_id: str = "s3_to_gcs",
        state: str = "running",
        began_at: datetime | None = None,
        conf: Mapping[str, Any] | None = None,
    ) -> None:
        self.session, self.dag_id, self.run_id = session, dag_id, run_id
        self.began_at = began_at or datetime.now(UTC) - timedelta(minutes=10)
        last = session.scalar(select(func.max(DagRun.id))) or 0
        self.number = last + 1
        self._add(
            DagRun,
            id=self.number,
            dag_id=dag_id,
            run_id=run_id,
            state=state,
            run_type="manual",
            run_after=self.began_at,
            start_date=self.began_at,
            end_date=None if state in ("running", "queued") else datetime.now(UTC),
            conf=dict(conf or {}),
        )

    def _add(self, model: Any, **values: Any) -> None:
        """A row of the table alone: the classes of Airflow need a DAG to be made."""
        table: Table = model.__table__
        self.session.execute(insert(table).values(**values))
        self.session.flush()

    def task(self, task_id: str, state: str | None = "success", map_index: int = -1, **values: Any) -> None:
        """A task instance."""
        self._add(
            TaskInstance,
            **{
                "id": uuid4(),
                "dag_id": self.dag_id,
                "run_id": self.run_id,
                "task_id": task_id,
                "map_index": map_index,
                "state": state,
                "operator": OPERATORS.get(task_id.rpartition(".")[2], "PythonOperator"),
                "try_number": 1,
                "max_tries": 6,
                "pool": "default_pool",
                "pool_slots": 1,
                "hostname": "worker.internal",
                "start_date": self.began_at if state else None,
                "end_date": None if state in (None, "running") else self.began_at + timedelta(seconds=30),
                "span_status": "not_started",
                **values,
            },
        )

    def xcom(self, task_id: str, key: str, value: Any, map_index: int = -1) -> None:
        """What a task handed over."""
        self._add(
            XComModel,
            dag_run_id=self.number,
            task_id=task_id,
            map_index=map_index,
            key=key,
            dag_id=self.dag_id,
            run_id=self.run_id,
            value=json.dumps(value),
            timestamp=datetime.now(UTC),
        )

    def store(self, task_id: str, key: str, value: Any, map_index: int = -1) -> None:
        """What a task wrote into its task state store."""
        self._add(
            TaskStateStoreModel,
            dag_run_id=self.number,
            task_id=task_id,
            map_index=map_index,
            key=key,
            dag_id=self.dag_id,
            run_id=self.run_id,
            value=json.dumps(value),
            updated_at=datetime.now(UTC),
        )

    def render(self, task_id: str, **arguments: Any) -> None:
        """The rendered arguments of a task."""
        self._add(
            RenderedTaskInstanceFields,
            dag_id=self.dag_id,
            task_id=task_id,
            run_id=self.run_id,
            map_index=-1,
            rendered_fields={**ARGUMENTS, **arguments},
        )

    def listed(self, objects: int, size_bytes: int, *, workers: int = 1, **summary: Any) -> None:
        """Everything up to the end of the listing."""
        for task_id in BEFORE_THE_WORKERS:
            self.task(task_id)
            self.render(task_id)
        identity = {
            "run_id": self.run_id,
            "transfer_id": "s3-to-gcs-x-1-abc",
            "state_bucket": "",
            "open_task": "open_run",
        }
        self.xcom("open_run", "return_value", identity)
        whole = {"mode": "transfer", "objects": objects, "bytes": size_bytes, "listed": objects, "workers": workers}
        self.xcom("list", "summary", {**whole, "skipped": 0, **summary})

    def worker(
        self, index: int, *, copied: int, size_bytes: int, failed: int = 0, state: str = "running", **progress: Any
    ) -> None:
        """A worker with 240 entries of history, slowed for a while, and its live counts."""
        self.task("transfer", state, index, rendered_map_index=f"worker {index + 1} of 64")
        counts = {"copied": copied, "skipped": 0, "failed": failed, "bytes_copied": size_bytes, "seconds": 480.0}
        self.store("transfer", "progress", {**counts, "lanes": 8, "threads": 16, **progress}, index)
        self.store("transfer", "history", history(copied, size_bytes), index)


def history(objects: int, size_bytes: int, *, entries: int = 240, interval_s: int = 2) -> dict[str, Any]:
    """A rate history up to now, whose entries add up to these numbers."""
    began_at_s = int(datetime.now(UTC).timestamp()) // interval_s * interval_s - entries * interval_s
    waves = [2 + math.sin(entry / 9) for entry in range(entries)]
    shares = [share / sum(waves) for share in accumulate(waves)]
    return {
        "interval_s": interval_s,
        "began_at_s": began_at_s,
        "bytes": _steps(size_bytes, shares),
        "objects": _steps(objects, shares),
        "lanes": [16 if not 100 < entry < 130 else 8 for entry in range(entries)],
    }


def _steps(whole: int, shares: Sequence[float]) -> list[int]:
    """The whole, cut where these shares of it are reached."""
    return [round(whole * end) - round(whole * begin) for begin, end in pairwise([0.0, *shares])]


REPORT: dict[str, Any] = {
    "run_id": "done",
    "mode": "transfer",
    "listed": 1000,
    "copied": 900,
    "matched": 950,
    "skipped": 20,
    "failed": 30,
    "missing": 0,
    "differing": 0,
    "extra": 0,
    "bytes_copied": 10_000_000_000,
    "reasons": [
        {
            "verdict": "failed",
            "reason": "SourceForbidden",
            "count": 30,
            "samples": ["a/b", "<img src=x onerror=alert(1)>", "=cmd()"],
            "advice": "let the distribution's origin access read the object (s3:GetObject)",
            "message": "CloudFront answered 403",
        },
        {"verdict": "skipped", "reason": "archived", "count": 20, "samples": ["old"], "advice": "restore them in S3"},
    ],
    "evidence": {"copied": {"etag-md5": 900}, "matched": {"etag-md5": 950}},
    "source": "s3://photos/2026/",
    "destination": "gs://archive/2026/",
    "day": "2026-11-28",
    "opened_at": "2026-11-29T10:00:00Z",
    "ended_at": "2026-11-29T10:02:10Z",
    "seconds": 130.0,
    "mib_per_s": 73.4,
    "objects_per_s": 6.9,
    "sizes": [{"objects": count, "bytes": count * 1000} for count in (10, 200, 600, 150, 30, 10, 0, 0)],
    "phases": {"listing_s": 3.0, "copying_s": 110.0, "judging_s": 7.0},
    "requests": {
        "edge": 1100,
        "gcs_class_a": 2000,
        "gcs_class_b": 40,
        "s3_list": 1,
        "pubsub_messages": 60,
        "how": "counted",
    },
    "edge_bytes": 10_000_000_000,
    "costs": {
        "ways": [
            {"way": "CloudFront pay-as-you-go", "usd": 0.0, "bytes_share": None, "requests_share": None, "months": 1},
            {"way": "CloudFront Free", "usd": 0.0, "bytes_share": 0.1, "requests_share": 0.001, "months": 1},
            {"way": "S3 direct", "usd": 0.9, "bytes_share": None, "requests_share": None, "months": 1},
        ],
        "cheapest": "CloudFront Free",
        "s3_requests_usd": 0.0,
        "s3_retrieval_usd": 0.0,
        "pubsub_usd": 0.0,
        "gcs_operations_usd": 0.01,
        "common_usd": 0.01,
        "least_usd": 0.01,
    },
    "prices_as_of": "2026-11-24",
}
"""A report.json of a red run."""
