"""The secrets of docker-compose.yaml: how they are made, and that Airflow reads them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from compose_file import AIRFLOW, COMPOSE, MAKE_SECRETS, ROOT, SECRETS, SERVICES
from needs import program


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder of secrets that make-secrets makes, in a project of its own."""
    program("openssl")
    script = tmp_path / MAKE_SECRETS.relative_to(ROOT)
    script.parent.mkdir(parents=True)
    shutil.copy(MAKE_SECRETS, script)
    subprocess.run([script], check=True, timeout=30, env={"PATH": os.environ["PATH"]})
    return tmp_path / "secrets"


def test_secrets_are_files_that_the_services_read() -> None:
    for service in AIRFLOW:
        environment = SERVICES[service]["environment"]
        for option, name in SECRETS.items():
            assert option not in environment
            assert environment[f"{option}_CMD"] == f"cat /run/secrets/{name}"
        assert sorted(SERVICES[service]["secrets"]) == sorted(SECRETS.values())
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"
    assert SERVICES["postgres"]["secrets"] == ["postgres_password"]
    assert SERVICES["redis"]["secrets"] == ["redis_password"]
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert COMPOSE["secrets"] == {name: {"file": f"./secrets/{name}"} for name in used}


def test_redis_has_its_password_in_no_argument_and_hears_the_signal_to_stop() -> None:
    script = SERVICES["redis"]["command"][-1]
    assert script.startswith("exec redis-server - <<"), "it takes the place of the shell, and reads its settings"
    assert "requirepass $$(cat /run/secrets/redis_password)\n" in script


def test_airflow_takes_each_secret_from_its_file(secrets: Path, tmp_path: Path) -> None:
    """Airflow asks a command for options only that it declares sensitive. The broker's is declared by Celery's provider."""
    (secrets / "database_url").write_text(f"sqlite:///{tmp_path}/airflow.db")  # psycopg2 is not installed here
    environment = {
        name: str(value).replace("/run/secrets", str(secrets))
        for name, value in SERVICES["scheduler"]["environment"].items()
        if name.endswith("_CMD") and "__CELERY__" not in name
    }
    read = (
        "from airflow.configuration import conf\n"
        "for section, key in (('core', 'fernet_key'), ('api_auth', 'jwt_secret'), ('api', 'secret_key'),"
        " ('database', 'sql_alchemy_conn')):\n"
        "    print(conf.get(section, key))\n"
    )
    environment |= {
        "AIRFLOW_CONFIG": SERVICES["scheduler"]["environment"]["AIRFLOW_CONFIG"],
        "AIRFLOW_HOME": str(tmp_path),
    }
    got = subprocess.run(
        [sys.executable, "-c", read],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | environment,
    ).stdout.splitlines()
    names = ("fernet_key", "jwt_secret", "api_secret_key", "database_url")
    assert got[-4:] == [(secrets / name).read_text() for name in names]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("postgres_password", r"[0-9a-f]{64}"),  # safe in a URL
        ("redis_password", r"[0-9a-f]{64}"),
        ("fernet_key", r"[A-Za-z0-9_-]{43}="),
        ("jwt_secret", r"[0-9a-f]{64,}"),  # shorter ones are warned about at every request
        ("api_secret_key", r"[0-9a-f]{32,}"),
        ("database_url", r"postgresql\+psycopg2://airflow:[0-9a-f]{64}@postgres:5432/airflow"),
        ("broker_url", r"redis://:[0-9a-f]{64}@redis:6379/0"),
    ],
)
def test_each_secret_is_made_without_a_line_break_and_readable_for_the_containers(
    secrets: Path, name: str, pattern: str
) -> None:
    assert re.fullmatch(pattern, (secrets / name).read_text())
    assert {file.name for file in secrets.iterdir()} == set(COMPOSE["secrets"])
    assert stat.S_IMODE((secrets / name).stat().st_mode) == 0o644, "the containers' users are none of this machine's"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_secrets_that_exist_are_kept(secrets: Path) -> None:
    (secrets / "database_url").write_text("postgresql+psycopg2://managed")
    (secrets / "jwt_secret").unlink()
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    subprocess.run([secrets.parent / MAKE_SECRETS.relative_to(ROOT)], check=True, timeout=30)
    after = {file.name: file.read_text() for file in secrets.iterdir()}
    assert after.pop("jwt_secret")
    assert after == before


def test_secrets_stay_out_of_git() -> None:
    def is_ignored(name: str) -> bool:
        return subprocess.run([program("git"), "check-ignore", "--quiet", name], cwd=ROOT, check=False).returncode == 0

    assert is_ignored("secrets/fernet_key")
    assert is_ignored(".env")
    assert not is_ignored(".env.example")
