"""A request on its way over libcurl, its answer, and what libcurl's errors mean to the engine."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pycurl

from transfer.errors import EndpointRejected, RetryableError, Stage, Stopped, TransferError
from transfer.stopping import Stop

MAX_ERROR_BODY_BYTES = 64 * 1024

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


class Answer:
    """A complete HTTP answer. Its headers are parsed when first asked for: most answers to uploads never are."""

    __slots__ = ("_header_lines", "_headers", "body", "is_complete", "status")

    def __init__(
        self, *, status: int, header_lines: Sequence[bytes], body: memoryview, is_complete: bool = True
    ) -> None:
        self.status = status
        self.body = body
        self.is_complete = is_complete
        """False when more came than was allowed for: the body then ends early."""
        self._header_lines = header_lines
        self._headers: Mapping[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; repeated ones joined by ", "."""
        if self._headers is None:
            self._headers = parse_headers(self._header_lines)
        return self._headers

    @property
    def retry_after_s(self) -> float | None:
        """What `Retry-After` asks for: seconds, or a date, which is read by the server's own clock (RFC 9110, 10.2.3)."""
        asked = self.headers.get("retry-after", "")
        if asked.isdecimal():
            return float(asked)
        if not asked or (until := _date(asked)) is None:
            return None
        now = _date(self.headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())

    @property
    def text(self) -> str:
        """The body as text, for error documents."""
        return bytes(self.body[:MAX_ERROR_BODY_BYTES]).decode("utf-8", "replace")


class Transfer:
    """A request on its way: what a step waits for. A driver sends it over its handle and then asks for the answer."""

    __slots__ = ("_stage", "_unavailable", "curl", "header_lines", "received")

    def __init__(self, curl: Any, unavailable: type[RetryableError], stage: Stage) -> None:
        self.curl = curl
        self.received = io.BytesIO()
        self.header_lines: list[bytes] = []
        self._unavailable = unavailable
        self._stage = stage

    def perform(self, stop: Stop) -> Answer:
        """Send it and wait here. Raises Stopped when it is time to stop.

        libcurl asks once a second at least (CURLOPT_XFERINFOFUNCTION). That also lets Python run signal handlers, which it
        does not while C code waits.
        """
        self.curl.setopt(pycurl.XFERINFOFUNCTION, lambda *_: stop.is_set())
        self.curl.setopt(pycurl.NOPROGRESS, 0)
        try:
            self.curl.perform()
        except pycurl.error as error:
            if error.args[0] == pycurl.E_ABORTED_BY_CALLBACK:
                raise Stopped from None
            return self.answer(error)
        finally:
            self.curl.setopt(pycurl.NOPROGRESS, 1)
        return self.answer(None)

    def answer(self, error: pycurl.error | None) -> Answer:
        """What came; raises the engine's error for what libcurl reported."""
        is_complete = error is None
        if error is not None and error.args[0] != pycurl.E_FILESIZE_EXCEEDED:
            raise curl_error(error, unavailable=self._unavailable, stage=self._stage) from error
        return Answer(
            status=self.curl.getinfo(pycurl.RESPONSE_CODE),
            header_lines=self.header_lines,
            body=self.received.getbuffer(),
            is_complete=is_complete,
        )


def parse_headers(lines: Sequence[bytes]) -> dict[str, str]:
    """The last answer's headers: names in lower case, repeated ones joined by ", "."""
    raw = b"".join(lines)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    headers: dict[str, str] = {}
    for line in text.split("\n"):  # with or without a CR, which goes with the white space
        name, colon, value = line.partition(":")
        if not colon:
            if line.startswith("HTTP/"):  # an interim answer's headers are not the answer's
                headers = {}
            continue
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return headers


def at_s(text: str) -> int | None:
    """An HTTP date in seconds since the epoch; None for what is none."""
    date = _date(text) if text else None
    return int(date.timestamp()) if date else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def curl_error(error: pycurl.error, *, unavailable: type[RetryableError], stage: Stage) -> TransferError:
    """The engine's error for one of libcurl's. The message never holds the URL: it may be signed."""
    number, text = (*error.args, "")[:2]
    if number in _MISCONFIGURED:
        return EndpointRejected(f"{_MISCONFIGURED[number]} ({text})", stage=stage)
    trouble = unavailable(f"{text or 'the connection broke'} (libcurl error {number})", stage=stage)
    trouble.is_timeout = number == pycurl.E_OPERATION_TIMEDOUT
    return trouble
