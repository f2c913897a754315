"""The whole local cloud as processes: S3, Cloud Storage, Pub/Sub, Cloud Logging, and two distributions of one bucket.

    with LocalCloud(Path(".local/cloud")) as cloud:
        subprocess.run(["aws", "s3", "ls"], env=os.environ | cloud.environment())

Every service takes a free port, writes its log under `data_dir/logs`, and ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api_core.exceptions import AlreadyExists
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

REPOSITORY = Path(__file__).resolve().parent.parent
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
KEY_PAIR_ID = "KLOCALEDGEHAUL"


class ServiceFailed(RuntimeError):
    """A service of the local cloud did not come up. The message names its log."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its process and what its ready line said."""

    name: str
    process: subprocess.Popen[str]
    ready: Mapping[str, str]


class LocalCloud:
    """Starts the services and says how to reach them. Starts once; `stop` may be called twice.

    S3 keeps its objects in memory; everything else is under `data_dir` and is found again by the next LocalCloud there.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        source_bucket: str = "edgehaul-source",
        destination_bucket: str = "edgehaul-destination",
        topics: Iterable[str] = ("edgehaul-transfers", "edgehaul-errors"),
        project: str = "edgehaul-local",
        region: str = "us-east-1",
        caching: str = "disabled",
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.source_bucket = source_bucket
        self.destination_bucket = destination_bucket
        self.topics = tuple(topics)
        self.project = project
        self.region = region
        self.private_key_pem = ""
        self._caching = caching
        self._services: dict[str, Service] = {}

    def start(self) -> Self:
        """Start everything. Raises ServiceFailed if a service is not ready within READY_TIMEOUT_S."""
        (self.data_dir / "logs").mkdir(parents=True, exist_ok=True)
        self.private_key_pem, public_key = signing_key(self.data_dir / "signing-key")
        data = str(self.data_dir)
        try:
            self._start_all(
                {
                    "s3": ["localcloud.s3", "--region", self.region, "--bucket", self.source_bucket],
                    "gcs": ["localcloud.gcs", "--data", f"{data}/gcs", "--bucket", self.destination_bucket],
                    "pubsub": ["localcloud.pubsub", "--data", f"{data}/pubsub"],
                    "cloudlogging": ["localcloud.cloudlogging", "--data", f"{data}/cloudlogging"],
                }
            )
            edge = ["localcloud.edge", "--origin", self.s3_url, "--bucket", self.source_bucket]
            edge += ["--region", self.region, "--caching", self._caching]
            origin = {
                "AWS_ACCESS_KEY_ID": self._ready("s3", "origin_access_key_id"),
                "AWS_SECRET_ACCESS_KEY": self._ready("s3", "origin_secret_access_key"),
            }
            key_pair = ["--key-pair", f"{KEY_PAIR_ID}={public_key}"]
            self._start_all({"edge": [*edge, *key_pair], "edge-public": [*edge, *key_pair, "--public"]}, origin)
            create_topics(self.pubsub_host, self.project, self.topics)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the services, those that call others first."""
        for service in reversed(self._services.values()):
            _close(service.process.stdin)
            service.process.terminate()
        while self._services:
            _, service = self._services.popitem()
            try:
                service.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()
            _close(service.process.stdout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def s3_url(self) -> str:
        """The S3 endpoint, with path-style buckets."""
        return self._ready("s3", "url")

    @property
    def access_key_id(self) -> str:
        """The S3 user that may do everything."""
        return self._ready("s3", "access_key_id")

    @property
    def secret_access_key(self) -> str:
        """The secret of the S3 user that may do everything."""
        return self._ready("s3", "secret_access_key")

    @property
    def edge_url(self) -> str:
        """The distribution that wants signed URLs."""
        return self._ready("edge", "url")

    @property
    def public_edge_url(self) -> str:
        """The distribution that takes unsigned URLs too."""
        return self._ready("edge-public", "url")

    @property
    def gcs_url(self) -> str:
        """The Cloud Storage endpoint."""
        return self._ready("gcs", "url")

    @property
    def console_url(self) -> str:
        """Pages of Cloud Storage's folders and objects, in place of Google's console."""
        return self._ready("gcs", "console_url")

    @property
    def pubsub_host(self) -> str:
        """Pub/Sub's `host:port`."""
        return self._ready("pubsub", "url").removeprefix("http://")

    @property
    def logging_url(self) -> str:
        """Cloud Logging's endpoint, with a scheme."""
        return "http://" + self._ready("cloudlogging", "url").removeprefix("http://")

    def connections(self) -> dict[str, dict[str, Any]]:
        """The Airflow connections by id, as AIRFLOW_CONN_… JSON has them; `extra` is a dict."""
        aws_extra = {"region_name": self.region, "endpoint_url": self.s3_url}
        return {
            "aws_default": {
                "conn_type": "aws",
                "login": self.access_key_id,
                "password": self.secret_access_key,
                "extra": aws_extra,
            },
            "google_cloud_default": {
                "conn_type": "google_cloud_platform",
                "extra": {"is_anonymous": True, "project": self.project},
            },
            "cloudfront_default": self._cloudfront_connection(self.edge_url, "signed"),
            "cloudfront_public": self._cloudfront_connection(self.public_edge_url, "public"),
        }

    def environment(self, *, connections: bool = True) -> dict[str, str]:
        """What to export so that the clouds' own clients, and Airflow's hooks, find these services."""
        exports = {
            "AWS_ENDPOINT_URL_S3": self.s3_url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": self.region,
            "PUBSUB_EMULATOR_HOST": self.pubsub_host,
            "STORAGE_EMULATOR_HOST": self.gcs_url,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": self.logging_url,
            "GOOGLE_CLOUD_PROJECT": self.project,
            "EDGEHAUL_CONSOLE": self.console_url,
        }
        if connections:
            for conn_id, connection in self.connections().items():
                exports[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
        return exports

    @property
    def urls(self) -> dict[str, str]:
        """The address of each service, by the names of `pid`."""
        return {
            name: f"http://{service.ready['url'].removeprefix('http://')}" for name, service in self._services.items()
        }

    def pid(self, name: str) -> int:
        """The process of `s3`, `gcs`, `pubsub`, `cloudlogging`, `edge` or `edge-public`."""
        return self._services[name].process.pid

    def log(self, name: str) -> Path:
        """The log of a service."""
        return self.data_dir / "logs" / f"{name}.log"

    def _ready(self, name: str, field: str) -> str:
        return self._services[name].ready[field]

    def _cloudfront_connection(self, url: str, signing: str) -> dict[str, Any]:
        host, _, port = url.removeprefix("http://").rpartition(":")
        return {
            "conn_type": "cloudfront",
            "host": host,
            "schema": "http",
            "port": int(port),
            "login": KEY_PAIR_ID,
            "password": self.private_key_pem,
            "extra": {"signing": signing, "hash_algorithm": "SHA-1", "url_lifetime_s": 3600},
        }

    def _start_all(self, commands: Mapping[str, list[str]], extra: Mapping[str, str] | None = None) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(REPOSITORY), "LOCALCLOUD_PARENT_PIPE": "1", **(extra or {})}
        for name, command in commands.items():
            with self.log(name).open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", *command, "--port", "0"],
                    env=environment,
                    stdin=subprocess.PIPE,  # held open: its end shows the service that this process has ended
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,  # a Ctrl-C in the terminal is for this process alone
                )
            self._services[name] = Service(name, process, {})
        for name in commands:
            process = self._services[name].process
            self._services[name] = Service(name, process, self._read_ready_line(name, process))

    def _read_ready_line(self, name: str, process: subprocess.Popen[str]) -> dict[str, str]:
        assert process.stdout is not None
        timer = threading.Timer(READY_TIMEOUT_S, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            process.wait()
            tail = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-10:])
            raise ServiceFailed(f"the local {name} did not start; the end of {self.log(name)}:\n{tail}")
        return dict(json.loads(line))


def _close(pipe: IO[str] | None) -> None:
    if pipe is not None:
        pipe.close()


def signing_key(directory: Path) -> tuple[str, Path]:
    """The RSA-2048 key pair for signed URLs: the private key as PEM text and the file of the public one.

    Made at the first call; readable by the owner only. PKCS#1, as `openssl genrsa` and the AWS CLI have it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_file, public_file = directory / "private.pem", directory / "public.pem"
    if not private_file.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public_file.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        with os.fdopen(os.open(private_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    return private_file.read_text(), public_file


def create_topics(host: str, project: str, topics: Iterable[str]) -> None:
    """Create Pub/Sub topics, on any emulator at `host:port`; those that exist stay as they are."""
    with grpc.insecure_channel(host) as channel:
        client = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        for topic in topics:
            with contextlib.suppress(AlreadyExists):
                client.create_topic(name=f"projects/{project}/topics/{topic}", timeout=30)
