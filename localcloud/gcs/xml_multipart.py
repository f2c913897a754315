"""Multipart uploads of the XML API.

After Cloud Storage's "XML API multipart uploads": parts 1 to 10,000 in any order and in parallel, each at least 5 MiB
but the last; the object has a CRC32C and no MD5. There are no preconditions.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from localcloud.gcs.blobs import NO_MD5, Content, Segment
from localcloud.gcs.checksums import Expected, combine_crc32c
from localcloud.gcs.errors import ApiError, invalid, no_upload
from localcloud.gcs.media import hash_header
from localcloud.gcs.names import check_attributes, check_object_name, parse_count
from localcloud.gcs.receiving import receive
from localcloud.gcs.resources import timestamp
from localcloud.gcs.store import Attributes, Store, decode_attributes, encode_attributes
from localcloud.http1 import Exchange

MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * 1024 * 1024
MAX_LISTED = 1000
XML = [("Content-Type", "application/xml; charset=UTF-8")]


def document(root: str, content: str) -> bytes:
    """An XML document in the namespace of the S3 dialect."""
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f"<?xml version='1.0' encoding='UTF-8'?><{root} xmlns='{namespace}'>{content}</{root}>".encode()


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part, in the order of the index's columns."""

    number: int
    blob: int
    size_bytes: int
    crc32c: int
    created_us: int

    @property
    def etag(self) -> str:
        """Opaque, and another one for another upload of the same number."""
        return f'"{self.blob:x}-{self.crc32c:08x}"'


