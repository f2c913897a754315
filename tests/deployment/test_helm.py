"""deploy/helm/values.yaml, deploy/kubernetes/transfer-pod.yaml and deploy/Dockerfile agree with each other, with
docker-compose.yaml and with Kubernetes' own schemas. No Helm and no cluster needed.

`test_helm_chart.py` renders the real chart, where it is to be had; the digest below is of what it last rendered.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes_schema import problems

ROOT = Path(__file__).parents[2]
VALUES_TEXT = (ROOT / "deploy" / "helm" / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(VALUES_TEXT)
POD: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "transfer-pod.yaml").read_text())
CONTAINER: dict[str, Any] = POD["spec"]["containers"][0]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SETS = {worker_set["name"]: worker_set for worker_set in VALUES["workers"]["celery"]["sets"]}

CHECKED_DIGEST = "5ff4679b993174e24089b1e84aa71e649d1b8b311979006415532dc846d67473"
"""Of what was checked last with the chart 1.22.0, Helm 4.3.1 and the schemas of Kubernetes 1.35."""


def digest() -> str:
    """Of the values and the pod as they are read: comments and layout do not count."""
    return hashlib.sha256(json.dumps([VALUES, POD], sort_keys=True).encode()).hexdigest()


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, str(name)))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, str(at)))
    else:
        yield path, value


def bytes_of(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) << {"Mi": 20, "Gi": 30}[unit]


def test_the_real_chart_was_rendered_with_these_values() -> None:
    assert digest() == CHECKED_DIGEST, (
        "values.yaml or transfer-pod.yaml has changed since it was rendered with the real chart. Run `helm pull airflow --repo "
        "https://airflow.apache.org --version 1.22.0`, then AIRFLOW_CHART=airflow-1.22.0.tgz pytest "
        f"tests/deployment/test_helm_chart.py; when it passes, CHECKED_DIGEST is {digest()}"
    )


# The pod of KubernetesExecutor


def test_kubernetes_takes_the_pod() -> None:
    assert problems(POD) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("spec", "terminationGracePeriodSecond"), 60, "Additional properties are not allowed"),
        (("spec", "containers", 0, "resources", "request"), {}, "Additional properties are not allowed"),
        (("spec", "containers", 0, "securityContext", "readOnlyRootFileSystem"), True, "Additional properties"),
        (("spec", "tolerations", 0, "effects"), "NoSchedule", "Additional properties are not allowed"),
        (("spec", "volumes", 0, "emptyDir", "sizeLimit"), "8GiB", "does not match"),
        (("spec", "terminationGracePeriodSeconds"), "60", "is not of type"),
        (("spec", "containers", 0, "env"), {"A": "b"}, "is not of type"),
        (("metadata", "annotations"), {"safe-to-evict": False}, "is not of type"),
        (("kind",), "Pods", "is not one of"),
        (("apiVersion",), "v2", "is not one of"),
    ],
)
def test_the_schema_refuses_what_kubernetes_would_refuse(path: tuple[Any, ...], value: Any, words: str) -> None:
    changed = copy.deepcopy(POD)
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    assert [problem for problem in problems(changed) if words in problem], problems(changed)


def test_the_schema_misses_a_required_field() -> None:
    changed = copy.deepcopy(POD)
    del changed["spec"]["containers"]
    assert problems(changed) == ["spec: 'containers' is a required property"]


def test_the_pod_is_what_airflow_expects_and_has_no_more_rights_than_it_needs() -> None:
    spec = POD["spec"]
    assert [container["name"] for container in spec["containers"]] == ["base"]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "secret" not in str(POD).lower()


def test_what_the_pod_may_write_is_mounted_and_within_its_storage() -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")}
    assert mounts == {"/tmp": "tmp", "/opt/airflow/logs": "logs"}
    limits = {
        volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in POD["spec"]["volumes"] if "emptyDir" in volume
    }
    assert limits.keys() == set(mounts.values())
    written = sum(bytes_of(limit) for limit in limits.values())
    resources = CONTAINER["resources"]
    assert written <= bytes_of(resources["requests"]["ephemeral-storage"])
    assert written <= bytes_of(resources["limits"]["ephemeral-storage"])


def test_the_pod_has_the_account_and_the_configuration_of_the_release() -> None:
    account = VALUES["workers"]["kubernetes"]["serviceAccount"]
    assert account["create"] is True
    assert POD["spec"]["serviceAccountName"] == account["name"]
    config = next(volume["configMap"]["name"] for volume in POD["spec"]["volumes"] if "configMap" in volume)
    assert config == f"{POD['metadata']['labels']['release']}-config"
    assert CONTAINER["image"] == f"{VALUES['edgehaul']['image']}:{VALUES['edgehaul']['tag']}"


# The values of the chart


def test_all_that_is_to_be_replaced_is_at_the_top() -> None:
    marked = {path[0] for path, value in leaves(VALUES) if "REPLACE" in str(value)}
    through_anchors = {"config", "images", "workers", "apiServer", "triggerer"}
    assert marked == {"edgehaul", *through_anchors}
    own, rest = VALUES_TEXT.split("\n\n# Secrets", 1)
    assert "REPLACE" in own
    assert "REPLACE" not in rest


def test_settings_that_compose_has_too_are_the_same() -> None:
    """Those of airflow.cfg, and the environment variables of Edgehaul; not what differs between one machine and a cluster."""
    environment: dict[str, str] = COMPOSE["services"]["scheduler"]["environment"]
    shared = {
        (section, name): str(value)
        for section, settings in VALUES["config"].items()
        for name, value in settings.items()
        if f"AIRFLOW__{section}__{name}".upper() in environment
    }
    assert ("workers", "min_heartbeat_interval") in shared
    assert ("celery_broker_transport_options", "visibility_timeout") in shared

    def of_compose(text: str) -> str:
        return re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", text)

    assert shared == {
        (section, name): of_compose(environment[f"AIRFLOW__{section}__{name}".upper()]) for section, name in shared
    }
    for variable in VALUES["env"]:
        assert of_compose(environment.get(variable["name"], variable["value"])) == variable["value"]
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert f"ENV PYTHONPATH={environment['PYTHONPATH']}\n" in dockerfile


def test_the_image_is_built_on_that_of_compose_with_all_that_compose_mounts() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert f"ARG BASE={COMPOSE['services']['scheduler']['image']}\nFROM ${{BASE}}\n" in dockerfile
    copied = dict(re.findall(r"^COPY (\S+) (\S+)$", dockerfile, re.MULTILINE))
    mounted = [mount.split(":") for mount in COMPOSE["services"]["scheduler"]["volumes"] if mount.startswith("./")]
    assert copied == {source.removeprefix("./"): target for source, target, _ in mounted}
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["root", "airflow"]
    sent = re.findall(r"^!(\S+)$", (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert sorted(sent) == sorted(copied)
    version = VALUES["airflowVersion"]
    assert COMPOSE["services"]["scheduler"]["image"].endswith(f":{version}")
    assert VALUES["edgehaul"]["tag"].startswith(f"{version}-")


def test_no_secret_is_in_the_values_and_no_default_password_is_made() -> None:
    named = {
        ".".join(path): value for path, value in leaves(VALUES) if path[-1].endswith(("SecretName", "jwtSecretName"))
    }
    assert len(named) == 8
    assert all(re.fullmatch(r"airflow-[a-z-]+", value) for value in named.values()), named
    # The fields in which the chart takes secrets themselves, as in `metadataConnection.pass` and `fernetKey`.
    inline = re.compile(r"^(pass|password|.*Key|jwtSecret|brokerUrl|connection)$")
    assert [path for path, _ in leaves(VALUES) if inline.match(path[-1])] == []
    assert VALUES["createUserJob"]["enabled"] is False
    assert not VALUES["postgresql"]["enabled"] and not VALUES["redis"]["enabled"]


def test_each_queue_has_workers_that_scale_by_it() -> None:
    assert {name: worker_set["queue"] for name, worker_set in SETS.items()} == {
        "small": "default",
        "transfer": "transfer",
    }
    assert VALUES["workers"]["celery"]["enableDefault"] is False
    transfer = SETS["transfer"]
    concurrency = VALUES["edgehaul"]["transferConcurrency"]
    assert {"name": "AIRFLOW__CELERY__WORKER_CONCURRENCY", "value": concurrency} in transfer["env"]
    assert {"name": "EDGEHAUL_QUEUE", "value": transfer["queue"]} in VALUES["env"]
    assert transfer["keda"]["minReplicaCount"] == 0
    assert transfer["keda"]["maxReplicaCount"] * int(concurrency) >= VALUES["edgehaul"]["poolSlots"]
    assert f"queue = '{transfer['queue']}'" in transfer["keda"]["query"]
    assert "executor IS DISTINCT FROM 'KubernetesExecutor'" in transfer["keda"]["query"]


def test_a_transfer_has_an_hour_and_the_resources_of_the_pod_for_each_task() -> None:
    transfer = SETS["transfer"]
    assert transfer["terminationGracePeriodSeconds"] == 3600
    assert transfer["safeToEvict"] is False
    tasks = int(VALUES["edgehaul"]["transferConcurrency"])
    resources, one = transfer["resources"], CONTAINER["resources"]
    assert int(resources["requests"]["cpu"]) == tasks * int(one["requests"]["cpu"])
    for kind in ("requests", "limits"):
        assert bytes_of(resources[kind]["memory"]) == tasks * bytes_of(one[kind]["memory"])
    scratch = VALUES["workers"]["celery"]["extraVolumes"][0]["emptyDir"]["sizeLimit"]
    assert bytes_of(scratch) < bytes_of(resources["requests"]["ephemeral-storage"])


def test_the_pool_is_made_with_the_database() -> None:
    command = VALUES["migrateDatabaseJob"]["args"][-1]
    pool = next(variable["value"] for variable in VALUES["env"] if variable["name"] == "EDGEHAUL_POOL")
    assert command.startswith("airflow db migrate && exec airflow pools set ")
    assert f"airflow pools set {pool} {{{{ .Values.edgehaul.poolSlots }}}} '" in command


def test_what_has_two_copies_keeps_one_while_nodes_are_drained() -> None:
    for name in ("apiServer", "scheduler", "pgbouncer"):
        assert VALUES[name]["replicas"] == 2, name
        assert VALUES[name]["podDisruptionBudget"] == {"enabled": True, "config": {"maxUnavailable": 1}}, name
