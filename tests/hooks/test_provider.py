"""The connection type and its form, as a bare mount with PYTHONPATH=plugins gives them to Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from email.parser import Parser
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIST_INFO = ROOT / "plugins" / "edgehaul.dist-info"

# One process for everything, since each start of Airflow costs seconds.
SCRIPT = """
import json, sys
from airflow.__main__ import main
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.providers_manager import ProvidersManager
from airflow.models import Connection
from airflow.utils.db import initdb
from airflow.utils.session import create_session

meta = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "cloudfront"]
hook = ProvidersManager().hooks["cloudfront"]
initdb()
sys.argv = ["airflow", "connections", "add", "edge", "--conn-type", "cloudfront", "--conn-host", "d1.cloudfront.net"]
main()
with create_session() as session:
    stored = session.query(Connection).filter_by(conn_id="edge").one().conn_type
print("ANSWER=" + json.dumps({
    "form": [form.model_dump() for form in meta],
    "hook": [hook.hook_class_name, hook.connection_id_attribute_name, hook.package_name],
    "stored": stored,
}, default=str))
"""


@pytest.fixture(scope="module")
def seen_by_airflow(tmp_path_factory: pytest.TempPathFactory) -> dict:
    home = tmp_path_factory.mktemp("airflow")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHONDONT"))}
    environment = inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(json.loads(line.partition("=")[2]) for line in run.stdout.splitlines() if line.startswith("ANSWER="))


def test_airflow_finds_the_hook(seen_by_airflow: dict) -> None:
    assert seen_by_airflow["hook"] == ["hooks.cloudfront.CloudfrontHook", "cloudfront_conn_id", "edgehaul"]


def test_connections_add_stores_the_type(seen_by_airflow: dict) -> None:
    assert seen_by_airflow["stored"] == "cloudfront"


def test_the_form_has_the_fields(seen_by_airflow: dict) -> None:
    (form,) = seen_by_airflow["form"]
    assert form["hook_name"] == "Amazon CloudFront distribution"
    standard = form["standard_fields"]
    assert standard["password"]["title"] == "Private key (PEM)"
    assert standard["login"]["title"] == "Key pair ID"
    assert standard["url_schema"]["title"] == "Scheme"
    assert standard["host"]["title"] == "Distribution domain"
    extra = form["extra_fields"]
    assert list(extra) == ["signing", "hash_algorithm", "url_lifetime_s"]
    assert extra["signing"]["schema"]["enum"] == ["signed", "public"]
    assert extra["hash_algorithm"]["schema"]["enum"] == ["SHA-1", "SHA-256"]
    assert extra["url_lifetime_s"]["schema"]["type"] == "integer"
    assert extra["url_lifetime_s"]["value"] == 3600
    assert all(field["schema"]["title"] and field["description"] for field in extra.values())


def test_the_form_and_the_hook_agree() -> None:
    from hooks.cloudfront import CloudfrontHook
    from hooks.provider import get_provider_info
    from transfer.backends.cloudfront.signing import HashAlgorithm
    from transfer.limits import URL_LIFETIME_S

    (described,) = get_provider_info()["connection-types"]
    assert described["connection-type"] == CloudfrontHook.conn_type
    assert described["hook-name"] == CloudfrontHook.hook_name
    assert described["hook-class-name"] == f"{CloudfrontHook.__module__}.{CloudfrontHook.__qualname__}"
    fields = {name: field["schema"] for name, field in described["conn-fields"].items()}
    lifetime = fields["url_lifetime_s"]
    assert (lifetime["minimum"], lifetime["maximum"]) == (URL_LIFETIME_S.low, URL_LIFETIME_S.high)
    assert lifetime["default"] == URL_LIFETIME_S.default
    assert [name.replace("-", "") for name in fields["hash_algorithm"]["enum"]] == list(HashAlgorithm)


def test_metadata_agrees_with_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    metadata = Parser().parsestr((DIST_INFO / "METADATA").read_text())
    assert metadata["Name"] == project["name"]
    assert metadata["Version"] == project["version"]
    assert metadata["Summary"] == project["description"]
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == project["license"]
    points = {point.group: point for point in PathDistribution(DIST_INFO).entry_points}
    assert points["apache_airflow_provider"].load()()["package-name"] == project["name"]
    assert points["airflow.plugins"].load().name == project["name"]
