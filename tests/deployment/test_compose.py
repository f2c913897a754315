"""docker-compose.yaml, Dockerfile, .env.example and make-secrets agree with each other and with the repository."""

from __future__ import annotations

import ipaddress
import re
import subprocess
import tomllib
from datetime import timedelta

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag

from compose_file import (
    AIRFLOW,
    CODE,
    COMPOSE,
    COMPOSE_TEXT,
    DOCKERFILE,
    ENV_EXAMPLE,
    LONG_RUNNING,
    ROOT,
    SERVERS,
    SERVICES,
    VARIABLE,
    WORKERS,
    mounts,
)
from needs import program


def locked(package: str) -> str:
    found = re.search(rf"^{re.escape(package)}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found, package
    return found[1]


def test_the_services_are_those_of_celery_executor() -> None:
    assert set(SERVICES) == {*SERVERS, *AIRFLOW}
    for name in LONG_RUNNING:
        if name not in WORKERS:
            assert SERVICES[name]["command"] == name
    assert SERVICES["postgres"]["image"].startswith("postgres:16")
    assert SERVICES["redis"]["image"].startswith("redis:7")


def test_compose_itself_finds_nothing_wrong() -> None:
    compose = [
        program("docker-compose", is_optional=True, hint="Docker Compose as a program of its own"),
        "config",
        "--quiet",
    ]
    for settings in ([], ["--env-file", str(ROOT / ".env.example")]):
        command = [compose[0], "--project-directory", str(ROOT), *settings, *compose[1:]]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_what_is_mounted_exists() -> None:
    for name, service in SERVICES.items():
        for source, *_ in mounts(service).values():
            if source.startswith("."):
                assert (ROOT / source).is_dir(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)


def test_every_airflow_service_has_the_same_code_read_only_and_the_logs() -> None:
    own = {"api-server": {"/opt/airflow/auth": ["auth"]}} | {name: {"/var/tmp": ["sorting"]} for name in WORKERS}
    for name in AIRFLOW:
        assert mounts(SERVICES[name]) == CODE | own.get(name, {}), name
    assert "/opt/airflow/auth" in DOCKERFILE, "a new volume belongs to the owner of the folder that it hides"


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
    own = {"DUMB_INIT_SETSID", "TMPDIR", "AIRFLOW__CELERY__WORKER_CONCURRENCY"}
    shared = [
        {name: value for name, value in SERVICES[service]["environment"].items() if name not in own}
        for service in AIRFLOW
    ]
    assert all(environment == shared[0] for environment in shared)
    assert shared[0]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert shared[0]["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert shared[0]["AIRFLOW__CORE__TEST_CONNECTION"] == "Enabled"


def test_values_of_the_environment_are_text() -> None:
    for name, service in SERVICES.items():
        assert all(isinstance(value, str) for value in service.get("environment", {}).values()), name


def test_every_variable_has_one_default_which_env_example_names() -> None:
    used = set(VARIABLE.findall(COMPOSE_TEXT))
    assert len(re.findall(r"(?<!\$)\$\{", COMPOSE_TEXT)) == len(VARIABLE.findall(COMPOSE_TEXT)), "each has a default"
    lines = [line for line in ENV_EXAMPLE.splitlines() if line and not line.startswith("#")]
    assert sorted(lines) == sorted(f"{name}={default}" for name, default in used)


def test_services_have_no_more_rights_than_they_need() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in service["tmpfs"], name
        assert service["logging"]["options"]["max-size"], name
        assert ("user" in service) is (name in SERVERS), name
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & service.keys(), name


def test_only_loopback_is_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api-server": ["127.0.0.1:8080:8080"]}
    for ports in published.values():
        assert all(ipaddress.ip_address(port.split(":")[0]).is_loopback for port in ports)


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
    assert all(SERVICES[name]["expose"] == ["8793"] for name in WORKERS)


def test_services_start_in_order_stay_up_and_are_watched() -> None:
    for name in LONG_RUNNING:
        conditions = {other: rule["condition"] for other, rule in SERVICES[name]["depends_on"].items()}
        assert conditions["airflow-init"] == "service_completed_successfully"
        assert conditions["postgres"] == conditions["redis"] == "service_healthy"
    for name in WORKERS:
        assert SERVICES[name]["depends_on"]["api-server"]["condition"] == "service_healthy"
    assert SERVICES["airflow-init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name, service in SERVICES.items():
        is_once = name == "airflow-init"
        assert service["restart"] == ("no" if is_once else "unless-stopped"), name
        assert ("healthcheck" in service) is (name not in ("airflow-init", "clean-up")), name


def test_workers_have_a_queue_a_limit_and_time_to_stop() -> None:
    queues = {name: SERVICES[name]["command"].removeprefix("celery worker --queues ") for name in WORKERS}
    assert queues == {"worker": "default", "transfer": "transfer"}
    assert SERVICES["worker"]["environment"]["EDGEHAUL_QUEUE"] == "${EDGEHAUL_QUEUE:-transfer}"
    for name in WORKERS:
        assert SERVICES[name]["environment"]["DUMB_INIT_SETSID"] == "0"
        assert SERVICES[name]["environment"]["TMPDIR"] in mounts(SERVICES[name]), "lists are sorted on disk"
        assert "mem_limit" in SERVICES[name]
    assert SERVICES["worker"]["stop_grace_period"] == "60s"
    assert SERVICES["transfer"]["stop_grace_period"] == "1h"


def test_tasks_may_wait_for_a_worker_for_days() -> None:
    """More tasks fit into the pool than a container of transfers runs at a time."""
    times = int(SERVICES["scheduler"]["environment"]["AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES"])
    assert times * conf.getfloat("scheduler", "task_queued_timeout") > timedelta(days=3).total_seconds()


def test_the_pool_of_the_transfers_is_made() -> None:
    made = re.search(
        r"airflow pools set (\S+) \$\{EDGEHAUL_POOL_SIZE:-\d+\} '[^']+'$", SERVICES["airflow-init"]["command"][-1]
    )
    assert made
    assert SERVICES["scheduler"]["environment"]["EDGEHAUL_POOL"] == f"${{EDGEHAUL_POOL:-{made[1]}}}"
