"""The local Cloud Storage and what the tests talk to it with: plain HTTP, and Google's own client."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import google_crc32c
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from localcloud.gcs import GcsServer

BUCKET = "target"
MIB = 1024 * 1024


@contextmanager
def serving(data_dir: Path) -> Iterator[GcsServer]:
    """A server over a directory, on a free port."""
    server = GcsServer(data_dir, buckets=[BUCKET])
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connect(server: GcsServer) -> storage.Client:
    """Google's Python client on the server."""
    options = {"api_endpoint": server.url}
    return storage.Client(project="local", credentials=AnonymousCredentials(), client_options=options)


def crc32c(data: bytes) -> str:
    """The CRC32C as Cloud Storage shows it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """HTTP requests sent as they are given, each on a connection of its own."""

    def __init__(self, server: GcsServer | str) -> None:
        parts = urlsplit(server if isinstance(server, str) else server.url)
        assert parts.hostname and parts.port
        self.address = parts.hostname, parts.port

    def send(
        self, method: str, target: str, body: bytes | Iterable[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request. `target` may be a whole URL."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        try:
            connection.request(method, _path(target), body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def break_off(self, method: str, target: str, body: bytes, headers: Mapping[str, str], missing: int) -> None:
        """Send a request without the last `missing` bytes of its body, and close the connection."""
        lines = [f"{method} {_path(target)} HTTP/1.1", "Host: local", f"Content-Length: {len(body) + missing}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""  # the server has seen the end, and kept what came before

    def call(self, method: str, path: str, document: object = None, **query: str) -> Answer:
        """A JSON API request under `/storage/v1/`."""
        body = b"" if document is None else json.dumps(document).encode()
        return self.send(method, f"/storage/v1/{path}?{urlencode(query)}", body, {"Content-Type": "application/json"})

    def upload(self, name: str, data: bytes, headers: Mapping[str, str] | None = None, **query: str) -> Answer:
        """A media upload."""
        target = f"/upload/storage/v1/b/{BUCKET}/o?{urlencode({'uploadType': 'media', 'name': name} | query)}"
        return self.send("POST", target, data, headers)

    def upload_related(self, resource: object, data: bytes, *, eol: bytes = b"\r\n") -> Answer:
        """A multipart upload; the media part has no headers, as rclone sends it."""
        document = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
        lines = [
            b"--cut here",
            b"Content-Type: application/json",
            b"",
            document,
            b"--cut here",
            b"",
            data,
            b"--cut here--",
        ]
        headers = {"Content-Type": 'multipart/related; boundary="cut here"'}
        return self.send("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart", eol.join(lines), headers)

    def begin(self, resource: object, **query: str) -> Answer:
        """Begin a resumable upload."""
        body = json.dumps(resource).encode()
        target = f"/upload/storage/v1/b/{BUCKET}/o?{urlencode({'uploadType': 'resumable'} | query)}"
        return self.send("POST", target, body, {"Content-Type": "application/json"})

    def metadata(self, name: str, **query: str) -> Answer:
        """An object's resource."""
        return self.call("GET", f"b/{BUCKET}/o/{quote(name, safe='')}", **query)

    def download(self, name: str, headers: Mapping[str, str] | None = None) -> Answer:
        """An object's content."""
        return self.send("GET", f"/download/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}?alt=media", b"", headers)

    def control(self, method: str, path: str, document: object = None) -> Any:
        """The server's control path."""
        body = b"" if document is None else json.dumps(document).encode()
        answer = self.send(method, f"/_localcloud/{path}", body)
        return answer.json

    def fail(self, **fault: object) -> None:
        """Make requests fail, by the control path."""
        assert "error" not in self.control("PUT", "faults", {"faults": [fault]})


def _path(target: str) -> str:
    if not target.startswith("http://"):
        return target
    parts = urlsplit(target)
    return f"{parts.path}?{parts.query}"
