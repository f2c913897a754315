"""The event log against a Cloud Logging server: what arrives, over both transports, and what an outage does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.logging_v2 import Client
from google.cloud.logging_v2._gapic import _LoggingAPI
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport

from localcloud.cloudlogging import LoggingServer
from localcloud.faults import Fault
from transfer.backends import cloud_logging
from transfer.backends.cloud_logging import CloudEventLog
from transfer.errors import Stage

URL = "https://d111.cloudfront.net/a?Policy=eyJ~&Signature=secret&Key-Pair-Id=K2"
KEY = "a/é\u2028"


def fail(log: CloudEventLog, stage: Stage = Stage.UPLOAD, error: str = f"403 for {URL}", key: str = KEY) -> None:
    log.failure(stage, key, "from", "to", error)


@pytest.fixture
def server() -> Iterator[LoggingServer]:
    subject = LoggingServer(None)
    subject.start()
    yield subject
    subject.stop()


@pytest.fixture
def client(server: LoggingServer) -> Client:
    options = ClientOptions(api_endpoint=server.url)
    return Client(project="p1", credentials=AnonymousCredentials(), client_options=options, _use_grpc=False)


def event_log(client: Client, name: str = "edgehaul", **kwargs) -> CloudEventLog:
    return CloudEventLog(client, name, **kwargs)


def written(client: Client, name: str = "edgehaul") -> list:
    only = f'logName="projects/p1/logs/{name}" AND timestamp>="2020-01-01T00:00:00Z"'
    return list(client.list_entries(filter_=only, page_size=1000))


def test_entries_arrive_with_their_fields(client: Client) -> None:
    log = event_log(client, labels={"run_id": "r1"})
    log.main_program_error("transfer", f"Traceback …\nValueError: {URL}")
    fail(log, Stage.DOWNLOAD)
    fail(log, Stage.UPLOAD)
    fail(log, Stage.MESSAGE, key="")
    log.object_initiated(KEY, "from", "to")
    log.close()
    entries = written(client)
    assert [entry.payload["message"] for entry in entries] == [
        "MAIN_PROGRAM_ERROR",
        "OBJECT_DOWNLOAD_ERROR",
        "OBJECT_UPLOAD_ERROR",
        "FILE_HANDLING_ERROR",
    ], "verbose entries only on demand"
    assert all(entry.severity == "ERROR" for entry in entries)
    assert all(entry.labels == {"run_id": "r1"} for entry in entries)
    assert entries[0].payload["program"] == "transfer"
    assert entries[0].payload["traceback"] == "Traceback …\nValueError: https://d111.cloudfront.net/a?[redacted]"
    assert entries[1].payload == {
        "message": "OBJECT_DOWNLOAD_ERROR",
        "object": KEY,
        "source_bucket": "from",
        "destination_bucket": "to",
        "stage": "download",
        "error": "403 for https://d111.cloudfront.net/a?[redacted]",
    }
    assert log.lost == 0


def test_entries_arrive_over_grpc(server: LoggingServer) -> None:
    client = Client(project="p1", credentials=AnonymousCredentials())
    channel = grpc.insecure_channel(server.grpc_url)
    api = LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))
    client._logging_api = _LoggingAPI(api, client)  # the client's default transport, without TLS
    log = event_log(client)
    fail(log)
    log.close()
    assert [entry.payload["object"] for entry in written(client)] == [KEY]
    channel.close()


def test_verbose_entries(client: Client) -> None:
    log = event_log(client, "a/b", is_verbose=True)
    log.message_published("projects/p1/topics/t", 2, 14)
    log.object_initiated(KEY, "from", "to")
    log.close()
    published, initiated = written(client, "a%2Fb")
    assert published.payload["message"] == "PUBSUB_MESSAGE_PUBLISHED"
    assert published.payload["topic"] == "projects/p1/topics/t"
    assert (published.payload["objects"], published.payload["size_bytes"]) == (2, 14)
    assert initiated.payload["message"] == "OBJECT_INITIATED"
    assert initiated.payload["object"] == KEY
    assert initiated.severity == "INFO"


def test_texts_are_cut_below_the_limit_of_an_entry(client: Client) -> None:
    log = event_log(client)
    log.main_program_error("p", "€" * 200_000 + "the end")
    fail(log, error="the start" + "\x00" * 300_000, key="\ud800")
    log.close()
    program, failure = written(client)
    assert program.payload["traceback"].endswith("€the end")
    assert failure.payload["error"].startswith("the start")
    assert failure.payload["object"] == "\\ud800"
    assert log.lost == 0


def test_many_threads_and_many_entries(client: Client, server: LoggingServer) -> None:
    log = event_log(client)

    def write(thread: int) -> None:
        for number in range(100):
            fail(log, key=f"{thread}/{number}", error="m")

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.flush(10)
    assert len({entry.payload["object"] for entry in written(client)}) == 1000
    log.close()
    writes = sum(count for kind, count in server.requests().items() if "rite" in kind)
    assert writes <= 15, "in batches"


def test_a_passing_outage_loses_nothing_and_doubles_nothing(client: Client, server: LoggingServer) -> None:
    server.faults.replace([Fault(match="write", action="status", status=503, times=2)])
    log = event_log(client)
    fail(log)
    log.flush(10)
    log.close()
    assert len(written(client)) == 1
    assert log.lost == 0


def test_an_outage_neither_stops_nor_slows_the_transfer(
    client: Client, server: LoggingServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cloud_logging, "RETRY_FOR_S", 0.2)
    server.faults.replace([Fault(match="write", action="reset")])
    log = event_log(client, is_verbose=True)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for _ in range(cloud_logging.MAX_QUEUED):
            log.object_initiated(KEY, "from", "to")
        fail(log)
        assert time.monotonic() - started < 5
        log.flush(0.5)
        log.close(0.5)
    assert log.lost == cloud_logging.MAX_QUEUED + 1
    first, last = caplog.messages
    assert first.startswith("Cloud Logging cannot be written; the transfer goes on without it")
    assert last == f"{cloud_logging.MAX_QUEUED + 1} entries did not reach Cloud Logging"


def test_a_refusal_is_not_retried(client: Client, server: LoggingServer, caplog: pytest.LogCaptureFixture) -> None:
    server.faults.replace([Fault(match="write", action="status", status=403, times=1)])
    log = event_log(client)
    with caplog.at_level(logging.WARNING):
        fail(log)
        log.flush()
        fail(log, key="later")
        log.close()
    assert [entry.payload["object"] for entry in written(client)] == ["later"]
    assert log.lost == 1
    assert "Signature=secret" not in caplog.text


def test_an_event_after_closing_is_counted_as_lost(client: Client) -> None:
    log = event_log(client)
    log.close()
    fail(log)
    assert log.lost == 1


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 512])
def test_a_bad_log_name(client: Client, name: str) -> None:
    with pytest.raises(ValueError, match="not a Cloud Logging log name"):
        event_log(client, name)
