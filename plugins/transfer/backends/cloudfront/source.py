"""Reads objects through a CloudFront distribution (or any HTTP edge in front of a bucket)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

from transfer.backends.cloudfront.signing import UrlAuthorizer
from transfer.backends.crc32c import Crc32c
from transfer.backends.http.client import CurlClient
from transfer.backends.http.exchange import Answer, at_s
from transfer.backends.http.streams import BUFFER_BYTES, CUT_SHORT, Download
from transfer.comparison import etag_value
from transfer.config import MAX_GET_BYTES
from transfer.copying.proof import require_identity
from transfer.errors import (
    CorruptTransfer,
    EdgeBlocked,
    InvalidName,
    RetryableError,
    SignatureRejected,
    SourceChanged,
    SourceUnavailable,
    Stage,
    TransferError,
)
from transfer.model import ObjectMeta, Proof
from transfer.naming import escape_key
from transfer.ports import Fetched
from transfer.preflight.edge_answers import UNKNOWN, EdgeAnswer
from transfer.steps import Pause, Step

T = TypeVar("T")

MAX_URL_BYTES = 8192
"""The longest URL that CloudFront accepts (CloudFront, "Quotas")."""
ERROR_CACHE_S = 10.0
"""How long the edge repeats a cached 404 or 5xx (CloudFront, "How CloudFront processes HTTP 4xx and 5xx status codes")."""

READING_PAUSE_S = 0.002


class EdgeSource:
    """An `ObjectSource` over one distribution. Not thread-safe: each lane has its own.

    Args:
        client: sends the requests.
        base_url: scheme and host without a trailing slash.
        prefix: the key prefix that one signature covers.
        authorizer: gives the query string that the edge accepts.
        wait_for: books bytes about to be read, and returns how many seconds to pause; None for no limit.
    """

    def __init__(
        self,
        client: CurlClient,
        *,
        base_url: str,
        prefix: str,
        authorizer: UrlAuthorizer,
        wait_for: Callable[[int], float] | None = None,
    ) -> None:
        self._client = client
        self._wait_for = wait_for
        self._base_url = base_url
        self._escaped_prefix = escape_key(prefix)
        self._authorizer = authorizer

    def fetch(self, item: ObjectMeta) -> Step[Fetched]:
        """Read a whole object in one GET. Raises TransferError unless it has the listed size and ETag."""
        if self._wait_for is not None and (wait_s := self._wait_for(item.size_bytes)) > 0:
            yield Pause(wait_s)
        return (yield from self._signed(lambda query: self._fetch(item, query)))

    def _fetch(self, item: ObjectMeta, query: str) -> Step[Fetched]:
        answer = yield from self._client.request("GET", self._url(item, query), max_body_bytes=item.size_bytes)
        if answer.status != 200:
            raise edge_error(answer, item)
        return _checked(answer, item)

    def open(self, item: ObjectMeta, start: int, count: int) -> Step[Download]:
        """Open a stream of exactly `count` bytes from byte `start` on. The caller has to close it.

        Raises TransferError unless status, length, range and ETag are those expected.
        """
        return (yield from self._signed(lambda query: self._open(item, start, count, query)))

    def _open(self, item: ObjectMeta, start: int, count: int, query: str) -> Step[Download]:
        is_whole = start == 0 and count == item.size_bytes
        headers = [] if is_whole else [f"Range: bytes={start}-{start + count - 1}"]
        stream = yield from self._client.open(self._url(item, query), headers=headers, wait_for=self._wait_for)
        try:
            _check_stream(stream, item, start, count)
        except TransferError:
            stream.close()
            raise
        return stream

    def checksum(self, item: ObjectMeta, start: int, count: int) -> Step[str]:
        """Read `count` bytes from byte `start` on once more, and return their CRC32C (base64).

        Raises SourceUnproven when an answer has no ETag, so that its bytes may be those of another object.
        """
        checksum = Crc32c()
        while (done := checksum.size_bytes) < count:
            part_bytes = min(MAX_GET_BYTES, count - done)
            headers = yield from self.read(item, start + done, part_bytes, checksum.update)
            require_identity(Proof.CRC32C, headers)
        return checksum.text

    def read(
        self, item: ObjectMeta, start: int, count: int, observe: Callable[[bytes], None]
    ) -> Step[Mapping[str, str]]:
        """Read `count` bytes from byte `start` on and pass them to `observe`. Returns the headers of the answer."""
        stream = yield from self.open(item, start, count)
        left = count
        try:
            while left:
                if data := stream.take(min(left, BUFFER_BYTES)):
                    observe(data)
                    left -= len(data)
                elif stream.is_over:
                    raise stream.error()
                else:
                    yield Pause(READING_PAUSE_S)
            return stream.headers
        finally:
            stream.close()

    def _signed(self, ask: Callable[[str], Step[T]]) -> Step[T]:
        """The result of a request with a signed query; a refused one is repeated once with a new signature.

        A signature may have expired unnoticed: the clock was wrong when it was made, or the machine slept. So only the refusal of
        a fresh one raises SignatureRejected.
        """
        query = self._authorizer.query(self._escaped_prefix)
        try:
            return (yield from ask(query))
        except SignatureRejected:
            if not self._authorizer.renew(self._escaped_prefix, query):
                raise
        return (yield from ask(self._authorizer.query(self._escaped_prefix)))

    def _url(self, item: ObjectMeta, query: str) -> str:
        if item.version_id:  # a policy whose path ends with * also covers the query
            query = f"versionId={quote(item.version_id, safe='')}{'&' if query else ''}{query}"
        url = f"{self._base_url}/{escape_key(item.key)}"
        if query:
            url = f"{url}?{query}"
        if len(url) > MAX_URL_BYTES:
            raise InvalidName(
                f"its URL would have {len(url)} bytes, and CloudFront accepts {MAX_URL_BYTES} at most",
                stage=Stage.DOWNLOAD,
            )
        return url


def _checked(answer: Answer, item: ObjectMeta) -> Fetched:
    _check_identity(answer, item)
    if "content-length" not in answer.headers and len(answer.body) < item.size_bytes:
        raise SourceUnavailable(CUT_SHORT, stage=Stage.DOWNLOAD, http_status=answer.status)
    if not answer.is_complete or len(answer.body) != item.size_bytes:
        length = answer.headers.get("content-length", "more") if not answer.is_complete else len(answer.body)
        raise _other_length(answer, item.size_bytes, length)
    return Fetched(body=answer.body, headers=answer.headers)


def _check_stream(stream: Download, item: ObjectMeta, start: int, count: int) -> None:
    answer = stream.answer
    if answer.status not in (200, 206):
        raise edge_error(answer, item)
    _check_identity(answer, item)
    length = answer.headers.get("content-length")
    if answer.status == 200:
        if length is not None and length != str(item.size_bytes):
            raise _other_length(answer, item.size_bytes, length)
        stream.skip(start)  # an answer to a range request may be the whole object (RFC 9110, section 14.2)
        return
    last = start + count - 1
    given, _, total = answer.headers.get("content-range", "").partition("/")
    if given != f"bytes {start}-{last}" or total not in ("*", str(item.size_bytes)):
        kind = CorruptTransfer if total == str(item.size_bytes) else SourceChanged
        raise kind(
            f"bytes {start}-{last}/{item.size_bytes} were requested, and the edge sent"
            f" {given!r} of {total!r}{_from_where(answer)}",
            stage=Stage.DOWNLOAD,
            http_status=206,
        )
    if length is not None and length != str(count):
        raise CorruptTransfer(
            f"a range of {count} bytes was requested, and the edge announced {length}{_from_where(answer)}",
            stage=Stage.DOWNLOAD,
            http_status=206,
        )


def _check_identity(answer: Answer, item: ObjectMeta) -> None:
    """Raise SourceChanged if an answer is not of the listed object. One without an ETag is left to the proof of its bytes."""
    if EdgeAnswer(status=answer.status, headers=answer.headers).is_error_page:
        raise edge_error(answer, item)
    etag = etag_value(answer.headers.get("etag", ""))
    if etag and etag != item.etag:
        raise SourceChanged(
            f"listed with ETag {item.etag}, but the edge serves {etag}{_from_where(answer)}: it was replaced since the listing,"
            " or the copy is stale; CachingDisabled on the distribution rules out the latter",
            stage=Stage.DOWNLOAD,
            http_status=answer.status,
        )
    modified = at_s(answer.headers.get("last-modified", ""))
    if modified is not None and item.last_modified_s and modified != item.last_modified_s:
        when = datetime.fromtimestamp(item.last_modified_s, UTC)
        raise SourceChanged(
            f"listed as modified at {when:%Y-%m-%d %H:%M:%S} UTC, but the edge serves one modified at"
            f" {answer.headers['last-modified']}{_from_where(answer)}: its metadata may be different",
            stage=Stage.DOWNLOAD,
            http_status=answer.status,
        )


def _other_length(answer: Answer, count: int, length: object) -> SourceChanged:
    return SourceChanged(
        f"{count} bytes were expected, and the edge sent {length}{_from_where(answer)}",
        stage=Stage.DOWNLOAD,
        http_status=answer.status,
    )


def _from_where(answer: Answer) -> str:
    shown = [f"{name}: {answer.headers[name.lower()]}" for name in ("X-Cache", "Age") if name.lower() in answer.headers]
    return f" ({', '.join(shown)})" if shown else ""


def edge_error(answer: Answer, item: ObjectMeta) -> TransferError:
    """The engine's error for an answer of the edge that is not the requested object."""
    read = EdgeAnswer(status=answer.status, headers=answer.headers, text=answer.text)
    rule = read.rule or UNKNOWN
    code = f" {read.error_code}" if read.error_code else ""
    of = f" of the {item.size_bytes} bytes listed" if rule.error is SourceChanged else ""
    said = f"the edge answered {answer.status}{code}{of}{_from_where(answer)}"
    may_be_cached = (
        issubclass(rule.error, RetryableError) and rule.error is not EdgeBlocked
    )  # the edge's own 403s are not
    return rule.error(
        f"{said}: {read.meaning}" if read.meaning else said,
        stage=Stage.DOWNLOAD,
        http_status=answer.status,
        retry_after_s=_wait_s(answer) if may_be_cached else None,
    )


def _wait_s(answer: Answer) -> float | None:
    """The seconds that `Retry-After` asks for, and at least until an error cached at the edge expires."""
    wait_s = answer.retry_after_s or 0.0
    if "error from cloudfront" in answer.headers.get("x-cache", "").lower():
        age = answer.headers.get("age", "")
        wait_s = max(wait_s, ERROR_CACHE_S - (float(age) if age.isdigit() else 0.0))
    return wait_s or None
