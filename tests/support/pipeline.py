"""What an end-to-end test does with the local cloud and the Airflow on it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import boto3
from google.auth.credentials import AnonymousCredentials
from google.cloud import logging as cloud_logging
from google.cloud import pubsub_v1, storage

from demo.airflow_api import AirflowApi, Run
from demo.airflow_stack import AirflowStack
from localcloud.supervisor import LocalCloud

RUN_TIMEOUT_S = 400
"""A run that hangs, even on a machine that does much else; no test waits for it otherwise."""


@dataclass
class Pipeline:
    """The cloud, the Airflow on it, and what a test does with both."""

    cloud: LocalCloud
    airflow: AirflowStack
    s3: Any = field(init=False)
    gcs: storage.Client = field(init=False)

    def __post_init__(self) -> None:
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.cloud.s3_url,
            aws_access_key_id=self.cloud.access_key_id,
            aws_secret_access_key=self.cloud.secret_access_key,
            region_name=self.cloud.region,
        )
        self.gcs = storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": self.cloud.gcs_url}
        )

    def put(self, key: str, body: bytes, **arguments: Any) -> None:
        self.s3.put_object(Bucket=self.cloud.source_bucket, Key=key, Body=body, **arguments)

    def stored(self, prefix: str) -> dict[str, bytes]:
        blobs = self.gcs.list_blobs(self.cloud.destination_bucket, prefix=prefix)
        return {blob.name: blob.download_as_bytes(raw_download=True) for blob in blobs}

    def open_uploads(self, prefix: str) -> list[str]:
        """The names of uploads in parts that were started and not ended (XML API, "List multipart uploads")."""
        url = f"{self.cloud.gcs_url}/{self.cloud.destination_bucket}?uploads&prefix={prefix}"
        with urlopen(url, timeout=10) as answer:
            return [
                node.text or "" for node in ElementTree.fromstring(answer.read()).iter() if node.tag.endswith("Key")
            ]

    def trigger(self, prefix: str, **conf: Any) -> Run:
        return self.airflow.trigger(
            "s3_to_gcs",
            {
                "source_bucket": self.cloud.source_bucket,
                "source_prefix": prefix,
                "destination_bucket": self.cloud.destination_bucket,
                "workers": 2,
                "threads": 4,
                **conf,
            },
        )

    def wait(self, run: Run) -> str:
        return self.airflow.wait(run, timeout_s=RUN_TIMEOUT_S)

    def finish(self, prefix: str, **conf: Any) -> tuple[str, Run]:
        run = self.trigger(prefix, **conf)
        return self.wait(run), run

    def requests(self) -> dict[str, dict[str, int]]:
        """How many answers each HTTP server of the cloud has given, by `kind status`."""
        urls = {"s3": self.cloud.s3_url, "edge": self.cloud.edge_url, "gcs": self.cloud.gcs_url}
        return {name: requests_of(url) for name, url in urls.items()}

    def logs(self, run: Run) -> str:
        """The logs of every task and try of a run."""
        return task_logs(self.airflow, run)


def task_logs(airflow: AirflowApi, run: Run) -> str:
    """The logs of every task and attempt of a run."""
    texts = []
    for task in airflow.task_instances(run):
        for number in range(1, task.try_number + 1):
            texts.append(airflow.task_log(run, task.task_id, map_index=task.map_index, try_number=number))
    return "\n".join(texts)


def requests_of(url: str) -> dict[str, int]:
    """How many answers an HTTP server of the local cloud has given, by `kind status`."""
    with urlopen(f"{url}/_localcloud/requests", timeout=10) as answer:
        return dict(json.load(answer))


def control(url: str, faults: list[dict[str, Any]] | None) -> None:
    """Put a fault plan in place on an HTTP server of the local cloud, or take it away."""
    body = json.dumps({"faults": faults or []}).encode()
    urlopen(Request(f"{url}/_localcloud/faults", data=body, method="PUT"), timeout=10).close()


def fill(pipeline: Pipeline, prefix: str, count: int = 60) -> dict[str, bytes]:
    """Put small objects of many sizes under a prefix."""
    bodies = {f"{prefix}{index % 7}/{index:04d}": os.urandom(index * 91) for index in range(count)}
    bodies[f"{prefix}empty"] = b""
    for key, body in bodies.items():
        pipeline.put(key, body)
    return bodies


def subscriptions(pipeline: Pipeline) -> list[str]:
    """The names of all subscriptions."""
    os.environ["PUBSUB_EMULATOR_HOST"] = pipeline.cloud.pubsub_host
    with pubsub_v1.SubscriberClient() as client:
        found = client.list_subscriptions(project=f"projects/{pipeline.cloud.project}")
        return [item.name for item in found]


def event_texts(pipeline: Pipeline, log_name: str) -> list[str]:
    """The events in a log of Cloud Logging."""
    client = cloud_logging.Client(
        project=pipeline.cloud.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": pipeline.cloud.logging_url},
        _use_grpc=False,
    )
    return [str(entry.payload) for entry in client.logger(log_name).list_entries()]
