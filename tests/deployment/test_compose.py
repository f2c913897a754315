"""docker-compose.yaml, Dockerfile and .env.example agree with each other and with the repository. No Docker needed."""

from __future__ import annotations

import ipaddress
import re
import subprocess
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag

from needs import program

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)  # anchors and merge keys are resolved here
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_RUNNING = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
AIRFLOW = ("airflow-init", *LONG_RUNNING)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
SECRETS = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)([^}]*)\}")


def mounts(service: dict[str, Any]) -> dict[str, list[str]]:
    """What is mounted where: container path → [host path or volume, options …]."""
    parts = [mount.split(":") for mount in service.get("volumes", [])]
    return {target: [source, *options] for source, target, *options in parts}


def locked(package: str) -> str:
    found = re.search(rf"^{re.escape(package)}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found, package
    return found[1]


def test_the_services_are_those_of_celery_executor() -> None:
    assert set(SERVICES) == {"postgres", "redis", *AIRFLOW}
    commands = {name: SERVICES[name]["command"] for name in AIRFLOW}
    assert commands == {"airflow-init": "db migrate", "worker": "celery worker"} | {
        name: name for name in LONG_RUNNING if name != "worker"
    }
    assert SERVICES["postgres"]["image"].startswith("postgres:16")
    assert SERVICES["redis"]["image"].startswith("redis:7")


def test_what_is_mounted_exists() -> None:
    for name, service in SERVICES.items():
        for source, *_ in mounts(service).values():
            if source.startswith("."):
                assert (ROOT / source).is_dir(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)


def test_every_airflow_service_has_the_same_code_read_only_and_the_logs() -> None:
    for name in AIRFLOW:
        assert mounts(SERVICES[name]) == {
            "/opt/airflow/dags": ["./dags", "ro"],
            "/opt/airflow/plugins": ["./plugins", "ro"],
            "/opt/airflow/config": ["./config", "ro"],
            "/opt/airflow/logs": ["logs"],
        }, name


def test_versions_agree_with_the_lock_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    airflow = locked("apache-airflow")
    assert f"apache-airflow=={airflow}" in project["dependencies"]
    python = project["requires-python"].removeprefix(">=")
    assert re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE) == [f"apache/airflow:{airflow}-python{python}"]
    assert {SERVICES[name]["image"] for name in AIRFLOW} == {f"edgehaul-airflow:{airflow}"}
    pins = dict(re.findall(r"^\s+\"?([\w-]+)==([^\s\"\\]+)", DOCKERFILE, re.MULTILINE))
    assert pins.pop("apache-airflow") == "${AIRFLOW_VERSION}"  # the image's own variable
    assert pins == {name: locked(name) for name in ("pycurl", "google-crc32c")}


def test_the_image_is_built_from_the_dockerfile_and_ends_as_a_common_user() -> None:
    for name in AIRFLOW:
        assert SERVICES[name]["build"] == "."
        assert "user" not in SERVICES[name], "the image's own user"
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1] == "airflow"
    assert not re.search(r"^(COPY|ADD)\b", DOCKERFILE, re.MULTILINE), "code is mounted, and there is no .dockerignore"


