"""Checks the report of a run with two workers, wherever it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from demo.airflow_api import Run
from pipeline import Pipeline
from transfer.accounting.rate_history import RateHistory, total


def check_report(pipeline: Pipeline, run: Run, summary: Mapping[str, Any], edge_requests: Sequence[int]) -> None:
    """What the run was for and what it took, in the records, in Airflow's database, and as a page."""
    name = summary["report_uri"].removeprefix(f"gs://{pipeline.cloud.destination_bucket}/")
    records = pipeline.gcs.bucket(pipeline.cloud.destination_bucket)
    report = json.loads(records.blob(name).download_as_bytes())
    assert pipeline.airflow.xcom(run, "verify", key="report") == report
    assert report["source"] == f"s3://{pipeline.cloud.source_bucket}/main/"
    assert report["destination"] == f"gs://{pipeline.cloud.destination_bucket}/main/"
    assert report["parameters"]["max_requests_per_s"] == 9_000 and "cloudfront_conn_id" not in report["parameters"]
    assert report["seconds"] == pytest.approx(sum(report["phases"].values()), abs=0.5)
    assert report["phases"]["copying"] > 0 and report["mib_per_s"] > 0
    assert report["requests"]["edge"] == sum(edge_requests) >= summary["listed"]
    assert report["edge_bytes"] >= summary["bytes_copied"] == sum(band["bytes"] for band in report["sizes"])
    assert report["costs"]["least_usd"] > 0 and "edge" not in report["computed"]
    histories = [
        RateHistory.of(pipeline.airflow.task_state(run, "transfer", map_index=index)["history"]) for index in (0, 1)
    ]
    assert sum(total(histories).objects) == summary["listed"]
    assert sum(total(histories).bytes) == summary["bytes_copied"]
    page = records.blob(name.replace("report.json", "report.html")).download_as_bytes().decode()
    assert "<!doctype html>" in page.lower() and report["source"] in page
