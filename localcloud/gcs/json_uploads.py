"""Uploads of the JSON API: `POST /upload/storage/v1/b/B/o` with uploadType media, multipart or resumable."""

from __future__ import annotations

import functools
import json
import re
from urllib.parse import quote

from localcloud.gcs.checksums import Expected
from localcloud.gcs.discovery import check_fields, check_parameters
from localcloud.gcs.errors import ApiError, invalid, no_upload
from localcloud.gcs.names import (
    check_attributes,
    check_media_type,
    check_object_name,
    parse_count,
    parse_query,
    unescape,
)
from localcloud.gcs.policies import check_payer
from localcloud.gcs.receiving import RelatedReader, keep, payload, receive
from localcloud.gcs.resources import object_resource, parse_fields, parse_resource, select_fields, wants, writable
from localcloud.gcs.sessions import ContentRange, Sessions
from localcloud.gcs.store import Attributes, Conditions, ObjectRecord, Store
from localcloud.http1 import Exchange

_PATH = re.compile(r"(?:/resumable)?/upload/storage/v1/b/([^/]+)/o")


class JsonUploads:
    """Answers upload requests. Thread-safe."""

    def __init__(self, store: Store, base_url: str) -> None:
        self._store = store
        self._base_url = base_url
        self._sessions = Sessions(store)

    def handle(self, exchange: Exchange) -> None:
        """Answer one request under `/upload/` or `/resumable/upload/`. Raises ApiError."""
        exchange.kind = "objects.insert"
        query = parse_query(exchange.query)
        # A bad selection must fail before the object is there.
        check_fields("objects.insert", parse_fields(query.get("fields", "")))
        check_parameters("objects.insert", query)
        match = _PATH.fullmatch(exchange.path)
        if not match:
            raise ApiError(404, "notFound", "Not Found")
        bucket = unescape(match[1])
        if "upload_id" in query:
            self._continue(exchange, bucket, query)
            return
        if exchange.method != "POST":
            raise ApiError(405, "httpMethodNotAllowed", "Method not allowed", "MethodNotAllowed")
        handler = {"media": self._media, "multipart": self._multipart, "resumable": self._initiate}.get(
            query.get("uploadType", exchange.headers.get("x-goog-upload-protocol", ""))
        )
        if handler is None:
            raise invalid("Invalid or missing uploadType.")
        project = query.get("userProject", "") or exchange.headers.get("x-goog-user-project", "")
        check_payer(self._store.bucket(bucket)[2], project)
        handler(exchange, bucket, query)

    def _media(self, exchange: Exchange, bucket: str, query: dict[str, str]) -> None:
        check_media_type(exchange.headers.get("content-type"))
        attributes = _attributes({}, exchange.headers.get("content-type"), query)
        expected = Expected.from_headers(exchange.headers)
        content = receive(exchange, self._store, exchange.body_chunks(), expected)
        name = query.get("name", "")
        record = keep(self._store, bucket, name, content, attributes, Conditions.from_query(query))
        exchange.send(200, _JSON, self._render(query, record).encode())

    def _multipart(self, exchange: Exchange, bucket: str, query: dict[str, str]) -> None:
        reader = RelatedReader(exchange.body_chunks(), exchange.headers.get("content-type", ""))
        reader.headers()
        resource = parse_resource(b"".join(bytes(piece) for piece in reader.body()))
        media_type = reader.headers().get("content-type")
        check_media_type(media_type)
        attributes = _attributes(resource, media_type, query)
        expected = Expected.from_headers(exchange.headers).or_else(_expected(resource))
        name = _name(resource, query, bucket)
        content = receive(exchange, self._store, reader.body(), expected)
        record = keep(self._store, bucket, name, content, attributes, Conditions.from_query(query))
        exchange.send(200, _JSON, self._render(query, record).encode())

    def _initiate(self, exchange: Exchange, bucket: str, query: dict[str, str]) -> None:
        exchange.kind = "objects.insert-initiate"
        resource = parse_resource(exchange.read_body())
        check_media_type(exchange.headers.get("x-upload-content-type"))
        attributes = _attributes(resource, exchange.headers.get("x-upload-content-type"), query)
        check_attributes(attributes)
        expected = Expected.from_headers(exchange.headers).or_else(_expected(resource))
        name = check_object_name(_name(resource, query, bucket))
        announced = exchange.headers.get("x-upload-content-length")
        total = None if announced is None else parse_count(announced)
        session = self._sessions.create(bucket, name, attributes, Conditions.from_query(query), expected, total)
        target = quote(exchange.target.encode("latin-1"), safe="%/:?#[]@!$&'()*+,;=~")
        location = f"{self._base_url}{target}&upload_id={session.id}"
        exchange.send(200, [("Location", location), ("X-GUploader-UploadID", session.id)])

    def _continue(self, exchange: Exchange, bucket: str, query: dict[str, str]) -> None:
        exchange.kind = "objects.insert-chunk"
        session = self._sessions.find(query["upload_id"])
        if bucket != session.bucket or query.get("name", session.name) != session.name:
            raise no_upload()
        if exchange.method == "DELETE":
            exchange.kind = "objects.insert-cancel"
            self._sessions.cancel(session)
            exchange.send(499)
            return
        span = ContentRange.parse(exchange.headers.get("content-range"))
        if span.first is None:
            exchange.kind = "objects.insert-status"
        answer = self._sessions.append(
            session,
            span,
            payload(exchange, exchange.body_chunks()),
            Expected.from_headers(exchange.headers),
            functools.partial(self._render, query),
        )
        if answer is not None:
            exchange.send(200, _JSON, answer.encode())
            return
        status, headers = 308, [("X-GUploader-UploadID", session.id)]
        if session.persisted:
            headers.append(("Range", f"bytes=0-{session.persisted - 1}"))
        if exchange.headers.get("x-guploader-no-308", "").lower() == "yes":
            # Go's HTTP client would take 308 for a redirect, so Go's storage client asks for this instead.
            status = 200
            headers.append(("X-Http-Status-Code-Override", "308"))
        exchange.send(status, headers)

    def _render(self, query: dict[str, str], record: ObjectRecord) -> str:
        fields = parse_fields(query.get("fields", ""))
        if fields and wants(fields, "md5Hash"):  # otherwise a large upload is not read again only to be answered
            record = self._store.with_md5(record)
        return json.dumps(select_fields(object_resource(record, self._base_url), fields))


_JSON = [("Content-Type", "application/json; charset=UTF-8")]


def _expected(resource: dict[str, object]) -> Expected:
    crc32c, md5 = resource.get("crc32c"), resource.get("md5Hash")
    return Expected.parse(str(crc32c) if crc32c else None, str(md5) if md5 else None)


def _attributes(resource: dict[str, object], content_type: str | None, query: dict[str, str]) -> Attributes:
    attributes = writable(resource)
    if content_type:
        attributes.setdefault("contentType", content_type)
    if "contentEncoding" in query:
        attributes.setdefault("contentEncoding", query["contentEncoding"])
    return attributes


def _name(resource: dict[str, object], query: dict[str, str], bucket: str) -> str:
    """The object's name. Raises ApiError 400 where the URL and the resource name different ones."""
    for field, given in (("name", query.get("name")), ("bucket", bucket)):
        if given is not None and resource.get(field) not in (None, "", given):
            message = f"The value of {field} in the URL, {given!r}, does not match {resource[field]!r} in the resource."
            raise ApiError(400, "invalidParameter", message)
    return str(resource.get("name") or query.get("name", ""))
