"""Cloud Logging on loopback: writing, listing and deleting entries, over gRPC and over the JSON API.

Both transports translate to one set of methods on protobuf messages. Sources: the Cloud Logging API v2 reference
(`entries.write`, `entries.list`, `projects.logs`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google.cloud.logging_v2.types as logging_types
import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from localcloud.cloudlogging.filters import compile_filter
from localcloud.cloudlogging.store import EntryError, LogStore, StoredEntry, complete, utc_now
from localcloud.faults import FaultPlan
from localcloud.grpc_control import GrpcServer, RefusedError
from localcloud.http1 import Exchange, HttpServer

DEFAULT_PAGE = 50
MAX_PAGE = 1_000

_HTTP_STATUS = {grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.NOT_FOUND: 404}


class LoggingServer:
    """Cloud Logging. `url` is the JSON API's, `grpc_url` the `host:port` of gRPC; one plan of faults serves both."""

    def __init__(
        self, data_dir: Path | None, *, host: str = "127.0.0.1", port: int = 0, faults: FaultPlan | None = None
    ) -> None:
        """`port` is the JSON API's; gRPC takes a free one. Raises ValueError off loopback, OSError on a taken port."""
        self.faults = faults or FaultPlan()
        self._store = LogStore(data_dir and data_dir / "entries.jsonl")
        self._http = HttpServer(self._answer, host=host, port=port, faults=self.faults, name="logging")
        self._grpc = GrpcServer(host=host, faults=self.faults)
        self.url = self._http.url
        self.grpc_url = self._grpc.url
        methods = {
            "WriteLogEntries": self._write,
            "ListLogEntries": self._list,
            "ListLogs": self._list_logs,
            "DeleteLog": self._delete_log,
        }
        self._grpc.add_service(
            "google.logging.v2.LoggingServiceV2",
            {
                name: (_as_coroutine(method), _raw_type(f"{name}Request"), _response_type(name))
                for name, method in methods.items()
            },
        )
        self._methods = methods

    def start(self) -> None:
        """Begin to answer on both ports."""
        self._http.start()
        self._grpc.start()

    def stop(self) -> None:
        """Close both ports and the file."""
        self._http.stop()
        self._grpc.stop()
        self._store.close()

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `Method STATUS`: over HTTP a number, over gRPC a code's name."""
        return self._http.requests() | self._grpc.requests()

    def _write(self, request: Any) -> Any:
        now = utc_now()
        entries, problems = [], []
        for source in request.entries:
            entry = _raw_type("LogEntry")()
            entry.CopyFrom(source)
            entry.log_name = entry.log_name or request.log_name
            if not entry.HasField("resource") and request.HasField("resource"):
                entry.resource.CopyFrom(request.resource)
            for key, value in request.labels.items():
                if key not in entry.labels:
                    entry.labels[key] = value
            try:
                entries.append(complete(MessageToDict(entry), entry.ByteSize(), now))
            except EntryError as error:
                problems.append(str(error))
        if not request.dry_run and (request.partial_success or not problems):
            self._store.write(entries)
        if problems:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, problems[0])
        return _raw_type("WriteLogEntriesResponse")()

    def _list(self, request: Any) -> Any:
        try:
            matches = compile_filter(request.filter)
            after = _parse_token(request.page_token) if request.page_token else None
        except (ValueError, TypeError) as error:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        if not request.resource_names:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "No resource names were given")
        if request.order_by not in ("", "timestamp asc", "timestamp desc"):
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid order_by: {request.order_by!r}")
        newest_first = request.order_by == "timestamp desc"
        found = self._store.find(request.resource_names, matches, newest_first=newest_first, after=after)
        size = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
        response = _raw_type("ListLogEntriesResponse")()
        for stored in found[:size]:
            ParseDict(stored.entry, response.entries.add())
        if len(found) > size:
            response.next_page_token = _token(found[size - 1])
        return response

    def _list_logs(self, request: Any) -> Any:
        return _raw_type("ListLogsResponse")(log_names=self._store.log_names(request.parent))

    def _delete_log(self, request: Any) -> Any:
        try:
            self._store.delete_log(request.log_name)
        except KeyError as error:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"Log {request.log_name} does not exist") from error
        return Empty()

    def _answer(self, exchange: Exchange) -> None:
        try:
            name, document = _route(exchange)
            exchange.kind = name
            request = ParseDict(document, _raw_type(f"{name}Request")())
            exchange.send_json(200, MessageToDict(self._methods[name](request)))
        except (ParseError, json.JSONDecodeError) as error:
            _send_error(exchange, 400, "INVALID_ARGUMENT", str(error))
        except RefusedError as refusal:
            _send_error(exchange, _HTTP_STATUS[refusal.code], refusal.code.name, refusal.details)


def _route(exchange: Exchange) -> tuple[str, dict[str, Any]]:
    path = exchange.path.removeprefix("/v2/")
    if exchange.method == "POST" and path in ("entries:write", "entries:list"):
        name = "WriteLogEntries" if path == "entries:write" else "ListLogEntries"
        return name, json.loads(exchange.read_body())
    if exchange.method == "GET" and path.endswith("/logs"):
        return "ListLogs", {"parent": path.removesuffix("/logs")}
    if exchange.method == "DELETE" and "/logs/" in path:
        return "DeleteLog", {"logName": path}
    raise RefusedError(grpc.StatusCode.NOT_FOUND, f"no method at {exchange.path}")


def _send_error(exchange: Exchange, status: int, name: str, message: str) -> None:
    exchange.send_json(status, {"error": {"code": status, "message": message, "status": name}})


def _as_coroutine(method: Callable[[Any], Any]) -> Any:
    async def call(request: Any, _: Any) -> Any:
        return method(request)

    return call


def _raw_type(name: str) -> Any:
    """The protobuf class behind one of the client library's wrappers."""
    return getattr(logging_types, name).pb()


def _response_type(method: str) -> Any:
    return Empty if method == "DeleteLog" else _raw_type(f"{method}Response")


def _token(stored: StoredEntry) -> str:
    return base64.urlsafe_b64encode(json.dumps(stored.key).encode()).decode()


def _parse_token(token: str) -> tuple[int, str, str]:
    timestamp_ns, insert_id, log_name = json.loads(base64.urlsafe_b64decode(token))
    return timestamp_ns, insert_id, log_name
