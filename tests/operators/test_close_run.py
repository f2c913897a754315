"""The end of a run, on the local cloud: nothing that is paid for stays behind."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from engine_rig import DESTINATION, STATE_PREFIX, EngineRig, fault
from hooks.engine import Destination
from large_objects import MIB, abandoned, large_rig, left_behind, open_parts, put_in_parts
from operators.run_identity import RunIdentity
from operators.transfer_run import CloseTransferRunOperator
from task_stub import TaskStub
from transfer.records.verdict import RunVerdict

STATE_BUCKET = "records-bucket"


@pytest.fixture
def rig(tmp_path, monkeypatch):
    with large_rig(tmp_path, monkeypatch.setenv) as made:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.gcs.url)
        fields = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "p1"}}
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE", json.dumps(fields))
        put_in_parts(made, "large", os.urandom(12 * MIB))
        yield made


def close(run: RunIdentity) -> None:
    operator = CloseTransferRunOperator(
        task_id="close_run", run=run.to_dict(), destination_bucket=DESTINATION, gcp_conn_id="google"
    )
    operator.execute({"ti": TaskStub("close_run", states={"verify": "success"})})


def opened(rig: EngineRig, **fields: str) -> tuple[EngineRig, RunIdentity]:
    """A run that was opened, and verified."""
    run = RunIdentity.new(dag_id="s3_to_gcs", run_id="r1", opening=1, now_s=1_900_000_000.0, **fields)
    assert run.state_prefix.startswith(STATE_PREFIX)
    state = Destination.of_records("google", DESTINATION, run.state_bucket).state(run.state_prefix)
    RunVerdict(transfer_id=run.transfer_id, is_plan=False, is_green=True, said="all there").write(state)
    return replace(rig, run_id=run.name), run


def test_unfinished_uploads_are_given_up(rig: EngineRig) -> None:
    rig, run = opened(rig)
    abandoned(rig, "large")
    assert len(left_behind(rig)) == 3
    close(run)
    assert left_behind(rig) == []
    close(run)


def test_their_records_may_be_in_another_bucket(rig: EngineRig) -> None:
    bucket = rig.storage.create_bucket(STATE_BUCKET)
    rig, run = opened(rig, state_bucket=STATE_BUCKET)
    abandoned(rig, "large")
    for blob in rig.storage.list_blobs(DESTINATION, prefix=STATE_PREFIX):
        rig.storage.bucket(DESTINATION).copy_blob(blob, bucket)
        blob.delete()
    close(run)
    assert open_parts(rig) == []
    assert not [blob.name for blob in bucket.list_blobs() if "/uploads/" in blob.name and "/closed-" not in blob.name]


def test_what_cannot_be_given_up_does_not_fail_the_task(rig: EngineRig) -> None:
    rig, run = opened(rig)
    abandoned(rig, "large")
    rig.gcs.faults.replace([fault("DELETE .*uploadId", "status", status=403)])
    close(run)
    assert len(left_behind(rig)) == 3
