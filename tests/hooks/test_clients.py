"""Connections and the ecosystem's own settings become clients that talk to the right place, as the right one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hooks.cloud_logging import CloudLoggingHook
from hooks.errors import InvalidConnection
from hooks.gcs import GCSSinkHook
from hooks.probes import S3Probe
from hooks.pubsub import MAX_BATCH_MESSAGES, PubSubQueueHook
from hooks.s3 import S3SourceHook
from localcloud.cloudlogging import LoggingServer
from localcloud.http1 import Exchange, HttpServer
from localcloud.pubsub import PubSubServer
from operators.base import CopyOperator
from operators.run_identity import RunIdentity
from transfer.backends.cloud_logging import CloudEventLog
from transfer.event_log import NoEventLog

pytestmark = pytest.mark.usefixtures("no_google_settings")

GOOGLE = {"conn_type": "google_cloud_platform"}
ANONYMOUS = {**GOOGLE, "extra": {"is_anonymous": True, "project": "p1"}}
AWS = {"conn_type": "aws", "login": "AKIAEXAMPLE", "password": "secret-key"}
PAGE = (
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>1</KeyCount>'
    b"<IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>"
)


@pytest.fixture
def busy_s3() -> Iterator[HttpServer]:
    """An S3 that says SlowDown once, then lists one key."""
    asked: list[str] = []

    def answer(exchange: Exchange) -> None:
        asked.append(exchange.target)
        if len(asked) == 1:
            exchange.send(503, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code></Error>")
        else:
            exchange.send(200, [("Content-Type", "application/xml")], PAGE)

    server = HttpServer(answer)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("setting", ["connection", "environment"])
def test_s3_endpoint_and_retries(connect, busy_s3: HttpServer, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    extra = {"region_name": "eu-west-1", "config_kwargs": {"s3": {"addressing_style": "path"}}}
    if setting == "connection":
        extra["endpoint_url"] = busy_s3.url
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", busy_s3.url)
    client = S3SourceHook(connect("my_aws", **AWS, extra=extra)).get_conn()
    assert client.list_objects_v2(Bucket="b")["Contents"][0]["Key"] == "k"
    assert client.meta.region_name == "eu-west-1"
    assert busy_s3.requests() == {"GET 503": 1, "GET 200": 1}


def test_s3_settings_of_the_connection_win(connect) -> None:
    extra = {"config_kwargs": {"retries": {"mode": "adaptive"}, "read_timeout": 5}}
    config = S3SourceHook(connect("my_aws", **AWS, extra=extra)).get_conn().meta.config
    assert config.retries["mode"] == "adaptive"
    assert (config.connect_timeout, config.read_timeout) == (10, 5)


def test_gcs_emulator_without_a_token(connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9/")
    hook = GCSSinkHook(connect("my_google", **ANONYMOUS))
    endpoint = hook.get_endpoint()
    assert endpoint.base_url == "http://127.0.0.1:9"
    assert endpoint.token() is None
    assert hook.project_id == "p1"


def test_gcs_with_a_service_account_asks_google_for_a_token(connect) -> None:
    issuer = HttpServer(lambda exchange: exchange.send_json(200, {"access_token": "t1", "expires_in": 3600}))
    issuer.start()
    key = rsa.generate_private_key(65537, 2048)
    keyfile = {
        "type": "service_account",
        "project_id": "p2",
        "client_email": "mover@p2.iam.gserviceaccount.com",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "token_uri": issuer.url,
    }
    hook = GCSSinkHook(connect("my_google", **GOOGLE, extra={"keyfile_dict": json.dumps(keyfile)}))
    endpoint = hook.get_endpoint()
    assert endpoint.base_url == "https://storage.googleapis.com"
    assert hook.project_id == "p2"
    assert [endpoint.token(), endpoint.token()] == ["t1", "t1"]
    issuer.stop()
    assert issuer.requests() == {"POST 200": 1}


@pytest.fixture
def pubsub(monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSubServer]:
    server = PubSubServer(None)
    server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.url)
    yield server
    server.stop()


def test_pubsub_publishes_in_bulk_and_pulls(connect, pubsub: PubSubServer) -> None:
    hook = PubSubQueueHook(connect("my_google", **ANONYMOUS))
    assert hook.project_id == "p1"
    publisher, subscriber = hook.get_publisher(), hook.get_subscriber()
    topic, subscription = publisher.topic_path("p1", "topic"), subscriber.subscription_path("p1", "subscription")
    publisher.create_topic(name=topic)
    subscriber.create_subscription(name=subscription, topic=topic)
    for future in [publisher.publish(topic, b"x", run="r1") for _ in range(3 * MAX_BATCH_MESSAGES)]:
        future.result(10)
    publishes = sum(count for kind, count in pubsub.requests().items() if kind.startswith("Publish"))
    assert publishes <= 10, "whole requests, not one a message"
    pulled = subscriber.pull(subscription=subscription, max_messages=10).received_messages
    assert pulled
    assert {message.message.attributes["run"] for message in pulled} == {"r1"}
    publisher.stop()
    subscriber.close()


def test_the_providers_own_hook_reaches_the_emulator_anonymously(connect, pubsub: PubSubServer) -> None:
    from airflow.providers.google.cloud.hooks.pubsub import PubSubHook

    hook = PubSubHook(gcp_conn_id=connect("my_google", **ANONYMOUS))
    hook.create_topic(topic="topic")
    hook.publish(topic="topic", messages=[{"data": b"x"}])
    assert sum(count for kind, count in pubsub.requests().items() if kind.startswith("Publish")) == 1


def test_event_log_reaches_cloud_logging(connect, monkeypatch: pytest.MonkeyPatch) -> None:
    server = LoggingServer(None)
    server.start()
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING", f"{server.url}/")
    hook = CloudLoggingHook(connect("my_google", **ANONYMOUS))
    log = hook.get_event_log("edgehaul", labels={"run_id": "r1"})
    assert isinstance(log, CloudEventLog)
    log.main_program_error("transfer", "Traceback")
    log.close()
    (entry,) = hook.get_conn().list_entries(filter_='timestamp>="2020-01-01T00:00:00Z"')
    assert entry.log_name == "projects/p1/logs/edgehaul"
    assert entry.labels == {"run_id": "r1"}
    server.stop()


def test_no_event_log_without_a_name(connect) -> None:
    for name in (None, ""):
        assert isinstance(CloudLoggingHook("not_even_a_connection").get_event_log(name), NoEventLog)


def test_a_connection_without_a_project_is_named(connect) -> None:
    conn_id = connect("my_google", **GOOGLE, extra={"is_anonymous": True})
    for ask in (lambda: PubSubQueueHook(conn_id).project_id, CloudLoggingHook(conn_id).get_conn):
        with pytest.raises(
            InvalidConnection, match="Connection 'my_google', field 'Project Id': no Google Cloud project"
        ):
            ask()
    assert GCSSinkHook(conn_id).project_id is None
    assert CloudLoggingHook(conn_id, project_id="p3").get_conn().project == "p3"


def test_a_missing_connection_is_named() -> None:
    for ask in (S3SourceHook("nowhere").get_conn, GCSSinkHook("nowhere").get_conn):
        with pytest.raises(AirflowNotFoundException, match="nowhere"):
            ask()


class Reader(CopyOperator):
    def work(self, context) -> None:
        pass


def test_a_task_reads_a_connection_once_for_all_its_clients(connect, monkeypatch, caplog) -> None:
    """Airflow's providers log where the credentials come from for each client, and each asks for a token of its own."""
    made: list[str] = []
    for hook, method in ((S3SourceHook, "get_conn"), (GCSSinkHook, "get_endpoint")):
        original = getattr(hook, method)

        def counted(self, _original=original, _name=hook.__name__, **options):
            made.append(_name)
            return _original(self, **options)

        monkeypatch.setattr(hook, method, counted)
    run = RunIdentity.new(dag_id="d", run_id="r", opening=1, now_s=1.0)
    operator = Reader(
        task_id="t", source_bucket="s", destination_bucket="d", gcp_conn_id=connect("google", **ANONYMOUS)
    )
    assert operator.state(run).uri == operator.state(run).uri
    operator.destination(run).listing()
    probe = S3Probe(connect("my_aws", **AWS, extra={"region_name": "eu-west-1"}), "b", "")
    assert probe._client is probe._client
    messaging = operator.messaging()
    assert messaging._hook is messaging._hook
    assert sorted(made) == ["GCSSinkHook", "S3SourceHook"]
