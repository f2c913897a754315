"""The real chart takes deploy/helm/values.yaml, and Kubernetes takes what it makes of it.

On demand, because neither the chart nor Helm is part of this repository:

    helm pull airflow --repo https://airflow.apache.org --version 1.22.0
    AIRFLOW_CHART=airflow-1.22.0.tgz pytest tests/deployment/test_helm_chart.py
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from kubernetes_schema import problems
from needs import missing, program

ROOT = Path(__file__).parents[2]
VALUES_FILE = ROOT / "deploy" / "helm" / "values.yaml"
POD_FILE = ROOT / "deploy" / "kubernetes" / "transfer-pod.yaml"
VALUES: dict[str, Any] = yaml.safe_load(VALUES_FILE.read_text())
CHART_VERSION = "1.22.0"
OURS = {"edgehaul"}
"""Values that the chart does not know: only our own templates read them."""


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked chart, which AIRFLOW_CHART names."""
    if not (packed := os.environ.get("AIRFLOW_CHART")):
        missing("AIRFLOW_CHART does not name Airflow's Helm chart", is_optional=True)
    folder = tmp_path_factory.mktemp("chart")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / "airflow"
    assert yaml.safe_load((unpacked / "Chart.yaml").read_text())["version"] == CHART_VERSION
    return unpacked


