"""Objects read through a CloudFront distribution (or any HTTP edge in front of a bucket)."""

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
"""CloudFront, "Quotas": request length."""
ERROR_CACHE_S = 10.0
"""For how long the edge repeats a cached 404 or 5xx (CloudFront, "How CloudFront processes HTTP 4xx and 5xx status codes")."""

READING_PAUSE_S = 0.002


class EdgeSource:
    """An `ObjectSource` over one distribution. One a lane.

    Args:
        base_url: scheme and host without a trailing slash.
        prefix: the key prefix that one signature covers.
        authorizer: gives the query string that the edge accepts.
        wait_for: books bytes about to be read and says how many seconds to rest; None for no limit.
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
        """The whole object in one GET. Raises TransferError for anything but the listed length and ETag."""
        if self._wait_for is not None and (wait_s := self._wait_for(item.size_bytes)) > 0:
            yield Pause(wait_s)
        return (yield from self._signed(lambda query: self._fetch(item, query)))

    def _fetch(self, item: ObjectMeta, query: str) -> Step[Fetched]:
        answer = yield from self._client.request("GET", self._url(item, query), max_body_bytes=item.size_bytes)
        if answer.status != 200:
            raise edge_error(answer, item)
        return _checked(answer, item)

    def open(self, item: ObjectMeta, start: int, count: int) -> Step[Download]:
        """A stream of exactly these bytes, its status, length, range and ETag checked. The caller closes it."""
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
        """The CRC32C (base64) of these bytes, read once more, in as many answers as it takes.

        Raises SourceUnproven when nothing says of what they are.
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
        """Read these bytes for `observe` alone; the headers that they came with."""
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
        """Ask with a signed query; once more with a new one when it is refused. Only a fresh signature's refusal is fatal.

        One that was good may have run out unnoticed: the clock was wrong when it was made, or the machine slept.
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
                f"its URL would have {len(url)} bytes, and CloudFront takes {MAX_URL_BYTES} at most",
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
            f"bytes {start}-{last}/{item.size_bytes} were asked for, and the edge sent"
            f" {given!r} of {total!r}{_from_where(answer)}",
            stage=Stage.DOWNLOAD,
            http_status=206,
        )
    if length is not None and length != str(count):
        raise CorruptTransfer(
            f"a range of {count} bytes was announced with {length}{_from_where(answer)}",
            stage=Stage.DOWNLOAD,
            http_status=206,
        )


def _check_identity(answer: Answer, item: ObjectMeta) -> None:
    """Raises unless this may be what was listed. An answer without an ETag is left to the proof of its bytes."""
    if EdgeAnswer(status=answer.status, headers=answer.headers).is_error_page:
        raise edge_error(answer, item)
    etag = etag_value(answer.headers.get("etag", ""))
    if etag and etag != item.etag:
        raise SourceChanged(
            f"listed with ETag {item.etag}, but the edge serves {etag}{_from_where(answer)}: replaced since the listing,"
            " or a stale copy; CachingDisabled on the distribution rules out the latter",
            stage=Stage.DOWNLOAD,
            http_status=answer.status,
        )
    modified = at_s(answer.headers.get("last-modified", ""))
    if modified is not None and item.last_modified_s and modified != item.last_modified_s:
        when = datetime.fromtimestamp(item.last_modified_s, UTC)
        raise SourceChanged(
            f"listed as modified at {when:%Y-%m-%d %H:%M:%S} UTC, but the edge serves one of"
            f" {answer.headers['last-modified']}{_from_where(answer)}: its metadata are of another time",
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
    told = [f"{name}: {answer.headers[name.lower()]}" for name in ("X-Cache", "Age") if name.lower() in answer.headers]
    return f" ({', '.join(told)})" if told else ""


def edge_error(answer: Answer, item: ObjectMeta) -> TransferError:
    """The engine's error for an answer that is not the object asked for."""
    told = EdgeAnswer(status=answer.status, headers=answer.headers, text=answer.text)
    rule = told.rule or UNKNOWN
    code = f" {told.error_code}" if told.error_code else ""
    of = f" of the {item.size_bytes} bytes listed" if rule.error is SourceChanged else ""
    said = f"the edge answered {answer.status}{code}{of}{_from_where(answer)}"
    is_kept = issubclass(rule.error, RetryableError) and rule.error is not EdgeBlocked  # its own 403s are not cached
    return rule.error(
        f"{said}: {told.meaning}" if told.meaning else said,
        stage=Stage.DOWNLOAD,
        http_status=answer.status,
        retry_after_s=_wait_s(answer) if is_kept else None,
    )


def _wait_s(answer: Answer) -> float | None:
    """What `Retry-After` asks for, and long enough for an error cached at the edge to run out."""
    wait_s = answer.retry_after_s or 0.0
    if "error from cloudfront" in answer.headers.get("x-cache", "").lower():
        age = answer.headers.get("age", "")
        wait_s = max(wait_s, ERROR_CACHE_S - (float(age) if age.isdigit() else 0.0))
    return wait_s or None
