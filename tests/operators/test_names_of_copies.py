"""Several copies in one DAG: each has subscriptions, records and an index of its own, and finds its own tasks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from engine_rig import DESTINATION, PROJECT, EngineRig, engine_rig
from operators.run_identity import OPEN_TASK, RunIdentity, copy_name, run_name
from operators.siblings import refuse_when_closed, sibling
from operators.transfer_run import CloseTransferRunOperator, OpenTransferRunOperator
from task_stub import TaskStub


@pytest.fixture
def rig(tmp_path, monkeypatch):
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.gcs.url)
        fields = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": PROJECT}}
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE", json.dumps(fields))
        yield made


def identity(open_task: str, opening: int = 1) -> RunIdentity:
    return RunIdentity.new(dag_id="d", run_id="r", opening=opening, now_s=0.0, open_task=open_task)


def test_the_opening_task_belongs_to_every_name() -> None:
    one, other = identity("left.open_run"), identity("right.open_run")
    for name in ("subscription", "error_subscription", "name", "state_prefix"):
        assert getattr(one, name) != getattr(other, name)
    assert copy_name("d", "left.open_run") != copy_name("d", "right.open_run")
    assert copy_name("d") == copy_name("d", OPEN_TASK)
    # No two ids run together.
    assert run_name("a", "b", "c/d") != run_name("a", "b/c", "d")


def test_the_same_copy_finds_its_records_in_any_run() -> None:
    made = identity("left.open_run", opening=12)
    assert made.name == run_name("d", "r", "left.open_run")
    assert made.opening == 12
    assert RunIdentity(**json.loads(json.dumps(made.to_dict()))) == made


def test_a_task_finds_its_siblings_in_its_own_group() -> None:
    assert sibling(TaskStub("verify"), "list") == "list"
    assert sibling(TaskStub("outer.left.verify"), "list") == "outer.left.list"
    assert sibling(TaskStub("left.verify"), "elsewhere.list") == "elsewhere.list"


def test_a_task_of_a_closed_run_does_nothing() -> None:
    refuse_when_closed(TaskStub("left.transfer", states={"close_run": "success"}), "close_run")
    with pytest.raises(AirflowSkipException, match=r"clear left\.transfer with what is downstream of it"):
        refuse_when_closed(TaskStub("left.transfer", states={"left.close_run": "failed"}), "close_run")


def test_what_opened_nothing_is_one_sentence() -> None:
    with pytest.raises(AirflowFailException, match=r"left\.open_run has opened no run"):
        RunIdentity.of(None, "left.open_run")


def opened(rig: EngineRig, task: TaskStub) -> RunIdentity:
    operator = OpenTransferRunOperator(
        task_id="open_run",
        topic="requests",
        error_topic="failures",
        destination_bucket=DESTINATION,
        gcp_conn_id="google",
    )
    fields: Any = operator.execute({"ti": task})
    return RunIdentity(**fields)


def close(run: RunIdentity, task: TaskStub) -> str:
    operator = CloseTransferRunOperator(
        task_id="close_run", run=run.to_dict(), destination_bucket=DESTINATION, gcp_conn_id="google"
    )
    with pytest.raises(AirflowFailException) as caught:
        operator.execute({"ti": task})
    return str(caught.value)


def subscriptions(rig: EngineRig) -> set[str]:
    found = rig.subscriber.list_subscriptions(project=f"projects/{PROJECT}")
    return {item.name.rpartition("/")[2] for item in found if "edgehaul-" in item.name}


def test_a_run_that_nobody_closed_is_closed_by_the_next_one(rig: EngineRig) -> None:
    """Its teardown was skipped, or the run deleted. One that goes on, and another copy of the DAG, are left alone."""
    gone = opened(rig, TaskStub("open_run", run_id="gone", try_number=2))
    living = opened(rig, TaskStub("open_run", run_id="living"))
    other = opened(rig, TaskStub("right.open_run", run_id="gone"))
    mine = opened(rig, TaskStub("open_run", run_id="mine"))
    of_all = {name for run in (gone, living, other, mine) for name in (run.subscription, run.error_subscription)}
    assert subscriptions(rig) == of_all

    task = TaskStub("close_run", run_id="mine", open_runs=("mine", "living"), states={"verify": "skipped"})
    said = close(mine, task)
    assert "this run was not verified: verify is skipped" in said
    assert "clear list with what is downstream of it, or start another run" in said
    left = {name for run in (living, other) for name in (run.subscription, run.error_subscription)}
    assert subscriptions(rig) == left


def test_what_fails_to_open_leaves_nothing(rig: EngineRig) -> None:
    task = TaskStub("open_run", run_id="marked", states={"open_run": "failed"})
    with pytest.raises(AirflowFailException, match="was marked as failed while it opened the run"):
        opened(rig, task)
    with pytest.raises(AirflowSkipException, match="clear open_run with what is downstream of it"):
        opened(rig, TaskStub("open_run", run_id="alone", states={"close_run": "success"}))
    operator = OpenTransferRunOperator(
        task_id="open_run",
        topic="requests",
        error_topic="no topic",
        destination_bucket=DESTINATION,
        gcp_conn_id="google",
    )
    with pytest.raises(AirflowFailException):
        operator.execute({"ti": TaskStub("open_run", run_id="half")})
    assert subscriptions(rig) == set()
