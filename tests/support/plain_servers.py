"""Servers of nobody's making: an edge and a Cloud Storage of the standard library that keep to the protocols and to no habit.

The local cloud is written beside the engine. What the engine takes for granted of it alone shows here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

CHUNK_BYTES = 100_000


class _OwnedServer(ThreadingHTTPServer):
    daemon_threads = True
    owner: Any

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is no news."""


class _Server:
    """An HTTP server on loopback for as long as the `with` block lasts."""

    handler: ClassVar[type[BaseHTTPRequestHandler]]

    def __enter__(self) -> Self:
        self._http = _OwnedServer(("127.0.0.1", 0), self.handler)
        self._http.owner = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _EdgeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _OwnedServer

    def do_GET(self) -> None:
        edge: PlainEdge = self.server.owner
        edge.asked.append(self.headers.get("Range", ""))
        if edge.statuses:
            code, headers = edge.statuses.pop(0)
            return self._send(f"{code} Trouble", headers, b"", "length")
        body = edge.bodies.get(unquote(urlsplit(self.path).path[1:]))
        if body is None:
            return self._send("404 Not Found", {}, b"", "length")
        headers = dict(edge.headers)
        if (etag := edge.etag(hashlib.md5(body).hexdigest())) is not None:
            headers["ETag"] = etag
        status, piece = "200 OK", body
        if edge.has_ranges and (asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))):
            first, last = int(asked[1]), int(asked[2])
            status, piece = "206 Partial Content", body[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        if edge.cuts:
            piece = piece[: edge.cuts.pop(0)]
        return self._send(status, headers, piece, edge.framing)

    def _send(self, status: str, headers: dict[str, str], body: bytes, framing: str) -> None:
        edge: PlainEdge = self.server.owner
        version = "HTTP/1.0" if framing == "close" else "HTTP/1.1"
        headers = (
            headers
            | {
                "length": {"Content-Length": str(len(body))},
                "chunked": {"Transfer-Encoding": "chunked"},
                "close": {},
            }[framing]
        )
        lines = [f"{version} {status}", *(f"{edge.case(name)}: {value}" for name, value in headers.items()), "", ""]
        self.wfile.write(edge.interim + edge.line_end.join(lines).encode())
        if framing == "chunked":
            for at in range(0, len(body), CHUNK_BYTES):
                chunk = body[at : at + CHUNK_BYTES]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            body = b"0\r\n\r\n"
        self.wfile.write(body)
        self.close_connection = framing == "close"

    def log_message(self, *_: object) -> None:
        pass


@dataclass(kw_only=True)
class PlainEdge(_Server):
    """Serves `bodies` by key."""

    handler = _EdgeHandler
    bodies: dict[str, bytes]
    etag: Callable[[str], str | None] = '"{}"'.format
    """The header out of the body's MD5; None for no header."""
    headers: dict[str, str] = field(default_factory=dict)
    framing: str = "length"
    """How the end of a body is told: `length`, `chunked`, or `close` as in HTTP/1.0."""
    has_ranges: bool = True
    case: Callable[[str], str] = str
    line_end: str = "\r\n"
    interim: bytes = b""
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """What the first requests are answered with in place of a body."""
    cuts: list[int] = field(default_factory=list)
    """How many bytes of the first bodies are sent."""
    asked: list[str] = field(default_factory=list)


class _GcsHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _OwnedServer

    def _route(self) -> None:
        gcs: PlainGcs = self.server.owner
        gcs.requests.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = unquote(parts.path.partition("/o/")[2])
        if query.get("uploadType") == "multipart":
            self._multipart(body, query)
        elif query.get("uploadType") == "resumable":
            self._begin_session(json.loads(body), query)
        elif parts.path.startswith("/session/"):
            self._session(parts.path, body)
        elif name and self.command == "DELETE":
            self._delete(name, query)
        elif name and name in gcs.objects:
            resource, content = gcs.objects[name]
            self._answer(200, content if query.get("alt") == "media" else json.dumps(resource).encode())
        else:
            self._answer(404 if name else gcs.unknown_status, b"no such thing")

    do_GET = do_POST = do_PUT = do_DELETE = _route

    def _multipart(self, body: bytes, query: dict[str, str]) -> None:
        found = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
        assert found
        boundary = found[1].encode()
        _, described, content, _ = body.split(b"--" + boundary)
        resource = json.loads(described.partition(b"\r\n\r\n")[2])
        self._store(resource, content.partition(b"\r\n\r\n")[2][:-2], query)

    def _begin_session(self, resource: dict[str, Any], query: dict[str, str]) -> None:
        gcs: PlainGcs = self.server.owner
        if not self._is_as_asked(resource["name"], query):
            return self._answer(412)
        path = f"/session/{len(gcs.requests)}"
        gcs.sessions[path] = (resource, query, bytearray())
        location = path if gcs.has_relative_locations else gcs.url + path
        return self._answer(gcs.created_status, headers={"LOCATION": location})

    def _delete(self, name: str, query: dict[str, str]) -> None:
        gcs: PlainGcs = self.server.owner
        if name in gcs.objects and not self._is_as_asked(name, query):
            return self._answer(412)
        return self._answer(204 if gcs.objects.pop(name, None) else 404)

    def _is_as_asked(self, name: str, query: dict[str, str]) -> bool:
        gcs: PlainGcs = self.server.owner
        generation = gcs.objects[name][0]["generation"] if name in gcs.objects else "0"
        return query.get("ifGenerationMatch", generation) == generation

    def _session(self, path: str, body: bytes) -> None:
        gcs: PlainGcs = self.server.owner
        if path not in gcs.sessions:
            return self._answer(404)
        if self.command == "DELETE":
            del gcs.sessions[path]
            return self._answer(499)
        resource, query, held = gcs.sessions[path]
        size = int(self.headers["Content-Range"].rpartition("/")[2])
        room = gcs.takes_bytes.pop(0) if body and gcs.takes_bytes else len(body)
        held += body[:room]
        if len(held) == size:
            return self._store(resource, bytes(held), query)
        return self._answer(308, headers={"range": gcs.range_form.format(len(held) - 1)} if held else {})

    def _store(self, resource: dict[str, Any], content: bytes, query: dict[str, str]) -> None:
        gcs: PlainGcs = self.server.owner
        name = resource["name"]
        if not self._is_as_asked(name, query):
            self._answer(412)
            return
        stored = {
            "name": name,
            "size": str(len(content)),
            "generation": str(len(gcs.requests)),
            "crc32c": base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
            "metadata": resource.get("metadata", {}),
        }
        if gcs.names_md5:
            stored["md5Hash"] = base64.b64encode(hashlib.md5(content).digest()).decode()
        gcs.objects[name] = (stored, content)
        self._answer(gcs.created_status, json.dumps(stored).encode())

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        gcs: PlainGcs = self.server.owner
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if gcs.closes:
            self.send_header("Connection", "close")
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass(kw_only=True)
class PlainGcs(_Server):
    """The uploads of the JSON API, and nothing of the XML API."""

    handler = _GcsHandler
    unknown_status: int = 404
    created_status: int = 200
    has_relative_locations: bool = False
    range_form: str = "bytes=0-{}"
    names_md5: bool = True
    closes: bool = False
    """Whether each answer ends the connection."""
    takes_bytes: list[int] = field(default_factory=list)
    """How much of the first pieces a session takes."""
    objects: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    sessions: dict[str, tuple[dict[str, Any], dict[str, str], bytearray]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
