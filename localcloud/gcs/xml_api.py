"""The XML API: objects by path, with their metadata in headers, and listings in the S3 dialect.

After Cloud Storage's "XML API reference" and its "HTTP headers" page.
"""

from __future__ import annotations

from email.utils import formatdate
from urllib.parse import quote
from xml.sax.saxutils import escape

from localcloud.gcs.checksums import Expected
from localcloud.gcs.errors import ApiError, invalid, no_bucket
from localcloud.gcs.listing import MAX_RESULTS, ListQuery, list_page
from localcloud.gcs.media import hash_header, send_object
from localcloud.gcs.names import check_media_type, parse_count, parse_query, unescape
from localcloud.gcs.policies import check_payer
from localcloud.gcs.receiving import keep, receive
from localcloud.gcs.resources import etag, normal_time, timestamp
from localcloud.gcs.store import Attributes, Conditions, ObjectRecord, Store
from localcloud.gcs.xml_multipart import XML, XmlMultipart, document
from localcloud.http1 import Exchange

_META = "x-goog-meta-"
_HEADERS = {
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
    "x-goog-storage-class": "storageClass",
    "x-goog-custom-time": "customTime",
}


class XmlApi:
    """Answers `/bucket` and `/bucket/object`. Thread-safe."""

    def __init__(self, store: Store, base_url: str) -> None:
        self._store = store
        self._multipart = XmlMultipart(store, base_url)

    def handle(self, exchange: Exchange) -> None:
        """Answer one request. Raises ApiError."""
        exchange.kind = "xml.unknown"
        bucket, _, name = (unescape(part) for part in exchange.path.removeprefix("/").partition("/"))
        query = parse_query(exchange.query)
        if bucket:
            project = exchange.headers.get("x-goog-user-project", "") or query.get("userProject", "")
            check_payer(self._store.bucket(bucket)[2], project)
        if exchange.method in ("PUT", "POST") and name:
            check_media_type(_type_of_object(exchange, query))
        if not name:
            self._handle_bucket(exchange, bucket, query)
        elif "uploads" in query or "uploadId" in query:
            self._multipart.handle(exchange, bucket, name, query, attributes_from_headers)
        elif exchange.method == "PUT":
            self._put(exchange, bucket, name)
        elif exchange.method in ("GET", "HEAD"):
            self._get(exchange, bucket, name, query)
        elif exchange.method == "DELETE":
            exchange.kind = "xml.delete"
            self._store.delete(bucket, name, query.get("generation"), _conditions(exchange))
            exchange.send(204)
        else:
            raise ApiError(405, "methodNotAllowed", "Method not allowed", "MethodNotAllowed")

    def _put(self, exchange: Exchange, bucket: str, name: str) -> None:
        exchange.kind = "xml.put"
        attributes = attributes_from_headers(exchange.headers)
        conditions = _conditions(exchange)
        content = receive(exchange, self._store, exchange.body_chunks(), Expected.from_headers(exchange.headers))
        record = keep(self._store, bucket, name, content, attributes, conditions)
        headers = [
            ("ETag", xml_etag(record)),
            ("x-goog-generation", str(record.generation)),
            ("x-goog-metageneration", str(record.metageneration)),
            ("x-goog-hash", hash_header(record.crc32c, record.md5)),
            ("x-goog-stored-content-length", str(record.size_bytes)),
        ]
        exchange.send(200, headers)

    def _get(self, exchange: Exchange, bucket: str, name: str, query: dict[str, str]) -> None:
        exchange.kind = f"xml.{exchange.method.lower()}"
        with self._store.reading(bucket, name, query.get("generation"), _conditions(exchange)) as record:
            self._send(exchange, self._store.with_md5(record) if exchange.method == "HEAD" else record)

    def _send(self, exchange: Exchange, record: ObjectRecord) -> None:
        headers = [("Last-Modified", formatdate(record.updated_us / 1e6, usegmt=True))]
        headers += [(f"{_META}{key}", value) for key, value in record.metadata.items()]
        if "customTime" in record.attributes:
            headers.append(("x-goog-custom-time", str(record.attributes["customTime"])))
        if record.components is not None:
            headers.append(("x-goog-component-count", str(record.components)))
        send_object(exchange, self._store, record, headers, xml_etag(record))

    def _handle_bucket(self, exchange: Exchange, bucket: str, query: dict[str, str]) -> None:
        if not bucket:
            raise no_bucket()
        if exchange.method not in ("GET", "HEAD"):
            raise ApiError(405, "methodNotAllowed", "Method not allowed", "MethodNotAllowed")
        if exchange.method == "HEAD":
            exchange.kind = "xml.head-bucket"
            self._store.bucket(bucket)
            exchange.send(200)
        elif "uploads" in query:
            self._multipart.list_uploads(exchange, bucket, query)
        else:
            exchange.kind = "xml.list"
            exchange.send(200, XML, self._list(bucket, query))

    def _list(self, bucket: str, query: dict[str, str]) -> bytes:
        is_v2 = query.get("list-type") == "2"
        listing = ListQuery(
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            after=query.get("start-after" if is_v2 else "marker", ""),
            token=query.get("continuation-token", "") if is_v2 else "",
            max_results=parse_count(query.get("max-keys", str(MAX_RESULTS))),
        )
        page = list_page(self._store, bucket, listing)
        in_url = query.get("encoding-type") == "url"
        show, encoding = (quote if in_url else escape), ("<EncodingType>url</EncodingType>" if in_url else "")
        lines = [f"<Name>{bucket}</Name><Prefix>{show(listing.prefix)}</Prefix>{encoding}"]
        lines.append(f"<IsTruncated>{'true' if page.token else 'false'}</IsTruncated>")
        if page.token and is_v2:
            lines.append(f"<NextContinuationToken>{page.token}</NextContinuationToken>")
        elif page.token:
            last = max([record.name for record in page.items[-1:]] + page.prefixes[-1:], key=str.encode)
            lines.append(f"<NextMarker>{show(last)}</NextMarker>")
        for record in page.items:
            lines.append(
                f"<Contents><Key>{show(record.name)}</Key><Generation>{record.generation}</Generation>"
                f"<MetaGeneration>{record.metageneration}</MetaGeneration>"
                f"<LastModified>{timestamp(record.updated_us)}</LastModified>"
                f"<ETag>{escape(xml_etag(record))}</ETag><Size>{record.size_bytes}</Size>"
                f"<StorageClass>{record.attributes.get('storageClass', 'STANDARD')}</StorageClass></Contents>"
            )
        lines += [f"<CommonPrefixes><Prefix>{show(prefix)}</Prefix></CommonPrefixes>" for prefix in page.prefixes]
        return document("ListBucketResult", "".join(lines))


