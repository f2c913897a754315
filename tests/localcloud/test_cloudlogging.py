"""The local Cloud Logging, by Google's own client, over the JSON API and over gRPC."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import logging_v2
from google.cloud.logging_v2 import ASCENDING, DESCENDING, Client, Resource
from google.cloud.logging_v2._gapic import _LoggingAPI
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport

from localcloud.cloudlogging import LoggingServer
from localcloud.cloudlogging.filters import compile_filter, parse_timestamp_ns

GLOBAL = Resource(type="global", labels={})
EVERYTHING = 'timestamp>="2000-01-01T00:00:00Z"'  # a filter without a time is given the last 24 hours by the client
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
_serial = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[LoggingServer]:
    subject = LoggingServer(None)
    subject.start()
    yield subject
    subject.stop()


@pytest.fixture(autouse=True)
def no_entries_of_the_clients_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first write of a process brings an entry about the library, and a logger looks for a metadata server."""
    monkeypatch.setattr(logging_v2, "_instrumentation_emitted", True)
    monkeypatch.setattr(logging_v2.logger, "detect_resource", lambda *_: GLOBAL)


@contextmanager
def connect(server: LoggingServer, transport: str, project: str | None = None) -> Iterator[Client]:
    options = ClientOptions(api_endpoint=server.url)
    project = project or f"p{next(_serial)}"  # each test's own
    client = Client(project=project, credentials=AnonymousCredentials(), client_options=options, _use_grpc=False)
    if transport == "http":
        yield client
        return
    with grpc.insecure_channel(server.grpc_url) as channel:
        service = LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))
        client._logging_api = _LoggingAPI(service, client)
        yield client


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: LoggingServer) -> Iterator[Client]:
    with connect(server, request.param) as made:
        yield made


@pytest.fixture
def find(client: Client) -> Callable[..., list[Any]]:
    def payloads(only: str = "", **options: Any) -> list[Any]:
        only = f"{only} AND {EVERYTHING}" if only else EVERYTHING
        return [entry.payload for entry in client.list_entries(filter_=only, **options)]

    return payloads


