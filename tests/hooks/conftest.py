"""AIRFLOW_HOME must be set before airflow is first imported, or it writes its configuration into the home directory."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.cloud import pubsub_v1

from localcloud.edge import EdgeServer
from localcloud.gcs import GcsServer
from localcloud.pubsub import PubSubServer
from localcloud.s3 import S3Server
from localcloud.supervisor import KEY_PAIR_ID, signing_key

if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="edgehaul-airflow-")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from cloudfront_fields import FIELDS
from hooks.cloudfront import CloudfrontHook
from preflight_rig import DESTINATION, PROJECT, RECORDS, SOURCE, PreflightRig


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch):
    """Defines a connection: `connect("aws_default", conn_type="aws", …)`."""

    def define(conn_id: str, **fields: object) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        return conn_id

    return define


@pytest.fixture
def hook(connect) -> Callable[..., CloudfrontHook]:
    """Makes the hook of a CloudFront connection, with other fields than usual."""

    def make(**fields: object) -> CloudfrontHook:
        return CloudfrontHook(connect("my_edge", **FIELDS | fields))

    return make


@pytest.fixture
def no_google_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, GcsServer, PubSubServer, str, Path]]:
    folder = tmp_path_factory.mktemp("preflight")
    private_key, public_key = signing_key(folder / "key")
    s3, pubsub = S3Server(buckets=[SOURCE]), PubSubServer(None)
    gcs = GcsServer(folder / "gcs", buckets=[DESTINATION, RECORDS])
    for server in (s3, gcs, pubsub):
        server.start()
    yield s3, gcs, pubsub, private_key, public_key
    for server in (pubsub, gcs, s3):
        server.stop()


@pytest.fixture
def start_edge(servers) -> Iterator[Callable[..., EdgeServer]]:
    s3, _, _, _, public_key = servers
    started = []

    def start(**options: object) -> EdgeServer:
        key_pairs = {KEY_PAIR_ID: public_key.read_text()}
        identity = {"access_key_id": s3.access_key_id, "secret_access_key": s3.secret_access_key}
        edge = EdgeServer(s3.url, SOURCE, **{"key_pairs": key_pairs} | identity | options)
        edge.start()
        started.append(edge)
        return edge

    yield start
    for edge in started:
        edge.stop()


@pytest.fixture
def rig(servers, start_edge, connect, monkeypatch: pytest.MonkeyPatch) -> PreflightRig:
    s3, gcs, pubsub, private_key, _ = servers
    for server in (s3, gcs, pubsub):
        server.faults.replace([])
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.url)
    made = PreflightRig(s3, start_edge(), gcs, pubsub, private_key, connect)
    for topic in made.topics:
        with pubsub_v1.PublisherClient() as publisher:
            path = f"projects/{PROJECT}/topics/{topic}"
            if path not in pubsub._broker.store.topics:
                publisher.create_topic(name=path)
    for page in made.client.get_paginator("list_objects_v2").paginate(Bucket=SOURCE):
        for item in page.get("Contents", ()):
            made.client.delete_object(Bucket=SOURCE, Key=item["Key"])
    made.client.put_object(Bucket=SOURCE, Key="a/empty", Body=b"")
    made.client.put_object(Bucket=SOURCE, Key="a/b c", Body=b"content")
    return made
