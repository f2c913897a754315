"""The checks before a run on the local cloud: probes over Airflow connections, and what a test asks of their findings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import boto3
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from hooks.probes import CloudfrontProbe, GcsProbe, PubSubProbe, S3Probe, SourceListProbe
from hooks.source import SourceList
from localcloud.edge import EdgeServer
from localcloud.faults import Fault
from localcloud.gcs import GcsServer
from localcloud.pubsub import PubSubServer
from localcloud.s3 import S3Server
from localcloud.supervisor import KEY_PAIR_ID
from transfer.preflight.checks import Finding, Mark, Preflight

SOURCE, DESTINATION, RECORDS, PROJECT = "preflight-source", "preflight-destination", "preflight-records", "p1"
NAME = ".edgehaul/preflight/run-1"


@dataclass
class PreflightRig:
    """A bucket on each side, a distribution, two topics, and the connections to them."""

    s3: S3Server
    edge: EdgeServer
    gcs: GcsServer
    pubsub: PubSubServer
    private_key: str
    connect: Callable[..., str]
    prefix: str = ""
    topics: tuple[str, ...] = ("requests", "failures")
    buckets: tuple[str, ...] = (DESTINATION,)
    clock_ahead_s: float = 0

    def __post_init__(self) -> None:
        key, secret = self.s3.access_key_id, self.s3.secret_access_key
        self.client = boto3.client(
            "s3", endpoint_url=self.s3.url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1"
        )
        self.storage = storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.gcs.url}
        )
        self.aws(login=key, password=secret)
        self.cloudfront()
        self.connect("g", conn_type="google_cloud_platform", extra={"is_anonymous": True, "project": PROJECT})

    def aws(self, **fields: object) -> None:
        extra = {"region_name": "us-east-1", "endpoint_url": self.s3.url}
        self.connect("a", conn_type="aws", extra=extra, **fields)

    def cloudfront(self, **fields: object) -> None:
        fields = {"host": self.edge.url, "login": KEY_PAIR_ID, "password": self.private_key} | fields
        self.connect("c", conn_type="cloudfront", **fields)

    def check(
        self,
        *,
        source: S3Probe | None = None,
        has_source: bool = True,
        source_list: str = "",
        deletes: bool = False,
        samples: bool = False,
    ) -> list[Finding]:
        preflight = Preflight(
            source=(source or S3Probe("a", SOURCE, self.prefix)) if has_source else None,
            source_list=SourceListProbe(self.source_list(source_list)) if source_list else None,
            deletes=deletes,
            samples=samples,
            edge=CloudfrontProbe("c", self.prefix),
            buckets=[GcsProbe("g", bucket) for bucket in self.buckets],
            topics=[PubSubProbe("g", topic, None) for topic in self.topics],
            object_name=NAME,
            clock=lambda: time.time() + self.clock_ahead_s,
        )
        return list(preflight.findings())

    def source_list(self, uri: str) -> SourceList:
        return SourceList(
            uri=uri, aws_conn_id="a", gcp_conn_id="g", bucket=SOURCE, prefix=self.prefix, stop=threading.Event()
        )

    def left_behind(self) -> list[str]:
        return [blob.name for bucket in (DESTINATION, RECORDS) for blob in self.storage.list_blobs(bucket)]


def refuse(server: S3Server | GcsServer | PubSubServer | EdgeServer, match: str, status: int, body: str = "") -> None:
    server.faults.replace([Fault(match=match, action="status", status=status, body=body)])


def asking(findings: list[Finding]) -> Finding:
    (finding,) = [finding for finding in findings if "single keys" in finding.check]
    return finding


def marks(findings: list[Finding]) -> str:
    return "".join(finding.mark for finding in findings)


def only(findings: list[Finding], mark: Mark) -> Finding:
    (found,) = [finding for finding in findings if finding.mark is mark]
    return found


def keep(rig: PreflightRig, bucket: str, changes: dict[str, object]) -> None:
    rig.storage._connection.api_request(method="PATCH", path=f"/b/{bucket}", data=changes)