def test_all_airflow_services_share_secrets_and_settings() -> None:
    own = {"DUMB_INIT_SETSID"}
    shared = [
        {name: value for name, value in SERVICES[service]["environment"].items() if name not in own}
        for service in AIRFLOW
    ]
    assert all(environment == shared[0] for environment in shared)
    assert {*SECRETS, DATABASE} <= shared[0].keys()
    for name in SECRETS:
        assert VARIABLE.fullmatch(shared[0][name]), f"{name} comes from .env and nowhere else"
    assert shared[0]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert shared[0]["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"


def test_values_of_the_environment_are_text() -> None:
    for name, service in SERVICES.items():
        assert all(isinstance(value, str) for value in service.get("environment", {}).values()), name


def test_every_variable_is_required_and_explained_and_none_has_a_value() -> None:
    used = dict(VARIABLE.findall(COMPOSE_TEXT))
    for name, rest in used.items():
        assert rest == f":?copy .env.example to .env and fill in {name}"
    lines = [line for line in ENV_EXAMPLE.splitlines() if line and not line.startswith("#")]
    assert sorted(lines) == sorted(f"{name}=" for name in used)
    assert re.search(r"@postgres:5432/", SERVICES["worker"]["environment"][DATABASE])


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("POSTGRES_PASSWORD", r"[0-9a-f]{32,}"),  # safe in a URL, and in Airflow's configuration
        ("FERNET_KEY", r"[A-Za-z0-9_-]{43}="),
        ("JWT_SECRET", r"[0-9a-f]{64,}"),  # shorter ones are warned about at every request
        ("API_SECRET_KEY", r"[0-9a-f]{32,}"),
    ],
)
def test_each_command_in_env_example_makes_a_usable_value(name: str, pattern: str) -> None:
    found = re.search(rf":  (openssl .+)\n{name}=$", ENV_EXAMPLE, re.MULTILINE)
    assert found, f"no command above {name}"
    program("openssl")
    made = subprocess.run(found[1], shell=True, capture_output=True, text=True, check=True, timeout=10).stdout
    assert re.fullmatch(pattern, made.strip())


def test_secrets_stay_out_of_git() -> None:
    def is_ignored(name: str) -> bool:
        return subprocess.run([program("git"), "check-ignore", "--quiet", name], cwd=ROOT, check=False).returncode == 0

    assert is_ignored(".env")
    assert not is_ignored(".env.example")


def test_only_loopback_is_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api-server": ["127.0.0.1:8080:8080"]}
    for ports in published.values():
        assert all(ipaddress.ip_address(port.split(":")[0]).is_loopback for port in ports)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_the_visibility_timeout_exceeds_the_longest_task() -> None:
    """A task with no time limit of its own is given 24 hours."""
    environment = SERVICES["worker"]["environment"]
    timeout_s = int(environment["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"])
    bag = DagBag(str(ROOT / "dags"))
    limits = [task.execution_timeout for dag in bag.dags.values() for task in dag.tasks]
    assert limits
    assert timeout_s >= timedelta(hours=24).total_seconds()
    assert all(limit is None or limit.total_seconds() < timeout_s for limit in limits)


def test_the_python_path_holds_the_connection_type_and_the_local_settings() -> None:
    targets = {target: source for target, (source, *_) in mounts(SERVICES["worker"]).items()}
    folders = [ROOT / targets[folder] for folder in SERVICES["worker"]["environment"]["PYTHONPATH"].split(":")]
    assert [folder.name for folder in folders if (folder / "edgehaul.dist-info" / "entry_points.txt").exists()] == [
        "plugins"
    ]
    assert [folder.name for folder in folders if (folder / "airflow_local_settings.py").exists()] == ["config"]


def test_addresses_name_services() -> None:
    environment = SERVICES["scheduler"]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert environment["AIRFLOW__CELERY__BROKER_URL"].startswith("redis://redis:6379/")
    assert SERVICES["worker"]["expose"] == ["8793"]


def test_services_start_in_order_stay_up_and_are_watched() -> None:
    for name in LONG_RUNNING:
        conditions = {other: rule["condition"] for other, rule in SERVICES[name]["depends_on"].items()}
        assert conditions["airflow-init"] == "service_completed_successfully"
        assert conditions["postgres"] == conditions["redis"] == "service_healthy"
    assert SERVICES["worker"]["depends_on"]["api-server"]["condition"] == "service_healthy"
    assert SERVICES["airflow-init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name, service in SERVICES.items():
        is_once = name == "airflow-init"
        assert service["restart"] == ("no" if is_once else "unless-stopped"), name
        assert ("healthcheck" in service) is not is_once, name


def test_a_worker_has_time_to_stop() -> None:
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) >= 30
    assert SERVICES["worker"]["environment"]["DUMB_INIT_SETSID"] == "0"
