"""The task verify reads a sample through the run's own connections."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from engine_rig import DESTINATION, PROJECT, SOURCE, engine_rig, fault
from operators.hand_over import ListingResult
from operators.reconcile_transfer import ReconcileTransferOperator
from operators.run_identity import RunIdentity


class Store(dict):
    """A task state store."""

    set = dict.__setitem__


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        aws = {"endpoint_url": made.s3.url, "region_name": made.s3.region}
        conn = {"conn_type": "aws", "login": made.s3.access_key_id, "password": made.s3.secret_access_key, "extra": aws}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(conn))
        google = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": PROJECT}}
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(google))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.gcs.url)
        yield made


def test_a_sample_is_read_through_the_runs_connections(rig) -> None:
    for index in range(5):
        rig.put(f"{index}", b"x" * index)
    _, report = rig.copy_all()
    operator = ReconcileTransferOperator(
        task_id="verify",
        reviews="reconcile",
        topic="t",
        source_bucket=SOURCE,
        destination_bucket=DESTINATION,
        verify_sample="100",  # as a template renders it
    )
    run = RunIdentity(run_id="r", transfer_id="run-1-1-abc", subscription="s", error_subscription="e", opened_at_s=0)
    listing = ListingResult(
        run=run,
        listing=report.listing,
        messages=5,
        objects=5,
        bytes=10,
        mode="transfer",
        listed=5,
        skipped=0,
        is_whole_source=True,
        workers=1,
    )
    store = Store()
    context: Any = {"task_state_store": store, "ti": SimpleNamespace(try_number=1)}
    sampled = operator._sampled(context, run, listing, report)
    assert sampled.is_green
    assert sampled.sample is not None
    assert (sampled.sample.chosen, sampled.sample.equal) == (5, 5)
    assert store["progress"]["equal"] == 5
    assert rig.report() == sampled

    rig.s3.faults.replace([fault("GET .*/3", "status", status=403, body="<Error><Code>AccessDenied</Code></Error>")])
    sampled = operator._sampled(context, run, listing, report)
    assert sampled.sample is not None
    assert (sampled.sample.unreadable, sampled.is_green) == (1, False)
