"""Objects read through a CloudFront distribution (or any HTTP edge in front of a bucket)."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from transfer.backends.crc32c import Crc32c
from transfer.backends.curl import CurlClient
from transfer.backends.exchange import Answer
from transfer.backends.signing import UrlAuthorizer
from transfer.backends.streams import BUFFER_BYTES, CUT_SHORT, Download
from transfer.errors import (
    BucketMissing,
    CorruptTransfer,
    CredentialsRejected,
    EndpointRejected,
    InvalidName,
    SignatureRejected,
    SourceArchived,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    SourceUnavailable,
    Stage,
    Throttled,
    TransferError,
)
from transfer.model import ObjectMeta
from transfer.naming import escape_key
from transfer.ports import Fetched
from transfer.steps import Pause, Step
from transfer.streamed import MAX_GET_BYTES

MAX_URL_BYTES = 8192
"""CloudFront, "Quotas": request length."""
ERROR_CACHE_S = 10.0
"""For how long the edge repeats a cached 404 or 5xx (CloudFront, "How CloudFront processes HTTP 4xx and 5xx status codes")."""

READING_PAUSE_S = 0.002

_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_SIGNATURE_CODES = frozenset({"MissingKey", "InvalidKey", "MalformedSignature", "MalformedPolicy", "AccessDenied"})


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
        answer = yield from self._client.request("GET", self._url(item), max_body_bytes=item.size_bytes)
        if answer.status != 200:
            raise edge_error(answer, item)
        return _checked(answer, item)

    def open(self, item: ObjectMeta, start: int, count: int) -> Step[Download]:
        """A stream of exactly these bytes, its status, length, range and ETag checked. The caller closes it."""
        is_whole = start == 0 and count == item.size_bytes
        headers = [] if is_whole else [f"Range: bytes={start}-{start + count - 1}"]
        stream = yield from self._client.open(self._url(item), headers=headers, wait_for=self._wait_for)
        try:
            _check_stream(stream, item, start, count)
        except TransferError:
            stream.close()
            raise
        return stream

    def checksum(self, item: ObjectMeta, start: int, count: int) -> Step[str]:
        """The CRC32C (base64) of these bytes, read once more, in as many answers as it takes."""
        checksum = Crc32c()
        while (done := checksum.size_bytes) < count:
            end = min(count, done + MAX_GET_BYTES)
            stream = yield from self.open(item, start + done, end - done)
            try:
                while left := end - checksum.size_bytes:
                    if data := stream.take(min(left, BUFFER_BYTES)):
                        checksum.update(data)
                    elif stream.is_over:
                        raise stream.error()
                    else:
                        yield Pause(READING_PAUSE_S)
            finally:
                stream.close()
        return checksum.text

    def _url(self, item: ObjectMeta) -> str:
        query = self._authorizer.query(self._escaped_prefix)
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
    _check_etag(answer, item)
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
    _check_etag(answer, item)
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


def _check_etag(answer: Answer, item: ObjectMeta) -> None:
    etag = answer.headers.get("etag", "").removeprefix("W/").strip('"')
    if etag and etag != item.etag:
        raise SourceChanged(
            f"listed with ETag {item.etag}, but the edge serves {etag}{_from_where(answer)}: replaced since the listing,"
            " or a stale copy; CachingDisabled on the distribution rules out the latter",
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
    found = _CODE.search(answer.text)
    code = found[1] if found else ""
    status = answer.status
    said = f"the edge answered {status}{f' {code}' if code else ''}{_from_where(answer)}"

    def error(kind: type[TransferError], message: str = said, retry_after_s: float | None = None) -> TransferError:
        return kind(message, stage=Stage.DOWNLOAD, http_status=status, retry_after_s=retry_after_s)

    if status == 403:
        return _forbidden(answer, code, error, said)
    if code == "NoSuchBucket":
        return error(BucketMissing, f"{said}: the distribution's origin bucket does not exist")
    if status == 404:
        return error(SourceNotFound, f"{said}: deleted since the listing")
    if status == 416:
        return error(SourceChanged, f"{said}: shorter than the {item.size_bytes} bytes listed")
    if status in (413, 414, 431, 494):
        return error(InvalidName, f"{said}: its URL is too long for the edge")
    if status == 401:
        return error(CredentialsRejected, f"{said}: the edge wants another kind of authentication than signed URLs")
    if status == 429 or code == "SlowDown":
        return error(Throttled, retry_after_s=_wait_s(answer))
    if status >= 500 or status == 408:
        return error(SourceUnavailable, retry_after_s=_wait_s(answer))
    if 300 <= status < 400:
        return error(
            EndpointRejected, f"{said}: it redirects elsewhere; check the distribution's domain and its origin's region"
        )
    return error(SourceForbidden, f"{said} for this object")


def _forbidden(
    answer: Answer, code: str, error: Callable[[type[TransferError], str], TransferError], said: str
) -> TransferError:
    """S3 and CloudFront both answer 403; only S3's bears a request id of S3's."""
    if "x-amz-request-id" not in answer.headers and code in _SIGNATURE_CODES:
        return error(
            SignatureRejected,
            f"{said}: CloudFront refuses the URL's signature; check the connection's key pair id and private key, that"
            " the key is in the distribution's trusted key group, and this machine's clock",
        )
    if code == "InvalidObjectState":
        return error(SourceArchived, f"{said}: archived; restore it first")
    return error(SourceForbidden, f"{said}: S3 refuses it to the distribution, or it was deleted and may not be listed")


def _wait_s(answer: Answer) -> float | None:
    """What `Retry-After` asks for, and long enough for an error cached at the edge to run out."""
    wait_s = answer.retry_after_s or 0.0
    if "error from cloudfront" in answer.headers.get("x-cache", "").lower():
        age = answer.headers.get("age", "")
        wait_s = max(wait_s, ERROR_CACHE_S - (float(age) if age.isdigit() else 0.0))
    return wait_s or None
