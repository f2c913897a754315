"""Bodies as streams: a download into a small buffer, and an upload that takes its body from that buffer.

Both run in one CurlMulti and pause and resume each other, so that an object of any size passes through about a megabyte of
memory, without a thread or a file (libcurl's `curl_easy_pause`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pycurl

from transfer.accounting.traffic import Traffic
from transfer.backends.http.exchange import MAX_ERROR_BODY_BYTES, Answer, Transfer, curl_error
from transfer.errors import RetryableError, Stage, TransferError
from transfer.stopping import Stop

BUFFER_BYTES = 512 * 1024
"""The size of libcurl's buffers for receiving and for sending. Of 16, 64, 256, 512 and 2,048 KiB, 512 was within a tenth of the
fastest on loopback, with a quarter of its memory."""
MAX_WAITING_BYTES = 1024 * 1024
"""How much of a body a download may hold before it is paused."""
CUT_SHORT = "the body ended before the listed number of bytes, and its length was not announced"
"""A broken connection looks like the end of such a body (RFC 9112, section 8), so the request is retried."""

_WITH_BODY = (200, 206)
_PAUSE_READING: int = pycurl.WRITEFUNC_PAUSE
_PAUSE_SENDING: int = pycurl.READFUNC_PAUSE
_ABORT: int = pycurl.READFUNC_ABORT


class Download:
    """A GET whose body is taken as it arrives. Made by `CurlClient.open` and driven by one `CurlLoop`, for one lane.

    Args:
        curl: the handle, with its request set.
        unavailable: the class of the error for connection failures.
        stage: the stage that its errors name.
        wait_for: books bytes that arrived, and returns how many seconds to pause before more are read (a bandwidth limit).
        traffic: counts the bytes that arrive.
    """

    def __init__(
        self,
        curl: Any,
        *,
        unavailable: type[RetryableError],
        stage: Stage,
        wait_for: Callable[[int], float] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.curl = curl
        self.header_lines: list[bytes] = []
        self.is_over = False
        self.relay: Relay | None = None
        """The upload that takes the body now, if any."""
        self.on_close: Callable[[], None] = lambda: None
        """Called by `close`; set by the loop that drives the download."""
        self._unavailable = unavailable
        self._stage = stage
        self._wait_for = wait_for
        self._traffic = traffic or Traffic()
        self._status = 0
        self._error: pycurl.error | None = None
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._skip_bytes = 0
        self._error_body = bytearray()
        self._is_paused = False
        self._rests_until = 0.0

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer; names in lower case."""
        return self.answer.headers

    @property
    def answer(self) -> Answer:
        """The status and headers of the answer, and the body where the status is an error."""
        return Answer(status=self._status, header_lines=self.header_lines, body=memoryview(self._error_body))

    @property
    def is_open(self) -> bool:
        """Whether the body has begun, or the request has ended. The body of an error is complete then."""
        return self._status in _WITH_BODY or self.is_over

    @property
    def waiting_bytes(self) -> int:
        """How many bytes have arrived and were not taken yet."""
        return self._waiting_bytes

    def skip(self, count: int) -> None:
        """Drop the first `count` bytes of the body, where a server ignored the range and sends the whole object."""
        self._skip_bytes = count
        while self._skip_bytes and self._pieces:
            piece = self._pieces.popleft()
            skipped = min(self._skip_bytes, len(piece))
            self._skip_bytes -= skipped
            self._waiting_bytes -= skipped
            if skipped < len(piece):
                self._pieces.appendleft(piece[skipped:])

    def take(self, limit: int) -> bytes:
        """Take up to `limit` of the bytes that have arrived; empty when none are waiting."""
        pieces, taken, size = self._pieces, [], 0
        while pieces and size + len(pieces[0]) <= limit:
            piece = pieces.popleft()
            size += len(piece)
            taken.append(piece)
        if not taken and pieces:
            piece = pieces.popleft()
            pieces.appendleft(piece[limit:])
            size = limit
            taken.append(piece[:limit])
        self._waiting_bytes -= size
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def error(self) -> TransferError:
        """The error for a body that ended too soon."""
        if self._error is not None:
            return curl_error(self._error, unavailable=self._unavailable, stage=self._stage)
        return self._unavailable(CUT_SHORT, stage=self._stage, http_status=self._status)

    def failure_to_open(self) -> TransferError | None:
        """The error where no part of an answer arrived, else None."""
        if self._error is not None and not self._status:
            return self.error()
        return None

    def close(self) -> None:
        """Abort the download, or release one that has ended. Bytes that were not taken are lost. Safe to call twice."""
        self._pieces.clear()
        self._waiting_bytes = 0
        self._is_paused = False
        self.on_close()

    # For the loop

    def received(self, data: bytes) -> int | None:
        """Called by libcurl with each piece of the body (CURLOPT_WRITEFUNCTION)."""
        if not self._status:
            self._status = _status(self.header_lines)
        if self._status not in _WITH_BODY:
            self._error_body += data[: MAX_ERROR_BODY_BYTES - len(self._error_body)]
            self._traffic.received_bytes += len(data)
            return None
        if self._waiting_bytes >= MAX_WAITING_BYTES or (self._rests_until and time.monotonic() < self._rests_until):
            self._is_paused = True
            return _PAUSE_READING  # libcurl keeps the piece and passes it again
        if self._wait_for is not None:
            wait_s = self._wait_for(len(data))
            self._rests_until = time.monotonic() + wait_s if wait_s > 0 else 0.0
        self._traffic.received_bytes += len(data)
        self._keep(data)
        return None

    def ended(self, error: pycurl.error | None) -> None:
        """Called by the loop when the request is over; `error` is libcurl's, if it failed."""
        self.is_over = True
        self._is_paused = False
        self._error = error
        if not self._status:
            self._status = _status(self.header_lines)

    def resume(self) -> bool:
        """Continue to receive if there is room and no pause is left to keep; whether it did."""
        if not self._is_paused or self._waiting_bytes >= MAX_WAITING_BYTES // 2 or self.rest_s() > 0:
            return False
        self._is_paused = False
        self.curl.pause(pycurl.PAUSE_CONT)
        return True

    def rest_s(self) -> float:
        """How many seconds it still pauses to keep to a bandwidth limit."""
        return max(0.0, self._rests_until - time.monotonic()) if self._rests_until else 0.0

    def perform(self, stop: Stop) -> None:
        """Raise AssertionError: only a CurlLoop can drive a download."""
        raise AssertionError("a download is driven by a CurlLoop, together with the upload that takes its body")

    def _keep(self, data: bytes) -> None:
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(data))
            self._skip_bytes -= skipped
            data = data[skipped:]
        if data:
            self._pieces.append(data)
            self._waiting_bytes += len(data)


