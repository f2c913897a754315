"""The local cloud as a whole: every service is found through what it says to export, and none outlives it."""

from __future__ import annotations

import json
import os
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
import psutil
import pytest
from google.api_core.exceptions import AlreadyExists
from google.auth.credentials import AnonymousCredentials
from google.cloud import logging_v2, pubsub_v1, storage

from localcloud import supervisor
from localcloud.supervisor import KEY_PAIR_ID, LocalCloud, ServiceFailed, signing_key

ROOT = Path(__file__).parents[2]
SERVICES = ("s3", "gcs", "pubsub", "cloudlogging", "edge", "edge-public")
EXPORTS = {
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "PUBSUB_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING",
    "GOOGLE_CLOUD_PROJECT",
    "EDGEHAUL_CONSOLE",
}
CONNECTIONS = {"aws_default", "google_cloud_default", "cloudfront_default", "cloudfront_public"}
ALL_EXPORTS = EXPORTS | {f"AIRFLOW_CONN_{name.upper()}" for name in CONNECTIONS}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud"), source_bucket="from-here", destination_bucket="to-there") as made:
        yield made


@pytest.fixture
def exported(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment as after `. exports`, and nothing of the user's own."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "AIRFLOW_CONN_")):
            monkeypatch.delenv(name)
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


def gcs_client(cloud: LocalCloud) -> storage.Client:
    options = {"api_endpoint": cloud.gcs_url}
    return storage.Client(project="p1", credentials=AnonymousCredentials(), client_options=options)


def wait_until_gone(processes: list[psutil.Process], timeout_s: float = 8.0) -> None:
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    assert not alive


def test_every_service_is_a_process_with_a_log(cloud: LocalCloud) -> None:
    pids = {cloud.pid(name) for name in SERVICES}
    assert len(pids) == len(SERVICES)
    assert pids <= {child.pid for child in psutil.Process().children()}
    for name in SERVICES:
        assert cloud.log(name).read_text() == "", name


def test_the_address_of_every_service_is_a_url_that_something_listens_on(cloud: LocalCloud) -> None:
    assert set(cloud.urls) == set(SERVICES)
    for url in cloud.urls.values():
        place = urlsplit(url)
        socket.create_connection((place.hostname or "", place.port or 0), timeout=10).close()


def test_only_loopback_is_listened_on(cloud: LocalCloud) -> None:
    for name in SERVICES:
        addresses = [
            connection.laddr.ip
            for connection in psutil.Process(cloud.pid(name)).net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}, name  # gRPC maps it


def test_the_environment_is_complete(cloud: LocalCloud) -> None:
    assert cloud.environment(connections=False).keys() == EXPORTS
    exports = cloud.environment()
    assert exports.keys() == ALL_EXPORTS
    assert all(exports.values())
    assert cloud.connections().keys() == CONNECTIONS
    for name, connection in cloud.connections().items():
        assert json.loads(exports[f"AIRFLOW_CONN_{name.upper()}"]) == connection
    signed = cloud.connections()["cloudfront_default"]
    assert (signed["login"], signed["extra"]["signing"]) == (KEY_PAIR_ID, "signed")
    assert "PRIVATE KEY" in signed["password"]


@pytest.mark.usefixtures("exported")
def test_boto3_finds_s3_and_the_edge_serves_the_bucket(cloud: LocalCloud) -> None:
    s3 = boto3.client("s3")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["from-here"]
    s3.put_object(Bucket="from-here", Key="a b", Body=b"over the edge")
    with urlopen(f"{cloud.public_edge_url}/a%20b", timeout=10) as answer:
        assert answer.read() == b"over the edge"


@pytest.mark.usefixtures("exported")
def test_google_cloud_storage_finds_its_bucket() -> None:
    client = storage.Client()
    assert [bucket.name for bucket in client.list_buckets()] == ["to-there"]
    client.bucket("to-there").blob("a b").upload_from_string("stored")
    assert client.bucket("to-there").blob("a b").download_as_bytes() == b"stored"


@pytest.mark.usefixtures("exported")
def test_pubsub_has_the_topics(cloud: LocalCloud) -> None:
    with pubsub_v1.PublisherClient() as publisher:
        for topic in cloud.topics:
            with pytest.raises(AlreadyExists):
                publisher.create_topic(name=f"projects/{cloud.project}/topics/{topic}")


def test_cloud_logging_takes_entries(cloud: LocalCloud) -> None:
    endpoint = cloud.environment()["CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"]
    client = logging_v2.Client(
        project=cloud.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
        _use_grpc=False,
    )
    logger = client.logger("app", resource=logging_v2.Resource(type="global", labels={}))
    logger.log_text("taken")
    assert "taken" in [entry.payload for entry in logger.list_entries()]


def test_no_process_is_left_after_stop_and_the_data_is_found_again(cloud: LocalCloud) -> None:
    """The last test with `cloud`, which it stops."""
    gcs_client(cloud).bucket("to-there").blob("kept").upload_from_string("x")
    services = [psutil.Process(cloud.pid(name)) for name in SERVICES]
    begun_s = time.monotonic()
    cloud.stop()
    cloud.stop()  # once more does no harm
    wait_until_gone(services, 0.1)
    assert time.monotonic() - begun_s < supervisor.STOP_TIMEOUT_S + 2
    with LocalCloud(cloud.data_dir, source_bucket="from-here", destination_bucket="to-there") as again:
        assert gcs_client(again).bucket("to-there").blob("kept").exists()
        assert again.private_key_pem == cloud.private_key_pem


def test_a_service_that_does_not_start_names_its_log_and_the_others_are_ended(tmp_path: Path) -> None:
    (tmp_path / "gcs").touch()  # where its data directory should be
    before = set(psutil.Process().children(recursive=True))
    with (
        pytest.raises(
            ServiceFailed, match=r"the local gcs did not start; the end of .*gcs\.log:\n(.*\n)*NotADirectoryError"
        ),
        LocalCloud(tmp_path),
    ):
        pytest.fail("it started")
    wait_until_gone([child for child in psutil.Process().children(recursive=True) if child not in before], 0.1)


def test_the_signing_key_is_kept_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    pem, public_file = signing_key(tmp_path / "key")
    assert signing_key(tmp_path / "key") == (pem, public_file)
    assert (tmp_path / "key" / "private.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o700
    assert pem.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert public_file.read_text().startswith("-----BEGIN PUBLIC KEY-----")


def run_command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "localcloud", *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_exports(process: subprocess.Popen[str]) -> dict[str, str]:
    """What the command says to export, up to the comment that ends it."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], supervisor.READY_TIMEOUT_S)[0]
    exports = {}
    lines = []
    while (line := process.stdout.readline()) and not line.startswith("#"):
        lines.append(line)
    for word in shlex.split("".join(lines)):
        name, separator, value = word.partition("=")
        if separator:
            exports[name] = value
    return exports


def test_the_command_prints_exports_and_stops_on_sigterm(tmp_path: Path) -> None:
    with run_command(tmp_path) as process:
        exports = read_exports(process)
        assert exports.keys() == ALL_EXPORTS
        assert json.loads(exports["AIRFLOW_CONN_CLOUDFRONT_DEFAULT"])["password"].count("\n") > 10
        services = psutil.Process(process.pid).children(recursive=True)
        assert len(services) == len(SERVICES)
        process.terminate()
        assert process.wait(timeout=12) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        wait_until_gone(services, 0.1)
    assert list(tmp_path.iterdir()) == [], "its temporary data is removed"


def test_the_services_end_when_the_command_is_killed(tmp_path: Path) -> None:
    with run_command(tmp_path, "--data", str(tmp_path / "data")) as process:
        assert read_exports(process)
        services = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        wait_until_gone(services)
    assert (tmp_path / "data" / "signing-key" / "private.pem").exists()
