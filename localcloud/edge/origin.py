"""The S3 origin of a distribution: raw paths, SigV4, pooled keep-alive connections.

CloudFront makes three attempts for a GET or HEAD, connects within 10 s and waits 30 s for an answer (developer guide,
"Request and response behavior for Amazon S3 origins").
"""

from __future__ import annotations

import contextlib
import http.client
import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from localcloud.http1 import COPY_BYTES, ConnectionBroken

ATTEMPTS = 3
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "content-length"})


class OriginUnreachable(Exception):
    """No attempt got an answer; the cause is the last one's error."""


@dataclass(slots=True)
class OriginAnswer:
    """An answer whose body is still to be read. Belongs to one thread."""

    status: int
    headers: list[tuple[str, str]]
    length_bytes: int
    """Of the body that a GET has, also in answer to a HEAD."""
    _source: http.client.HTTPResponse | io.BytesIO

    def chunks(self) -> Iterator[memoryview]:
        """The body; each piece is good until the next one. Raises ConnectionBroken if the origin stops early."""
        view = memoryview(bytearray(COPY_BYTES))
        missing = self.length_bytes
        while missing:
            try:
                count = self._source.readinto(view[: min(missing, COPY_BYTES)])
            except (OSError, http.client.HTTPException) as error:
                raise ConnectionBroken from error
            if not count:
                raise ConnectionBroken
            missing -= count
            yield view[:count]

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Origin:
    """Fetches objects of one bucket with the distribution's credentials. Thread-safe."""

    def __init__(self, url: str, bucket: str, *, access_key_id: str, secret_access_key: str, region: str) -> None:
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        self._host, self._port = parts.hostname or "", parts.port
        self._connection_type = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._bucket_path = f"/{bucket}"
        self._signer = S3SigV4Auth(Credentials(access_key_id, secret_access_key), "s3", region)
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def fetch(self, method: str, target: str, headers: Mapping[str, str]) -> Iterator[OriginAnswer]:
        """Ask for a raw path (with its query, if any) below the bucket.

        Raises OriginUnreachable when three attempts brought no answer.
        """
        connection, response = self._request(method, self._bucket_path + target, headers)
        try:
            passed = [(name, _utf8(value)) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP]
            declared = response.headers.get("Content-Length") if response.status not in (204, 304) else "0"
            if declared is not None and declared != "0" and method != "HEAD":
                yield OriginAnswer(response.status, passed, int(declared), response)
            else:  # nothing to come, or XML that S3 sends in chunks: short enough to read now
                body = response.read()
                yield OriginAnswer(response.status, passed, int(declared or len(body)), io.BytesIO(body))
        finally:
            if response.isclosed() and connection.sock is not None:
                with self._lock:
                    self._idle.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _request(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        last: Exception | None = None
        for _ in range(ATTEMPTS):
            with self._lock:
                # After a kept connection that turned out dead, a new one: the others have been idle for as long.
                connection = self._idle.pop() if self._idle and last is None else None
            connection = connection or self._connection_type(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
            try:
                return connection, self._ask(connection, method, target, headers)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                last = error
        raise OriginUnreachable(str(last)) from last

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(ANSWER_TIMEOUT_S)
        request = AWSRequest(method=method, url=self._url + target, headers=dict(headers))
        self._signer.add_auth(request)
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse()


def _utf8(value: str) -> str:
    # http.client reads headers as Latin-1; our server writes them as UTF-8.
    return value if value.isascii() else value.encode("latin-1").decode("utf-8", "replace")