class Relay(Transfer):
    """An upload whose body is `head`, the next `count` bytes of a download, and `tail`.

    `observe` gets each piece of the download as it is sent.
    """

    __slots__ = ("_download", "_head", "_is_starved", "_left_bytes", "_observe", "_tail")

    def __init__(
        self,
        curl: Any,
        unavailable: type[RetryableError],
        stage: Stage,
        *,
        download: Download,
        count: int,
        observe: Callable[[bytes], None],
        head: bytes = b"",
        tail: bytes = b"",
    ) -> None:
        super().__init__(curl, unavailable, stage)
        self._head = head
        self._tail = tail
        self._download = download
        self._left_bytes = count
        self._observe = observe
        self._is_starved = False
        download.relay = self

    def read(self, limit: int) -> bytes | int:
        """Called by libcurl for the next bytes to send (CURLOPT_READFUNCTION)."""
        if self._head:
            piece, self._head = self._head[:limit], self._head[limit:]
            return piece
        if not self._left_bytes:
            piece, self._tail = self._tail[:limit], self._tail[limit:]
            return piece
        data = self._download.take(min(limit, self._left_bytes))
        if not data:
            if self._download.is_over:
                return _ABORT
            self._is_starved = True
            return _PAUSE_SENDING
        self._left_bytes -= len(data)
        self._observe(data)
        return data

    def resume(self) -> bool:
        """Continue to send if bytes are waiting, or abort if none will arrive; whether it did either."""
        if not self._is_starved or not (self._download.waiting_bytes or self._download.is_over):
            return False
        self._is_starved = False
        self.curl.pause(pycurl.PAUSE_CONT)
        return True

    def answer(self, error: pycurl.error | None) -> Answer:
        """The answer that arrived. Raises the download's error where that aborted the upload, else as Transfer does."""
        self._download.relay = None
        if error is not None and error.args[0] == pycurl.E_ABORTED_BY_CALLBACK:
            raise self._download.error()
        return super().answer(error)


def _status(header_lines: Sequence[bytes]) -> int:
    """The status of the last answer among the header lines, 0 without one. libcurl reports it only at the end."""
    for line in reversed(header_lines):
        if line.startswith(b"HTTP/"):
            return int(line.split(None, 2)[1])
    return 0
