"""Airflow's metadata database with seeded runs, and the pages' application on it, with the users of the simple auth manager."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from airflow import settings
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk import AssetAlias
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.db import initdb
from fastapi.testclient import TestClient
from sqlalchemy import Table, delete, insert
from sqlalchemy.orm import Session

from routes.form import PARAMS
from routes.pipeline import pipeline
from seeded_history import forget_dags
from seeded_runs import SeededRun
from web.app import create_app

TABLES = (XComModel, TaskStateStoreModel, RenderedTaskInstanceFields, TaskInstance, DagRun)


@pytest.fixture(scope="session")
def database() -> None:
    initdb()


@pytest.fixture
def session(database: None) -> Iterator[Session]:
    assert settings.Session is not None
    with settings.Session() as opened:
        for table in TABLES:
            opened.execute(delete(table))
        forget_dags(opened)
        opened.commit()
        yield opened
        opened.commit()


@pytest.fixture
def seed(session: Session) -> Callable[..., SeededRun]:
    return lambda run_id="r", **values: SeededRun(session, run_id, **values)


@pytest.fixture
def client_of(database: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], TestClient]:
    """A client with the token of a user of a role (`viewer`, `user`, `admin`); None for a user without any."""
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "x" * 64)
    manager = create_auth_manager()

    def make(role: str | None) -> TestClient:
        token = manager.generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))
        return TestClient(create_app(), headers={"Authorization": f"Bearer {token}"})

    return make


@pytest.fixture
def viewer(client_of: Callable[[str | None], TestClient]) -> TestClient:
    return client_of("viewer")


@pytest.fixture(scope="session")
def form_dag(database: None) -> str:
    """The id of a DAG that is stored as the DAG processor stores it, with the parameters of the form."""
    dag = pipeline("form", params=PARAMS, arrived=AssetAlias("form"), schedule=None)
    assert settings.Session is not None
    with settings.Session() as opened:
        version, at = uuid4(), {"created_at": datetime.now(UTC), "last_updated": datetime.now(UTC)}
        opened.add(DagBundleModel(name="dags"))
        opened.flush()
        opened.add(DagModel(dag_id="form", bundle_name="dags"))
        opened.flush()
        opened.add(DagVersion(id=version, dag_id="form", version_number=1, bundle_name="dags"))
        opened.flush()
        table: Table = SerializedDagModel.__table__
        stored = {"id": uuid4(), "dag_id": "form", "dag_hash": "x", "dag_version_id": version, **at}
        opened.execute(insert(table).values(**stored, data=DagSerialization.to_dict(dag)))
        opened.commit()
    return "form"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Points the connection google_cloud_default to a server."""

    def point(url: str) -> None:
        extra = {"is_anonymous": True, "project": "test"}
        connection = json.dumps({"conn_type": "google_cloud_platform", "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", connection)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)

    return point
