"""What every event log does: it never fails, never waits, and shows no secret. Cloud Logging is up, down, or closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.logging_v2 import Client

from localcloud.cloudlogging import LoggingServer
from localcloud.faults import Fault
from transfer.backends import cloud_logging
from transfer.backends.cloud_logging import CloudEventLog
from transfer.errors import Stage
from transfer.event_log import EventLog, NoEventLog

SECRET = "Signature=AbC~_-x"
URL = f"https://d111.cloudfront.net/a?Policy=eyJ~&{SECRET}&Key-Pair-Id=K2"
TEXTS = ["", "a/é\u2028\x00", "\ud800", "x" * 300_000, URL]


@dataclass(frozen=True, kw_only=True)
class Log:
    """An event log, and what it has written; None where nothing is ever written."""

    log: EventLog
    written: Callable[[], list[dict[str, object]] | None]


@pytest.fixture(scope="module")
def server() -> Iterator[LoggingServer]:
    made = LoggingServer(None)
    made.start()
    yield made
    made.stop()


def cloud(server: LoggingServer, name: str, *, is_verbose: bool = False) -> Log:
    options = ClientOptions(api_endpoint=server.url)
    client = Client(project="p1", credentials=AnonymousCredentials(), client_options=options, _use_grpc=False)

    def written() -> list[dict[str, object]]:
        only = f'logName="projects/p1/logs/{name}" AND timestamp>="2020-01-01T00:00:00Z"'
        return [entry.payload for entry in client.list_entries(filter_=only, page_size=1000)]

    return Log(log=CloudEventLog(client, name, is_verbose=is_verbose), written=written)


@pytest.fixture(params=["none", "cloud logging", "cloud logging, verbose", "cloud logging, out of order"])
def made(request: pytest.FixtureRequest, server: LoggingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setattr(cloud_logging, "RETRY_FOR_S", 0.2)
    name = f"log-{time.monotonic_ns()}"
    is_down = request.param.endswith("out of order")
    server.faults.replace([Fault(match="write", action="reset")] if is_down else [])
    if request.param == "none":
        yield Log(log=NoEventLog(), written=lambda: None)
        return
    log = cloud(server, name, is_verbose=request.param.endswith("verbose"))
    yield Log(log=log.log, written=lambda: None) if is_down else log
    log.log.close(0.5)
    server.faults.replace([])


def log_everything(log: EventLog, text: str) -> None:
    log.main_program_error(text, text)
    log.message_published(text, 1, 1)
    log.object_initiated(text, text, text)
    for stage in Stage:
        log.failure(stage, text, "from", "to", text)


@pytest.mark.parametrize("text", TEXTS, ids=["empty", "hostile", "lone surrogate", "long", "signed URL"])
def test_no_text_fails_and_no_call_waits(made: Log, text: str) -> None:
    began = time.monotonic()
    log_everything(made.log, text)
    assert time.monotonic() - began < 5, "a text is redacted before the call returns"
    made.log.close(0.5)


def test_errors_are_written_and_redacted(made: Log) -> None:
    log_everything(made.log, URL)
    made.log.close()
    entries = made.written()
    if entries is not None:
        assert entries[0]["message"] == "MAIN_PROGRAM_ERROR"
        assert sum("error" in entry for entry in entries) == len(Stage)
        errors = [str(entry.get("error", "")) + str(entry.get("traceback", "")) for entry in entries]
        assert not any(SECRET in error for error in errors)


def test_it_may_be_closed_twice_and_used_afterwards(made: Log) -> None:
    made.log.close(0.5)
    made.log.failure(Stage.UPLOAD, "late", "from", "to", "e")
    began = time.monotonic()
    made.log.close(0.5)
    assert time.monotonic() - began < 2
    assert not made.written()


def test_many_threads_may_log_at_a_time(made: Log) -> None:
    def log(thread: int) -> None:
        for number in range(20):
            made.log.failure(Stage.UPLOAD, f"{thread}/{number}", "from", "to", "e")

    threads = [threading.Thread(target=log, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.log.close(5.0)
    entries = made.written()
    if entries is not None:
        assert len({entry["object"] for entry in entries}) == 160
