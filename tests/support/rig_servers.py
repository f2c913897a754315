"""Running servers of the local cloud, and the vendors' own clients for them: what a test fills and looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, storage

from localcloud.edge import EdgeServer
from localcloud.faults import Fault
from localcloud.gcs import GcsServer
from localcloud.pubsub import PubSubServer
from localcloud.s3 import S3Server
from transfer.records.layout import STATE_PREFIX

SOURCE, DESTINATION, PROJECT = "source-bucket", "destination-bucket", "test-project"


@dataclass
class RigServers:
    """A source bucket, the edge in front of it, a destination bucket, and Pub/Sub."""

    s3: S3Server
    edge: EdgeServer
    gcs: GcsServer
    pubsub: PubSubServer | None = None
    """None where it is in another process, or not needed."""

    # Each client is made when it is first used: a process that needs one of them does not pay for all.

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.s3.url,
            aws_access_key_id=self.s3.access_key_id,
            aws_secret_access_key=self.s3.secret_access_key,
            region_name=self.s3.region,
        )

    @cached_property
    def storage(self) -> storage.Client:
        return storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.gcs.url}
        )

    @cached_property
    def publisher(self) -> pubsub_v1.PublisherClient:
        return pubsub_v1.PublisherClient()

    @cached_property
    def subscriber(self) -> pubsub_v1.SubscriberClient:
        return pubsub_v1.SubscriberClient()

    def put(self, key: str, body: bytes = b"content", **arguments: object) -> None:
        self.client.put_object(Bucket=SOURCE, Key=key, Body=body, **arguments)

    def stored(self, name: str) -> bytes:
        body: bytes = self.storage.bucket(DESTINATION).blob(name).download_as_bytes(raw_download=True)
        return body

    def names(self) -> list[str]:
        """What is at the destination, without the run's own records."""
        blobs = self.storage.list_blobs(DESTINATION)
        return [blob.name for blob in blobs if not blob.name.startswith(STATE_PREFIX)]

    def s3_lists(self) -> int:
        """Listing requests that S3 has answered."""
        return sum(count for name, count in self.s3.requests().items() if name.startswith("GET bucket"))


def fault(match: str, action: str, **fields: object) -> Fault:
    return Fault(match=match, action=action, **fields)  # type: ignore[arg-type]


@contextmanager
def running_servers(folder: Path, set_variable: Callable[[str, str], None]) -> Iterator[RigServers]:
    """Fresh servers; `set_variable` is monkeypatch.setenv."""
    s3 = S3Server(buckets=[SOURCE])
    s3.start()
    gcs = GcsServer(folder / "gcs", buckets=[DESTINATION])
    gcs.start()
    pubsub = PubSubServer(None)
    pubsub.start()
    edge = EdgeServer(
        s3.url,
        SOURCE,
        access_key_id=s3.access_key_id,
        secret_access_key=s3.secret_access_key,
        restrict=False,
    )
    edge.start()
    set_variable("PUBSUB_EMULATOR_HOST", pubsub.url)
    try:
        yield RigServers(s3=s3, edge=edge, gcs=gcs, pubsub=pubsub)
    finally:
        for server in (edge, pubsub, gcs, s3):
            server.stop()
