"""A local S3 for the tests of a module that names its BUCKET, a boto3 client of it, and two servers of Pub/Sub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from google.cloud import pubsub_v1

from localcloud.pubsub import PubSubServer
from localcloud.s3 import S3Server
from needs import missing
from official_pubsub import official_pubsub, why_unavailable
from pubsub_scene import Scene


@pytest.fixture(scope="module")
def s3(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    server = S3Server(buckets=[request.module.BUCKET])
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(s3: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
        region_name=s3.region,
    )


@pytest.fixture(scope="module", params=["ours", "official"])
def address(request, tmp_path_factory):
    if request.param == "ours":
        server = PubSubServer(tmp_path_factory.mktemp("pubsub"))
        server.start()
        yield server.url
        server.stop()
        return
    if reason := why_unavailable():
        missing(reason, is_optional=True)
    with official_pubsub() as url:
        yield url


@pytest.fixture
def pubsub(address, monkeypatch):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
    with pubsub_v1.PublisherClient() as publisher, pubsub_v1.SubscriberClient() as subscriber:
        yield Scene(publisher, subscriber)
