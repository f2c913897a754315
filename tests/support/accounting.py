"""Whether a run has accounted for every object: its records and both buckets, read back independently of the engine."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.cloud import pubsub_v1

from demo.airflow_api import Run
from pipeline import Pipeline

STATE_PREFIX = ".edgehaul/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a run recorded."""

    report: dict[str, Any]
    manifest: dict[str, dict[str, Any]]
    """By key, of the listing that counts."""
    ledger: dict[str, list[dict[str, Any]]]
    """By key, of all listings and workers."""
    failures: dict[str, dict[str, str]]
    """The rows of failures.csv, by key."""


def account_of(pipeline: Pipeline, run: Run) -> Account:
    """Read a run's records."""
    summary = pipeline.airflow.xcom(run, "verify")
    assert summary, pipeline.logs(run)[-6000:]
    bucket = pipeline.gcs.bucket(pipeline.cloud.destination_bucket)
    folder = summary["report_uri"].removeprefix(f"gs://{bucket.name}/").removesuffix("report.json")
    report = json.loads(bucket.blob(f"{folder}report.json").download_as_bytes())
    rows = bucket.blob(f"{folder}failures.csv").download_as_bytes().decode()
    ledger: dict[str, list[dict[str, Any]]] = {}
    for line in _lines(bucket, f"{folder}ledger/"):
        ledger.setdefault(line["key"], []).append(line)
    return Account(
        report=report,
        manifest={line["key"]: line for line in _lines(bucket, f"{folder}manifest/{report['listing']}-")},
        ledger=ledger,
        failures={row["key"]: row for row in csv.DictReader(io.StringIO(rows, newline=""))},
    )


def _lines(bucket: Any, prefix: str) -> Iterable[dict[str, Any]]:
    for blob in bucket.list_blobs(prefix=prefix):
        yield from map(json.loads, gzip.decompress(blob.download_as_bytes(raw_download=True)).splitlines())


def check(
    pipeline: Pipeline,
    run: Run,
    bodies: dict[str, bytes],
    *,
    prefix: str,
    destination_prefix: str | None = None,
    changed: Iterable[str] = (),
) -> Account:
    """No object lost, none wrong, none unexplained, and the counts add up.

    `bodies` is what was in the source when the run began; the keys in `changed` may since have been deleted or replaced,
    and so may be failed. Everything else must be at the destination byte for byte.
    """
    account, changed = account_of(pipeline, run), set(changed)
    report = account.report
    assert set(account.manifest) == set(bodies)
    ends = [report[name] for name in ("matched", "skipped", "failed", "missing", "differing")]
    assert sum(ends) == report["listed"] == len(bodies), report
    assert (report["missing"], report["differing"], report["is_final"]) == (0, 0, True), report
    assert len(account.failures) == report["failed"]
    assert set(account.failures) <= changed, account.failures
    assert all(row["reason"] and row["message"] for row in account.failures.values())
    counts = Counter(reason["verdict"] for reason in report["reasons"] for _ in range(reason["count"]))
    assert (counts["failed"], counts["skipped"]) == (report["failed"], report["skipped"])

    to = prefix if destination_prefix is None else destination_prefix
    stored = pipeline.stored(to)
    for key, body in bodies.items():
        if key in account.failures:
            continue
        assert stored[to + key.removeprefix(prefix)] == body, f"{key} did not arrive as it was listed"
    expected = {to + key.removeprefix(prefix) for key in bodies}
    assert set(stored) <= expected, "an object that nobody listed"
    for key, line in account.manifest.items():
        if "skipped" not in line:
            assert account.ledger.get(key), f"{key} was moved, and no worker's ledger knows"
    return account


def subscriptions(pipeline: Pipeline) -> list[str]:
    """Every subscription there is. PUBSUB_EMULATOR_HOST has to be set."""
    with pubsub_v1.SubscriberClient() as client:
        return [item.name for item in client.list_subscriptions(project=f"projects/{pipeline.cloud.project}")]