def strict(schema: Any) -> Any:
    """The schema with unknown fields refused wherever it names the known ones, outside combinations."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {
        name: strict(part) if name not in ("examples", "default", "enum") else part for name, part in schema.items()
    }
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and "type" in schema:
        inner["additionalProperties"] = False
    return inner


def refusals(schema: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """What the chart does not know of these values, or of other type; a worker set has the fields of `workers.celery`."""
    given = {name: value for name, value in values.items() if name not in OURS}
    # Sections and settings of airflow.cfg are free.
    found = list(Draft7Validator(strict(schema)).iter_errors(given))
    celery = copy.deepcopy(schema["properties"]["workers"]["properties"]["celery"])
    celery["properties"]["name"] = {"type": "string"}
    one_set = Draft7Validator(strict({"definitions": schema["definitions"], **celery}))
    for worker_set in given["workers"]["celery"].get("sets", []):
        found += one_set.iter_errors(worker_set)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def test_the_charts_own_schema_takes_the_values_and_refuses_others(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    assert refusals(schema, VALUES) == []
    for path, value in (
        (("apiServer", "replica"), 2),
        (("apiServer", "replicas"), "2"),
        (("workers", "celery", "sets", 1, "terminationGracePeriod"), 3600),
        (("workers", "celery", "sets", 1, "keda", "maxReplicas"), 4),
        (("workers", "celery", "sets", 1, "safeToEvict"), "no"),
        (("workers", "kubernetes", "serviceAccount", "annotation"), {}),
        (("fernetKeySecret",), "airflow-fernet-key"),
        (("data", "brokerUrlSecret"), "airflow-broker"),
    ):
        changed = copy.deepcopy(VALUES)
        inner: Any = changed
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value
        assert refusals(schema, changed), path


@pytest.fixture(scope="module")
def manifests(chart: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What Helm makes of chart, values and pod, by kind and name; none of it twice."""
    command = [program("helm", is_optional=True), "template", "edgehaul", str(chart), "--namespace", "edgehaul"]
    command += ["--values", str(VALUES_FILE), "--set-file", f"podTemplate={POD_FILE}"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    documents = [document for document in yaml.safe_load_all(made) if document]
    count = Counter((document["kind"], document["metadata"]["name"]) for document in documents)
    assert [name for name, times in count.items() if times > 1] == [], "Helm would fail to make the second one"
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


Manifests = dict[tuple[str, str], dict[str, Any]]


def pods_of(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """The pod template of everything that makes pods, by kind and name."""
    found = {}
    for (kind, name), manifest in manifests.items():
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[f"{kind} {name}"] = spec["template"]
    return found


def test_kubernetes_takes_every_manifest(manifests: Manifests) -> None:
    # KEDA's own kind, which has no schema in Kubernetes.
    scaled = {name for kind, name in manifests if kind == "ScaledObject"}
    assert scaled == {"edgehaul-worker-small", "edgehaul-worker-transfer"}
    assert len(manifests) > 40
    for (kind, name), manifest in manifests.items():
        if kind != "ScaledObject":
            assert problems(manifest) == [], (kind, name)


def test_each_set_of_workers_takes_its_queue_and_scales_by_it(manifests: Manifests) -> None:
    for name, queue, concurrency in (("small", "default", 4), ("transfer", "transfer", 2)):
        query = manifests["ScaledObject", f"edgehaul-worker-{name}"]["spec"]["triggers"][0]["metadata"]["query"]
        assert f"COUNT(*)::decimal / {concurrency})" in query
        assert f"'{queue}'" in query
        assert "executor IS DISTINCT FROM 'KubernetesExecutor'" in query
        spec = manifests["Deployment", f"edgehaul-worker-{name}"]["spec"]["template"]["spec"]
        command = " ".join(spec["containers"][0]["args"][-1].split())
        assert command.endswith("celery worker" if queue == "default" else f"celery worker -q {queue}")
    assert spec["terminationGracePeriodSeconds"] == 3600
    assert {"name": "AIRFLOW__CELERY__WORKER_CONCURRENCY", "value": "2"} in spec["containers"][0]["env"]


def test_no_pod_has_two_disruption_budgets(manifests: Manifests) -> None:
    """Kubernetes refuses to evict a pod that two of them select: a node with it could never be drained."""
    budgets = [
        document["spec"]["selector"]["matchLabels"]
        for (kind, _), document in manifests.items()
        if kind == "PodDisruptionBudget"
    ]
    labels = {name: template["metadata"]["labels"] for name, template in pods_of(manifests).items()}
    labels["pod of KubernetesExecutor"] = yaml.safe_load(POD_FILE.read_text())["metadata"]["labels"]
    selected = {name: sum(budget.items() <= own.items() for budget in budgets) for name, own in labels.items()}
    assert {name for name, number in selected.items() if number == 1} == {
        f"Deployment edgehaul-{name}"
        for name in ("api-server", "scheduler", "pgbouncer", "worker-small", "worker-transfer")
    }
    assert max(selected.values()) == 1


def test_only_what_asks_kubernetes_has_a_token(manifests: Manifests) -> None:
    accounts = {name: document for (kind, name), document in manifests.items() if kind == "ServiceAccount"}
    with_token = {
        name.removeprefix("Deployment edgehaul-").removeprefix("CronJob edgehaul-")
        for name, template in pods_of(manifests).items()
        if template["spec"].get(
            "automountServiceAccountToken",
            accounts[template["spec"]["serviceAccountName"]].get("automountServiceAccountToken", True),
        )
    }
    assert with_token == {"scheduler", "api-server", "cleanup"}
    assert "edgehaul-transfer" in accounts


def test_pods_run_as_a_common_user(manifests: Manifests) -> None:
    for name, template in pods_of(manifests).items():
        pod = template["spec"].get("securityContext", {})
        for container in template["spec"]["containers"]:
            own = {**pod, **container.get("securityContext", {})}
            assert own.get("runAsUser", 0) > 0, name
            assert own.get("allowPrivilegeEscalation") is False, name


def test_the_executor_gets_the_pod_as_it_is_and_the_job_makes_the_pool(manifests: Manifests) -> None:
    config = manifests["ConfigMap", "edgehaul-config"]["data"]
    assert yaml.safe_load(config["pod_template_file.yaml"]) == yaml.safe_load(POD_FILE.read_text())
    assert "airflow_local_settings.py" not in config, "the image has its own"
    job = next(document for (kind, _), document in manifests.items() if kind == "Job")
    command = job["spec"]["template"]["spec"]["containers"][0]["args"][-1]
    assert command.startswith("airflow db migrate && exec airflow pools set edgehaul 8 '")
    mounted = [mount["mountPath"] for mount in job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]]
    assert mounted == ["/opt/airflow/airflow.cfg"], "the DAGs and the settings of the image stay visible"
    assert manifests["Role", "edgehaul-pod-launcher-role"]
