"""A local S3 for the tests of a module that names its BUCKET, and a boto3 client of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from localcloud.s3 import S3Server


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