class XmlMultipart:
    """Answers requests with `uploads` or `uploadId`. Thread-safe."""

    def __init__(self, store: Store, base_url: str) -> None:
        self._store = store
        self._base_url = base_url

    def handle(
        self,
        exchange: Exchange,
        bucket: str,
        name: str,
        query: dict[str, str],
        read_attributes: Callable[[dict[str, str]], Attributes],
    ) -> None:
        """Answer one request about an object's uploads. Raises ApiError."""
        match exchange.method, "uploadId" in query:
            case "POST", False:
                self._initiate(exchange, bucket, name, read_attributes(exchange.headers))
            case "PUT", True:
                self._put_part(exchange, bucket, name, query)
            case "GET", True:
                self._list_parts(exchange, bucket, name, query)
            case "POST", True:
                self._complete(exchange, bucket, name, query["uploadId"])
            case "DELETE", True:
                exchange.kind = "xml.abort"
                with self._store.db.transaction():
                    self._find(bucket, name, query["uploadId"])
                    parts = self._parts(query["uploadId"])
                    self._forget(query["uploadId"])
                self._store.blobs.drop([Segment(part.blob, part.size_bytes) for part in parts])
                exchange.send(204)
            case _:
                raise ApiError(405, "methodNotAllowed", "Method not allowed", "MethodNotAllowed")

    def _initiate(self, exchange: Exchange, bucket: str, name: str, attributes: Attributes) -> None:
        exchange.kind = "xml.initiate"
        check_object_name(name)
        check_attributes(attributes)
        self._store.bucket(bucket)
        upload = secrets.token_urlsafe(24)
        self._store.db.execute(
            "INSERT INTO uploads VALUES(?,?,?,?,?)",
            *(upload, bucket, name.encode(), encode_attributes(attributes), self._store.blobs.tick()),
        )
        content = f"{_names(bucket, name)}<UploadId>{upload}</UploadId>"
        exchange.send(200, XML, document("InitiateMultipartUploadResult", content))

    def _put_part(self, exchange: Exchange, bucket: str, name: str, query: dict[str, str]) -> None:
        exchange.kind = "xml.put-part"
        number, upload = parse_count(query.get("partNumber", "")), query["uploadId"]
        if not 1 <= number <= MAX_PARTS:
            raise invalid(f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive.")
        self._find(bucket, name, upload)
        expected = Expected.from_headers(exchange.headers)
        content = receive(exchange, self._store, exchange.body_chunks(), expected, wants_md5=True)
        part = Part(number, content.segments[0].blob, content.size_bytes, content.crc32c, self._store.blobs.tick())
        try:
            with self._store.db.transaction():
                self._find(bucket, name, upload)  # it may be gone by now
                old = self._store.db.first("SELECT blob, size FROM parts WHERE upload=? AND number=?", upload, number)
                values = (number, part.blob, part.size_bytes, part.crc32c, part.created_us)
                self._store.db.execute("INSERT OR REPLACE INTO parts VALUES(?,?,?,?,?,?)", upload, *values)
        except ApiError:
            self._store.blobs.drop(content.segments)
            raise
        if old:
            self._store.blobs.drop([Segment(*old)])
        exchange.send(200, [("ETag", part.etag), ("x-goog-hash", hash_header(content.crc32c, content.md5))])

    def _complete(self, exchange: Exchange, bucket: str, name: str, upload: str) -> None:
        exchange.kind = "xml.complete"
        wanted = _parse_parts(exchange.read_body())
        with self._store.db.transaction():
            attributes = self._find(bucket, name, upload)
            every = {part.number: part for part in self._parts(upload)}
            parts = _chosen(every, wanted)
            content = Content(
                [Segment(part.blob, part.size_bytes) for part in parts],
                sum(part.size_bytes for part in parts),
                combine_crc32c((part.crc32c, part.size_bytes) for part in parts),
                NO_MD5,
            )
            record = self._store.put(bucket, name, content, attributes)
            self._forget(upload)
        unused = set(every) - {part.number for part in parts}
        self._store.blobs.drop([Segment(every[number].blob, every[number].size_bytes) for number in unused])
        etag = f'"{record.crc32c:08x}-{len(parts)}"'
        location = f"{self._base_url}/{bucket}/{quote(name)}"
        headers = [
            *XML,
            ("x-goog-generation", str(record.generation)),
            ("x-goog-hash", hash_header(record.crc32c, None)),
        ]
        answer = f"<Location>{escape(location)}</Location>{_names(bucket, name)}<ETag>{etag}</ETag>"
        exchange.send(200, headers, document("CompleteMultipartUploadResult", answer))

    def _list_parts(self, exchange: Exchange, bucket: str, name: str, query: dict[str, str]) -> None:
        exchange.kind = "xml.list-parts"
        upload = query["uploadId"]
        self._find(bucket, name, upload)
        limit = min(parse_count(query.get("max-parts", str(MAX_LISTED))), MAX_LISTED)
        parts = self._parts(upload, after=parse_count(query.get("part-number-marker", "0")), limit=limit + 1)
        lines = [f"{_names(bucket, name)}<UploadId>{upload}</UploadId>{_truncated(len(parts) > limit)}"]
        if len(parts) > limit:
            lines.append(f"<NextPartNumberMarker>{parts[limit - 1].number}</NextPartNumberMarker>")
        for part in parts[:limit]:
            lines.append(
                f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{timestamp(part.created_us)}</LastModified>"
                f"<ETag>{escape(part.etag)}</ETag><Size>{part.size_bytes}</Size></Part>"
            )
        exchange.send(200, XML, document("ListPartsResult", "".join(lines)))

    def list_uploads(self, exchange: Exchange, bucket: str, query: dict[str, str]) -> None:
        """Answer `GET /bucket?uploads`. Raises ApiError 400 or 404."""
        exchange.kind = "xml.list-uploads"
        self._store.bucket(bucket)
        limit = min(parse_count(query.get("max-uploads", str(MAX_LISTED))), MAX_LISTED)
        prefix = query.get("prefix", "").encode()
        key, marker = query.get("key-marker", "").encode(), query.get("upload-id-marker", "\U0010ffff")
        rows = self._store.db.execute(
            "SELECT name, id, created_us FROM uploads WHERE bucket=? AND name>=? AND name<? AND (name, id) > (?, ?) "
            "ORDER BY name, id LIMIT ?",
            *(bucket, prefix, prefix + b"\xff", key, marker if key else "", limit + 1),
        )
        lines = [f"<Bucket>{bucket}</Bucket>{_truncated(len(rows) > limit)}"]
        if len(rows) > limit:
            name, upload, _ = rows[limit - 1]
            lines.append(f"<NextKeyMarker>{escape(name.decode())}</NextKeyMarker>")
            lines.append(f"<NextUploadIdMarker>{upload}</NextUploadIdMarker>")
        for name, upload, created_us in rows[:limit]:
            lines.append(
                f"<Upload><Key>{escape(name.decode())}</Key><UploadId>{upload}</UploadId>"
                f"<StorageClass>STANDARD</StorageClass><Initiated>{timestamp(created_us)}</Initiated></Upload>"
            )
        exchange.send(200, XML, document("ListMultipartUploadsResult", "".join(lines)))

    def _find(self, bucket: str, name: str, upload: str) -> Attributes:
        row = self._store.db.first(
            "SELECT attributes FROM uploads WHERE id=? AND bucket=? AND name=?", upload, bucket, name.encode()
        )
        if row is None:
            raise no_upload()
        return decode_attributes(row[0])

    def _parts(self, upload: str, after: int = 0, limit: int = MAX_PARTS) -> list[Part]:
        statement = (
            "SELECT number, blob, size, crc32c, created_us FROM parts WHERE upload=? AND number>? ORDER BY number"
        )
        return [Part(*row) for row in self._store.db.execute(f"{statement} LIMIT ?", upload, after, limit)]

    def _forget(self, upload: str) -> None:
        self._store.db.execute("DELETE FROM uploads WHERE id=?", upload)
        self._store.db.execute("DELETE FROM parts WHERE upload=?", upload)


def _names(bucket: str, name: str) -> str:
    return f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key>"


def _truncated(more: bool) -> str:
    return f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"


def _parse_parts(body: bytes) -> list[tuple[int, str]]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - from a client on loopback
    except ElementTree.ParseError as error:
        raise invalid("The XML you provided was not well-formed.", "MalformedXML") from error
    parts = [part for part in root if part.tag.rpartition("}")[2] == "Part"]
    fields = [{child.tag.rpartition("}")[2]: (child.text or "").strip() for child in part} for part in parts]
    return [(parse_count(part.get("PartNumber", "")), part.get("ETag", "")) for part in fields]


def _chosen(parts: dict[int, Part], wanted: Sequence[tuple[int, str]]) -> list[Part]:
    numbers = [number for number, _ in wanted]
    if not numbers:
        raise invalid("You must specify at least one part.", "MalformedXML")
    if numbers != sorted(set(numbers)):
        raise invalid("The list of parts was not in ascending order.", "InvalidPartOrder")
    for number, etag in wanted:
        if number not in parts or parts[number].etag.strip('"') != etag.strip('"'):
            raise invalid("One or more of the specified parts could not be found.", "InvalidPart")
    if any(parts[number].size_bytes < MIN_PART_BYTES for number in numbers[:-1]):
        raise invalid("Your proposed upload is smaller than the minimum allowed size.", "EntityTooSmall")
    return [parts[number] for number in numbers]
