"""Sends HTTP requests over one libcurl handle that keeps its connection; bodies come whole, within a bound, or as streams.

Sources: libcurl's `libcurl-thread` (no handle is shared between threads, NOSIGNAL in threads), `CURLOPT_PATH_AS_IS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

import pycurl

from transfer.accounting.traffic import Traffic
from transfer.backends.http.exchange import MAX_ERROR_BODY_BYTES, Answer, Transfer
from transfer.backends.http.streams import BUFFER_BYTES, Download, Relay
from transfer.backends.http.tls import ca_bundle
from transfer.config import Timeouts
from transfer.errors import RetryableError, Stage
from transfer.steps import Pause, Step

USER_AGENT = "edgehaul/1"
MIN_BYTES_PER_S = 1024
"""A transfer that stays below this rate for the stall time-out is aborted; otherwise a trickle would never end. While a
transfer is paused, for lack of room or to keep to a limit, it is not measured, and the time starts again when it continues
(libcurl, speedcheck.c)."""


class _Form(Enum):
    """The kind of request that a handle is set up for."""

    WHOLE = auto()
    DOWNLOAD = auto()
    UPLOAD = auto()


class CurlClient:
    """Requests to one server, one at a time. Not thread-safe: each lane has its own for its whole life.

    Options that are the same for every request are set once: for a small object, setting the options of a request costs as much
    CPU time as its bytes.

    Args:
        unavailable: the class of the RetryableError for connection failures, SourceUnavailable or SinkUnavailable.
        stage: the stage that its errors name.
        timeouts: for connecting, and for a transfer that stands still.
        book: books one request and returns how many seconds to wait before it is sent.
        traffic: counts requests and the bytes of their answers.
    """

    def __init__(
        self,
        *,
        unavailable: type[RetryableError],
        stage: Stage,
        timeouts: Timeouts,
        book: Callable[[], float] = lambda: 0.0,
        traffic: Traffic | None = None,
    ) -> None:
        self._unavailable = unavailable
        self._stage = stage
        self._timeouts = timeouts
        self._book = book
        self._traffic = traffic or Traffic()
        self.curl = pycurl.Curl()
        self._ca_bundle = ca_bundle()
        self._form: tuple[str, _Form] | None = None

    def close(self) -> None:
        """Close the connection."""
        self.curl.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[str] = (),
        body: bytes = b"",
        max_body_bytes: int = MAX_ERROR_BODY_BYTES,
        stall_s: float | None = None,
        is_sent_once: bool = False,
    ) -> Step[Answer]:
        """Send a request and read the whole answer, whatever its status.

        An answer longer than `max_body_bytes` (and than MAX_ERROR_BODY_BYTES) is cut off and not complete. `stall_s` is how long
        the transfer may stand still, where not as long as usual. `is_sent_once` is for requests that must not be repeated
        unnoticed: libcurl repeats a request by itself when a kept connection closes without an answer. Raises the `unavailable`
        error or EndpointRejected.
        """
        if (wait_s := self._book()) > 0:
            yield Pause(wait_s)
        self._prepare(method, _Form.WHOLE)
        transfer = Transfer(self.curl, self._unavailable, self._stage)
        curl = self.curl
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:", *headers])
        curl.setopt(pycurl.MAXFILESIZE_LARGE, max(max_body_bytes, MAX_ERROR_BODY_BYTES))
        curl.setopt(pycurl.HEADERFUNCTION, transfer.header_lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, transfer.received.write)
        if method != "GET":
            curl.setopt(pycurl.POSTFIELDS, body)
            curl.setopt(pycurl.CUSTOMREQUEST, method)
        if stall_s is not None:
            curl.setopt(pycurl.LOW_SPEED_TIME, int(stall_s))
            self._form = None
        if is_sent_once:
            curl.setopt(pycurl.FRESH_CONNECT, 1)
            self._form = None
        self._traffic.requests += 1
        try:
            answer: Answer = yield transfer
            return answer
        finally:
            self._traffic.received_bytes += transfer.received.tell()

    def open(
        self, url: str, *, headers: Sequence[str] = (), wait_for: Callable[[int], float] | None = None
    ) -> Step[Download]:
        """Send a GET and return when the body begins, whatever the status. The caller has to close the download.

        `wait_for` gets the number of bytes of each piece that arrives, and returns how many seconds to pause. Raises the
        `unavailable` error or EndpointRejected.
        """
        if (wait_s := self._book()) > 0:
            yield Pause(wait_s)
        self._prepare("GET", _Form.DOWNLOAD)
        self._traffic.requests += 1
        download = Download(
            self.curl, unavailable=self._unavailable, stage=self._stage, wait_for=wait_for, traffic=self._traffic
        )
        curl = self.curl
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:", *headers])  # an empty list would leave the last one set
        curl.setopt(pycurl.HEADERFUNCTION, download.header_lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, download.received)
        yield download
        if (error := download.failure_to_open()) is not None:
            download.close()
            raise error
        return download

    def send(
        self,
        method: str,
        url: str,
        download: Download,
        count: int,
        *,
        headers: Sequence[str] = (),
        observe: Callable[[bytes], None],
        head: bytes = b"",
        tail: bytes = b"",
    ) -> Step[Answer]:
        """Send the next `count` bytes of a download between `head` and `tail`, and read the whole answer, whatever its status.

        `observe` gets each piece of the download as it is sent. Raises the download's own error when its body ends too soon, else
        the `unavailable` error or EndpointRejected.
        """
        if (wait_s := self._book()) > 0:
            yield Pause(wait_s)
        self._prepare(method, _Form.UPLOAD)
        relay = Relay(
            self.curl,
            self._unavailable,
            self._stage,
            download=download,
            count=count,
            observe=observe,
            head=head,
            tail=tail,
        )
        curl = self.curl
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:", *headers])
        curl.setopt(pycurl.INFILESIZE_LARGE, len(head) + count + len(tail))
        curl.setopt(pycurl.READFUNCTION, relay.read)
        curl.setopt(pycurl.HEADERFUNCTION, relay.header_lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, relay.received.write)
        self._traffic.requests += 1
        answer: Answer = yield relay
        return answer

    def _prepare(self, method: str, form: _Form) -> None:
        """Set the handle up for a kind of request, unless it is set up for it already."""
        if (method, form) == self._form:
            return
        self._form = (method, form)
        self.curl.reset()  # resets the options only; connections and the DNS and TLS caches are kept
        for option, value in self._constants(method, form):
            self.curl.setopt(option, value)

    def _constants(self, method: str, form: _Form) -> list[tuple[int, Any]]:
        # An upload waits for a download, whose own time-out has to come first.
        stall_s = self._timeouts.stall_s * (2 if form is _Form.UPLOAD else 1)
        options: list[tuple[int, Any]] = [
            (pycurl.PATH_AS_IS, 1),
            (pycurl.NOSIGNAL, 1),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),  # docs/decisions/0007-http-version.md
            (pycurl.CAINFO, self._ca_bundle),
            (pycurl.USERAGENT, USER_AGENT),
            (pycurl.CONNECTTIMEOUT_MS, int(self._timeouts.connect_s * 1000)),
            (pycurl.LOW_SPEED_LIMIT, MIN_BYTES_PER_S),
            (pycurl.LOW_SPEED_TIME, max(1, int(stall_s))),
            (pycurl.TCP_KEEPALIVE, 1),
        ]
        if form is _Form.DOWNLOAD:
            options.append((pycurl.BUFFERSIZE, BUFFER_BYTES))
        elif form is _Form.UPLOAD:
            options += [
                (pycurl.UPLOAD, 1),
                (pycurl.UPLOAD_BUFFERSIZE, BUFFER_BYTES),
                (pycurl.CUSTOMREQUEST, method),
                (pycurl.MAXFILESIZE_LARGE, 16 * 1024 * 1024),
            ]
        return options
