"""Object content out: ranges, and gzip undone for readers who do not take it (both APIs).

Cloud Storage's "Transcoding of gzip-compressed files": an object with `Content-Encoding: gzip` is decompressed on the
way unless the reader accepts gzip or the object says `no-transform`; ranges are then ignored.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

from localcloud.gcs.checksums import encode_crc32c, encode_md5
from localcloud.gcs.errors import ApiError
from localcloud.gcs.resources import DEFAULT_TYPE
from localcloud.gcs.store import ObjectRecord, Store
from localcloud.http1 import Exchange

_HEADERS = {
    "contentEncoding": "Content-Encoding",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
    "cacheControl": "Cache-Control",
}


def hash_header(crc32c: int, md5: bytes | None) -> str:
    """The value of `x-goog-hash`."""
    value = f"crc32c={encode_crc32c(crc32c)}"
    return f"{value},md5={encode_md5(md5)}" if md5 else value


def send_object(
    exchange: Exchange, store: Store, record: ObjectRecord, headers: list[tuple[str, str]], entity_tag: str
) -> None:
    """Answer with the content of a record from `Store.reading`, or the part that `Range` asks for. Raises ApiError 416."""
    attributes = record.attributes
    size = record.size_bytes
    headers = [
        ("Content-Type", str(attributes.get("contentType", DEFAULT_TYPE))),
        ("Accept-Ranges", "bytes"),
        ("ETag", entity_tag),
        ("x-goog-generation", str(record.generation)),
        ("x-goog-metageneration", str(record.metageneration)),
        ("x-goog-storage-class", str(attributes.get("storageClass", "STANDARD"))),
        ("x-goog-hash", hash_header(record.crc32c, record.md5)),
        ("x-goog-stored-content-encoding", str(attributes.get("contentEncoding", "identity"))),
        ("x-goog-stored-content-length", str(size)),
        *((header, str(attributes[key])) for key, header in _HEADERS.items() if key in attributes),
        *headers,
    ]
    headers = [(name, " ".join(value.splitlines())) for name, value in headers]  # a line end would end the header
    if _transcodes(exchange, record):
        try:
            count = sum(map(len, _gunzip(store.blobs.read(record.segments, 0, size))))
        except zlib.error:
            pass  # not gzip after all: goes out as it is stored
        else:
            headers = [header for header in headers if header[0] != "Content-Encoding"]
            headers.append(("Warning", "214 UploadServer gunzipped"))
            exchange.send_stream(200, headers, count, _gunzip(store.blobs.read(record.segments, 0, size)))
            return
    start, count = _range(exchange.headers.get("range"), size)
    status = 200 if start is None else 206
    if start is not None:
        headers.append(("Content-Range", f"bytes {start}-{start + count - 1}/{size}"))
    if len(record.segments) == 1:
        with store.blobs.path(record.segments[0].blob).open("rb") as file:
            exchange.send_file(status, headers, file, start or 0, count)
    else:
        exchange.send_stream(status, headers, count, store.blobs.read(record.segments, start or 0, count))


def _transcodes(exchange: Exchange, record: ObjectRecord) -> bool:
    return (
        record.attributes.get("contentEncoding") == "gzip"
        and "gzip" not in exchange.headers.get("accept-encoding", "")
        and "no-transform" not in str(record.attributes.get("cacheControl", ""))
    )


def _gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    for piece in pieces:
        yield inflate.decompress(piece)
    yield inflate.flush()


def _range(header: str | None, size: int) -> tuple[int | None, int]:
    """First byte and count; first byte None for the whole. A header of another form is ignored, as RFC 9110 allows."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not match or not any(match.groups()):
        return None, size
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or end < start:
        error = ApiError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable", "InvalidRange")
        error.headers = (("Content-Range", f"bytes */{size}"),)
        raise error
    return start, end - start + 1
