"""docker-compose.yaml as tests read it, and the files that belong to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)  # anchors and merge keys are resolved here
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = ("worker", "transfer")
LONG_RUNNING = ("api-server", "scheduler", "dag-processor", "triggerer", *WORKERS)
AIRFLOW = ("airflow-init", *LONG_RUNNING, "clean-up")
SERVERS = ("postgres", "redis")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
MAKE_SECRETS = ROOT / "deploy" / "compose" / "make-secrets"
SECRETS = {
    "AIRFLOW__CORE__FERNET_KEY": "fernet_key",
    "AIRFLOW__API_AUTH__JWT_SECRET": "jwt_secret",
    "AIRFLOW__API__SECRET_KEY": "api_secret_key",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "database_url",
    "AIRFLOW__CELERY__BROKER_URL": "broker_url",
}
CODE = {
    "/opt/airflow/dags": ["./dags", "ro"],
    "/opt/airflow/plugins": ["./plugins", "ro"],
    "/opt/airflow/config": ["./config", "ro"],
    "/opt/airflow/logs": ["logs"],
}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+):-([^}]*)\}")


def mounts(service: dict[str, Any]) -> dict[str, list[str]]:
    """What is mounted where: container path → [host path or volume, options …]."""
    parts = [mount.split(":") for mount in service.get("volumes", [])]
    return {target: [source, *options] for source, target, *options in parts}