def control(server: LoggingServer, method: str, path: str, document: object = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    with urlopen(Request(f"{server.url}/_localcloud/{path}", data=body, method=method), timeout=10) as answer:
        return json.load(answer)


def test_text_and_struct_come_back_with_all_their_fields(client: Client) -> None:
    logger = client.logger("app")
    logger.log_text("zeile 1\nzeile 2 🚚", severity="NOTICE", labels={"run": "r1"}, timestamp=NOON, insert_id="a")
    payload = {"message": "m", "count": 3, "ok": True, "none": None, "deep": {"list": [1, "zwei"]}}
    logger.log_struct(payload, severity="ERROR", timestamp=NOON + timedelta(microseconds=1), insert_id="b")
    text, struct = client.list_entries(filter_=EVERYTHING)
    assert (text.payload, text.severity, text.labels) == ("zeile 1\nzeile 2 🚚", "NOTICE", {"run": "r1"})
    assert (text.timestamp, text.insert_id, text.resource.type) == (NOON, "a", "global")
    assert text.log_name == f"projects/{client.project}/logs/app"
    assert text.received_timestamp is not None
    assert (struct.payload, struct.severity) == (payload, "ERROR")


def test_a_batch_arrives_in_order_of_time(client: Client, find: Callable[..., list[Any]]) -> None:
    batch = client.logger("app").batch()
    for second in (2, 0, 1):
        batch.log_struct({"n": second}, timestamp=NOON + timedelta(seconds=second), resource=GLOBAL)
    batch.commit()
    assert find() == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert find(order_by=ASCENDING) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert find(order_by=DESCENDING) == [{"n": 2}, {"n": 1}, {"n": 0}]


def test_the_clients_default_filter_works_and_means_the_last_day(client: Client) -> None:
    logger = client.logger("app")
    logger.log_text("old", timestamp=datetime.now(UTC) - timedelta(hours=25))
    logger.log_text("recent")
    assert [entry.payload for entry in client.list_entries()] == ["recent"]
    assert [entry.payload for entry in client.list_entries(filter_="severity>=DEFAULT")] == ["recent"]
    assert [entry.payload for entry in logger.list_entries()] == ["recent"]


def test_filters(client: Client, find: Callable[..., list[Any]]) -> None:
    severities = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    for number, severity in enumerate(severities):
        client.logger(f"log-{number % 2}").log_struct(
            {"n": number, "nested": {"name": f"Näme {number}"}, "flag": number > 2},
            severity=severity,
            labels={"run_id": f"r{number // 2}", "a.b/c": str(number)},
            timestamp=NOON + timedelta(seconds=number),
        )

    def numbers(only: str) -> list[int]:
        return [payload["n"] for payload in find(only)]

    assert numbers(f'logName="projects/{client.project}/logs/log-1"') == [1, 3]
    assert numbers("severity>=WARNING") == [2, 3, 4]
    assert numbers("severity=warning") == [2]
    assert numbers('timestamp>="2026-01-02T12:00:02Z" timestamp<"2026-01-02T13:00:04+01:00"') == [2, 3]
    assert numbers('labels.run_id="r1"') == [2, 3]
    assert numbers('labels."a.b/c"="4"') == [4]
    assert numbers("jsonPayload.n>=3") == [3, 4]
    assert numbers('jsonPayload.nested.name="näme 2"') == [2]
    assert numbers('jsonPayload.nested.name:"ME 2"') == [2]
    assert numbers("jsonPayload.flag=true AND labels.run_id!=r2") == [3]
    assert numbers("jsonPayload.absent:*") == []
    assert numbers("jsonPayload.absent!=x") == []
    assert numbers('resource.type="global" AND severity<ERROR AND labels.run_id="r0"') == [0, 1]


@pytest.mark.parametrize("only", ["severity>=LOUD", "a OR b", "(severity>=ERROR)", 'timestamp>="noon"', "a =~ b", "="])
def test_a_filter_that_is_not_understood_is_refused(client: Client, only: str) -> None:
    with pytest.raises(exceptions.InvalidArgument if is_grpc(client) else exceptions.BadRequest):
        list(client.list_entries(filter_=f"{only} AND {EVERYTHING}"))


def is_grpc(client: Client) -> bool:
    return isinstance(client.logging_api, _LoggingAPI)


def test_paging_gives_every_entry_once(client: Client, find: Callable[..., list[Any]]) -> None:
    batch = client.logger("app").batch()
    for number in range(23):  # ten of one and the same time
        batch.log_text(str(number), timestamp=NOON + timedelta(seconds=max(0, number - 9)), insert_id=f"{number:02}")
    batch.commit()
    expected = [str(number) for number in range(23)]
    assert find(page_size=5) == expected
    assert find(page_size=1, order_by=DESCENDING) == expected[::-1]
    assert find(max_results=7, page_size=5) == expected[:7]


def test_one_entry_for_one_insert_id_time_and_log(client: Client, find: Callable[..., list[Any]]) -> None:
    for log, insert_id, timestamp in [
        ("app", "same", NOON),
        ("app", "same", NOON),
        ("app", "other", NOON),
        ("app", "same", NOON + timedelta(seconds=1)),
        ("second", "same", NOON),
    ]:
        client.logger(log).log_text(f"{log} {insert_id} {timestamp.second}", insert_id=insert_id, timestamp=timestamp)
    assert sorted(find()) == ["app other 0", "app same 0", "app same 1", "second same 0"]


def test_an_entry_of_more_than_256_kib_is_refused(client: Client, find: Callable[..., list[Any]]) -> None:
    logger = client.logger("app")
    logger.log_text("x" * 255 * 1024)
    with pytest.raises(exceptions.InvalidArgument if is_grpc(client) else exceptions.BadRequest, match="maximum size"):
        logger.log_text("y" * 257 * 1024)
    assert [len(payload) for payload in find()] == [255 * 1024]


def test_projects_keep_apart_and_logs_can_be_deleted(server: LoggingServer, client: Client, find: Any) -> None:
    client.logger("app").log_text("kept")
    client.logger("gone").log_text("dropped")
    with connect(server, "http") as other:
        assert list(other.list_entries(filter_=EVERYTHING)) == []
    client.logger("gone").delete()
    assert find() == ["kept"]
    with pytest.raises(exceptions.NotFound):
        client.logger("gone").delete()


def test_both_transports_show_the_same_entries(server: LoggingServer) -> None:
    with connect(server, "http") as first, connect(server, "grpc") as second:
        first.logger("app").log_struct({"from": "http"}, timestamp=NOON)
        parent = f"projects/{first.project}"
        (there,) = second.list_entries(resource_names=[parent], filter_=EVERYTHING)
        (here,) = first.list_entries(resource_names=[parent], filter_=EVERYTHING)
        assert there.to_api_repr() == here.to_api_repr()


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_a_restart_keeps_what_was_written(tmp_path: Path, transport: str) -> None:
    written: list[str] = []
    for number in range(3):
        server = LoggingServer(tmp_path)
        server.start()
        with connect(server, transport, "kept") as client:
            client.logger("app").log_text(f"round {number}", timestamp=NOON, insert_id=str(number))
            written.append(f"round {number}")
            assert [entry.payload for entry in client.list_entries(filter_=EVERYTHING)] == written
        server.stop()
        with (tmp_path / "entries.jsonl").open("ab") as file:
            file.write(b'{"timestamp":"2026-')  # as a kill in mid-write leaves it


def test_faults_over_the_control_path(server: LoggingServer) -> None:
    with connect(server, "http") as client:
        fault = {"match": "POST .*entries:write", "action": "status", "status": 403, "body": "{}", "times": 1}
        control(server, "DELETE", "requests")
        control(server, "PUT", "faults", {"faults": [fault]})
        with pytest.raises(exceptions.Forbidden):
            client.logger("app").log_text("refused")
        client.logger("app").log_text("taken")
        assert [fault["hits"] for fault in control(server, "GET", "faults")["faults"]] == [1]
        assert control(server, "DELETE", "faults")["faults"] == []
        assert [entry.payload for entry in client.list_entries()] == ["taken"]
    counts = control(server, "GET", "requests")
    assert counts["WriteLogEntries 200"] == 1
    assert counts["ListLogEntries 200"] == 1


def test_faults_strike_grpc_too(server: LoggingServer) -> None:
    fault = {"match": "^WriteLogEntries ", "action": "status", "status": 403, "times": 1}
    control(server, "PUT", "faults", {"faults": [fault]})
    with connect(server, "grpc") as client:
        with pytest.raises(exceptions.PermissionDenied):
            client.logger("app").log_text("refused")
        client.logger("app").log_text("taken")
        assert [entry.payload for entry in client.list_entries()] == ["taken"]
    control(server, "DELETE", "faults")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("entries:write", b"not JSON", 400),
        ("entries:write", b'{"entries": [{"unknownField": 1}]}', 400),
        ("entries:write", b'{"entries": [{"logName": "app", "textPayload": "x"}]}', 400),
        ("entries:list", b"{}", 400),
        ("entries:list", b'{"resourceNames": ["projects/p"], "orderBy": "severity"}', 400),
        ("entries:list", b'{"resourceNames": ["projects/p"], "pageToken": "%%%"}', 400),
        ("entries:list", b"[1]", 400),
        ("nothing", b"{}", 404),
    ],
)
def test_a_bad_request_is_answered_with_its_status(server: LoggingServer, path: str, body: bytes, status: int) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(f"{server.url}/v2/{path}", data=body, method="POST"), timeout=10)
    with refused.value:
        assert refused.value.code == status
        assert json.load(refused.value)["error"]["code"] == status


def test_offsets_with_and_without_a_colon_are_the_same_time() -> None:
    expected = parse_timestamp_ns("2026-01-02T11:00:00.000000001Z")
    for text in ("12:00:00.000000001+01:00", "12:00:00.000000001+0100", "09:30:00.000000001-0130"):
        assert parse_timestamp_ns(f"2026-01-02T{text}") == expected
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_timestamp_ns("2026-01-02T12:00:00+01")
    matches = compile_filter('timestamp>="2026-01-02T11:00:00.000000+0000"')
    assert matches({"timestamp": "2026-01-02T11:00:00Z"})
    assert not matches({"timestamp": "2026-01-02T10:59:59.999999999Z"})


def test_only_loopback_is_bound() -> None:
    with pytest.raises(ValueError, match="loopback"):
        LoggingServer(None, host="0.0.0.0")
