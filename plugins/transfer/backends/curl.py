"""One warm libcurl handle: requests over a kept connection, whole answers in memory within a bound.

Sources: libcurl's `libcurl-thread` (no handle shared between threads, NOSIGNAL in threads), `CURLOPT_PATH_AS_IS`.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pycurl

from transfer.backends.tls import ca_bundle
from transfer.errors import EndpointRejected, RetryableError, Stage, Stopped, TransferError
from transfer.model import Timeouts

MAX_ERROR_BODY_BYTES = 64 * 1024
USER_AGENT = "edgehaul/1"

_MISCONFIGURED = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "the address is neither http nor https",
    pycurl.E_URL_MALFORMAT: "the address is no URL",
    pycurl.E_PEER_FAILED_VERIFICATION: "its TLS certificate is not trusted",
    pycurl.E_SSL_CACERT_BADFILE: "the file of trusted certificates cannot be read",
    pycurl.E_SSL_CERTPROBLEM: "the client certificate cannot be used",
    pycurl.E_SSL_CIPHER: "no TLS cipher in common",
    pycurl.E_SSL_ISSUER_ERROR: "its TLS certificate has the wrong issuer",
    pycurl.E_SSL_PINNEDPUBKEYNOTMATCH: "its TLS key is not the pinned one",
    pycurl.E_LOGIN_DENIED: "it denied the login",
    pycurl.E_NOT_BUILT_IN: "libcurl was built without what this needs",
    pycurl.E_UNKNOWN_OPTION: "libcurl is older than this needs",
    pycurl.E_BAD_FUNCTION_ARGUMENT: "libcurl refused an option",
    pycurl.E_FAILED_INIT: "libcurl could not start",
}
"""What no retry mends. Everything else that libcurl reports is trouble on the way, and passes or exhausts the retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete HTTP answer; header names in lower case, repeated ones joined by ", "."""

    status: int
    headers: Mapping[str, str]
    body: memoryview
    is_complete: bool = True
    """False when more came than was allowed for: the body then ends early."""

    @property
    def text(self) -> str:
        """The body as text, for error documents."""
        return bytes(self.body[:MAX_ERROR_BODY_BYTES]).decode("utf-8", "replace")


class CurlClient:
    """Requests to one server. Not thread-safe: one a thread, for as long as the thread lives.

    Args:
        unavailable: the RetryableError for trouble on the way, SourceUnavailable or SinkUnavailable.
        stage: where its errors say that they happened.
        stop: breaks off a transfer in flight with Stopped.
    """

    def __init__(
        self, *, unavailable: type[RetryableError], stage: Stage, timeouts: Timeouts, stop: threading.Event
    ) -> None:
        self._unavailable = unavailable
        self._stage = stage
        self._timeouts = timeouts
        self._stop = stop
        self._curl = pycurl.Curl()
        self._ca_bundle = ca_bundle()

    def close(self) -> None:
        """Close the connection."""
        self._curl.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[str] = (),
        body: bytes | memoryview | None = None,
        max_body_bytes: int = MAX_ERROR_BODY_BYTES,
    ) -> Answer:
        """Send a request and read the whole answer, whatever its status.

        An answer longer than `max_body_bytes` (and than an error document) is broken off and not complete. Raises the
        `unavailable` error, EndpointRejected, Stopped.
        """
        curl = self._curl
        curl.reset()  # options only: connection, DNS and TLS caches are kept
        received = io.BytesIO()
        header_lines: list[bytes] = []
        for option, value in self._options(url, max_body_bytes):
            curl.setopt(option, value)
        _set_method(curl, method, body)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:", *headers])
        curl.setopt(pycurl.HEADERFUNCTION, header_lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, _bounded(received, max_body_bytes))
        is_complete = True
        try:
            curl.perform()
        except pycurl.error as error:
            if self._stop.is_set():
                raise Stopped from error
            is_complete = error.args[0] not in (pycurl.E_FILESIZE_EXCEEDED, pycurl.E_WRITE_ERROR)
            if is_complete:
                raise curl_error(error, unavailable=self._unavailable, stage=self._stage) from error
        return Answer(
            status=curl.getinfo(pycurl.RESPONSE_CODE),
            headers=_parsed(header_lines),
            body=received.getbuffer(),
            is_complete=is_complete,
        )

    def _options(self, url: str, max_body_bytes: int) -> list[tuple[int, Any]]:
        stop = self._stop
        return [
            (pycurl.URL, url),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.NOSIGNAL, 1),
            (pycurl.CAINFO, self._ca_bundle),
            (pycurl.USERAGENT, USER_AGENT),
            (pycurl.CONNECTTIMEOUT_MS, int(self._timeouts.connect_s * 1000)),
            (pycurl.LOW_SPEED_LIMIT, 1),
            (pycurl.LOW_SPEED_TIME, max(1, int(self._timeouts.stall_s))),
            (pycurl.TCP_KEEPALIVE, 1),
            (pycurl.MAXFILESIZE_LARGE, max(max_body_bytes, MAX_ERROR_BODY_BYTES)),
            (pycurl.NOPROGRESS, 0),
            (pycurl.XFERINFOFUNCTION, lambda *_: stop.is_set()),
        ]


def _bounded(received: io.BytesIO, max_body_bytes: int) -> Callable[[bytes], int]:
    """A write callback that refuses to take more than was asked for: libcurl then breaks off."""
    limit = max(max_body_bytes, MAX_ERROR_BODY_BYTES)

    def write(piece: bytes) -> int:
        return received.write(piece) if received.tell() + len(piece) <= limit else 0

    return write


def _set_method(curl: Any, method: str, body: bytes | memoryview | None) -> None:
    if method == "GET":
        return
    if body is None:
        body = b""
    if isinstance(body, bytes):
        curl.setopt(pycurl.POSTFIELDS, body)
    else:
        position = 0

        def read(limit: int) -> bytes:
            nonlocal position
            piece = bytes(body[position : position + limit])
            position += len(piece)
            return piece

        curl.setopt(pycurl.UPLOAD, 1)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, 512 * 1024)
        curl.setopt(pycurl.READFUNCTION, read)
        curl.setopt(pycurl.INFILESIZE_LARGE, len(body))
    curl.setopt(pycurl.CUSTOMREQUEST, method)


def _parsed(lines: Sequence[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        if line.startswith(b"HTTP/"):  # an interim answer's headers are not the answer's
            headers = {}
            continue
        name, colon, value = line.partition(b":")
        if colon:
            text = value.strip()
            try:
                decoded = text.decode("utf-8")
            except UnicodeDecodeError:
                decoded = text.decode("latin-1")
            key = name.decode("latin-1").lower()
            headers[key] = f"{headers[key]}, {decoded}" if key in headers else decoded
    return headers


def curl_error(error: pycurl.error, *, unavailable: type[RetryableError], stage: Stage) -> TransferError:
    """The engine's error for one of libcurl's. The message never holds the URL: it may be signed."""
    number, text = (*error.args, "")[:2]
    if number in _MISCONFIGURED:
        return EndpointRejected(f"{_MISCONFIGURED[number]} ({text})", stage=stage)
    return unavailable(f"{text or 'the connection broke'} (libcurl error {number})", stage=stage)