def attributes_from_headers(headers: dict[str, str]) -> Attributes:
    """What an upload's headers set on its object. Raises ApiError 400 for a bad x-goog-custom-time."""
    attributes: Attributes = {key: _text(headers[name]) for name, key in _HEADERS.items() if name in headers}
    if "customTime" in attributes:
        attributes["customTime"] = normal_time(str(attributes["customTime"]))
    metadata = {name[len(_META) :]: _text(value) for name, value in headers.items() if name.startswith(_META)}
    if metadata:
        attributes["metadata"] = metadata
    return attributes


def xml_etag(record: ObjectRecord) -> str:
    """The quoted MD5 in hexadecimal where there is one, as in the XML API, else the JSON API's ETag."""
    return f'"{record.md5.hex() if record.md5 else "-" + etag(record)}"'


def _text(value: str) -> str:
    try:
        return value.encode("latin-1").decode()  # header bytes are read as Latin-1; Cloud Storage's are UTF-8
    except UnicodeDecodeError as error:
        raise invalid("A header is not valid UTF-8.") from error


def _conditions(exchange: Exchange) -> Conditions:
    generation = exchange.headers.get("x-goog-if-generation-match")
    metageneration = exchange.headers.get("x-goog-if-metageneration-match")
    return Conditions(
        generation=None if generation is None else parse_count(generation),
        metageneration=None if metageneration is None else parse_count(metageneration),
    )


def _type_of_object(exchange: Exchange, query: dict[str, str]) -> str | None:
    """The Content-Type that becomes the object's: of a part, and of the list of parts, it is nobody's."""
    return None if "uploadId" in query else exchange.headers.get("content-type")
