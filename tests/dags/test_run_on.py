"""Where the tasks of the DAGs run: as a route says, and otherwise as the environment does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from routes.run_on import VARIABLES

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

DAGS = Path(__file__).resolve().parents[2] / "dags"
SENT = {"list", "transfer", "reconcile", "retry", "verify", "delete_extraneous"}
"""The tasks that list, copy or compare."""
STAY = {"preflight", "open_run", "close_run"}
ROUTES = """
routes:
  - name: sent
    source: {bucket: my-source}
    edge: {connection: cloudfront_default}
    destination: {bucket: my-destination}
    run_on: {queue: big, pool: nightly, pool_slots: 3, executor: LocalExecutor}
  - name: plain
    source: {bucket: my-source}
    edge: {connection: cloudfront_default}
    destination: {bucket: my-destination, prefix: plain/}
"""
Parse = Callable[..., DagBag]


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parse:
    def bag(**environment: str) -> DagBag:
        (tmp_path / "routes.yaml").write_text(ROUTES)
        for name in VARIABLES.values():
            monkeypatch.delenv(name, raising=False)
        for name, value in {"EDGEHAUL_ROUTES": str(tmp_path / "routes.yaml"), **environment}.items():
            monkeypatch.setenv(name, value)
        return DagBag(str(DAGS), bundle_path=DAGS, bundle_name="dags")

    return bag


def places(bag: DagBag, dag_id: str) -> Mapping[str, tuple[Any, ...]]:
    """Queue, pool, slots and executor of each task, as the scheduler reads them."""
    dag = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[dag_id]))
    return {task.task_id: (task.queue, task.pool, task.pool_slots, task.executor) for task in dag.tasks}


def test_without_a_word_all_tasks_are_where_airflow_sends_them(parse: Parse) -> None:
    assert set(places(parse(), "s3_to_gcs").values()) == {("default", "default_pool", 1, None)}


def test_a_route_sends_the_tasks_that_list_copy_and_compare(parse: Parse) -> None:
    found = places(parse(), "route_sent")
    assert found.keys() == SENT | STAY
    assert {found[name] for name in SENT} == {("big", "nightly", 3, "LocalExecutor")}
    assert {found[name] for name in STAY} == {("default", "default_pool", 1, None)}


def test_the_environment_sends_the_forms_dag_and_routes_as_far_as_they_say_nothing(parse: Parse) -> None:
    bag = parse(EDGEHAUL_QUEUE="transfer", EDGEHAUL_POOL="edgehaul", EDGEHAUL_POOL_SLOTS="2", EDGEHAUL_EXECUTOR="")
    for dag_id in ("s3_to_gcs", "route_plain"):
        found = places(bag, dag_id)
        assert {found[name] for name in SENT} == {("transfer", "edgehaul", 2, None)}
        assert {found[name] for name in STAY} == {("default", "default_pool", 1, None)}
    assert places(bag, "route_sent")["list"] == ("big", "nightly", 3, "LocalExecutor")


def test_in_a_full_pool_a_run_that_has_begun_comes_before_the_next(parse: Parse) -> None:
    """Airflow gives a free slot to the task of the greatest weight."""
    dag = DagSerialization.from_dict(DagSerialization.to_dict(parse(EDGEHAUL_POOL="edgehaul").dags["s3_to_gcs"]))
    order = ("list", "transfer", "reconcile", "retry", "verify", "delete_extraneous")
    tasks = [dag.get_task(name) for name in order]
    weights = [task.weight_rule.get_weight(cast("TaskInstance", _Instance(task))) for task in tasks]
    assert weights == sorted(weights)
    assert len(set(weights)) == len(order)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("EDGEHAUL_QUEUE", "a,b", "'a,b' is not valid here: choose the name of an Airflow queue"),
        ("EDGEHAUL_POOL", "x" * 257, "it has 257 characters: choose 256 at most"),
        ("EDGEHAUL_POOL_SLOTS", "0", "0 is out of range: choose 1 to 10,000"),
        ("EDGEHAUL_POOL_SLOTS", "two", "'two' is not valid here: choose a whole number"),
        ("EDGEHAUL_EXECUTOR", "K8s", "'K8s' is not an executor of this Airflow: choose "),
    ],
)
def test_an_invalid_variable_is_an_import_error_in_one_sentence(
    parse: Parse, name: str, value: str, sentence: str
) -> None:
    bag = parse(**{name: value})
    assert bag.dags == {}
    for file in ("s3_to_gcs.py", "configured_routes.py"):
        assert f"InvalidRunOn: {name} in the environment: {sentence}" in bag.import_errors[file]


def test_a_task_that_runs_needs_no_such_environment(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod of KubernetesExecutor knows LocalExecutor alone; Airflow itself would then refuse the DAG of the task."""
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "s3_to_gcs")
    bag = parse(EDGEHAUL_EXECUTOR="KubernetesExecutor", EDGEHAUL_POOL_SLOTS="0")
    assert bag.import_errors == {}
    assert bag.dags["s3_to_gcs"].get_task("list").executor is None


@dataclass
class _Instance:
    task: Any
