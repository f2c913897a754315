"""What the discarding Cloud Storage stand-in answers: sizes and CRC32Cs are kept, bodies only under the state prefix.

JSON API: multipart, media and resumable uploads, get, list, delete. XML API: PUT, HEAD and multipart uploads.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from benchmarks.sink_messages import (
    Answer,
    Content,
    Request,
    crc32c_text,
    error_body,
    goog_meta,
    related,
    resource_of,
    response,
    xml_headers,
    xml_response,
)
from localcloud.gcs.checksums import combine_crc32c

STATE_PREFIX = ".edgehaul/"
_JSON_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?")
_UPLOAD = re.compile(r"/(?:resumable/)?upload/storage/v1/b/([^/]+)/o")
_PART = re.compile(rb"<PartNumber>\s*(\d+)\s*</PartNumber>")


@dataclass(slots=True)
class _Stored:
    content: Content
    generation: int
    metadata: dict[str, str] | None


@dataclass(slots=True)
class _Session:
    bucket: str
    name: str
    metadata: dict[str, str] | None
    content: Content = field(default_factory=lambda: Content(0, 0))
    parts: dict[int, Content] = field(default_factory=dict)


class SinkObjects:
    """All buckets: any name is one. Not thread-safe. `md5s` (hexadecimal) are looked up by CRC32C."""

    def __init__(self, md5s: Mapping[int, str]) -> None:
        self._md5s = md5s
        self.url = ""
        self._objects: dict[tuple[str, str], _Stored] = {}
        self._sessions: dict[str, _Session] = {}
        self._generations = itertools.count(time.time_ns() // 1000)

    def initial_crc32c(self, request: Request) -> int:
        """The CRC32C that a raw body continues: that of its resumable session so far."""
        session = self._sessions.get(request.query.get("upload_id", ""))
        return session.content.crc32c if session else 0

    def answer(self, request: Request, content: Content) -> bytes:
        """The whole answer to one request whose body has been read."""
        if match := _UPLOAD.fullmatch(request.path):
            return self._upload(request, match[1], content)
        if match := _JSON_OBJECT.fullmatch(request.path):
            return self._json(request, match[1], unquote(match[2]) if match[2] else None)
        if request.path == "/bench/reset":
            stored = [(name, item) for (_, name), item in self._objects.items() if not name.startswith(STATE_PREFIX)]
            held = {"objects": len(stored), "bytes": sum(item.content.size_bytes for _, item in stored)}
            self._objects.clear()
            self._sessions.clear()
            return response(200, json.dumps(held).encode())
        bucket, _, name = request.path[1:].partition("/")
        return self._xml(request, bucket, unquote(name), content)

    # The JSON API

    def _upload(self, request: Request, bucket: str, content: Content) -> bytes:
        if "upload_id" in request.query:
            return self._continue(request, content)
        kind = request.query.get("uploadType")
        if kind == "multipart":
            resource, content = related(request, content.body or b"")
        elif kind == "resumable":
            resource = json.loads(content.body or b"{}")
        else:
            resource = {}
        name = resource.get("name") or unquote(request.query.get("name", ""))
        if kind == "resumable":
            number = f"s{next(self._generations)}"
            self._sessions[number] = _Session(bucket, name, resource.get("metadata"))
            query = "&".join(f"{key}={value}" for key, value in request.query.items())
            location = f"{self.url}{request.path}?{query}&upload_id={number}"
            return response(200, headers=f"Location: {location}\r\nX-GUploader-UploadID: {number}\r\n")
        return self._store(bucket, name, content, resource.get("metadata"), request.query.get("ifGenerationMatch"))

    def _continue(self, request: Request, content: Content) -> bytes:
        number = request.query["upload_id"]
        session = self._sessions.get(number)
        if session is None:
            raise Answer(404)
        if request.method == "DELETE":
            del self._sessions[number]
            return response(499)
        span, _, total = request.header("content-range").removeprefix("bytes ").partition("/")
        held = session.content
        first, _, _ = span.partition("-")
        if content.size_bytes:
            if first.isdigit() and int(first) != held.size_bytes:
                raise Answer(400, b"not where the session stands")
            held.size_bytes += content.size_bytes
            held.crc32c = content.crc32c
        if not total or (total.isdigit() and int(total) == held.size_bytes):
            del self._sessions[number]
            wanted = request.query.get("ifGenerationMatch")
            return self._store(session.bucket, session.name, held, session.metadata, wanted)
        headers = f"X-GUploader-UploadID: {number}\r\n"
        if held.size_bytes:
            headers += f"Range: bytes=0-{held.size_bytes - 1}\r\n"
        if request.header("x-guploader-no-308").lower() == "yes":  # Go would follow a 308 as a redirect
            return response(200, headers=f"X-Http-Status-Code-Override: 308\r\n{headers}")
        return response(308, headers=headers)

    def _store(
        self, bucket: str, name: str, content: Content, metadata: dict[str, str] | None, wanted: str | None
    ) -> bytes:
        generation = self._put(bucket, name, content, metadata, wanted)
        found = resource_of(bucket, name, content, generation, metadata)
        if md5 := self._md5s.get(content.crc32c):
            found["md5Hash"] = base64.b64encode(bytes.fromhex(md5)).decode()
        return response(200, json.dumps(found).encode())

    def _put(
        self, bucket: str, name: str, content: Content, metadata: dict[str, str] | None, wanted: str | None
    ) -> int:
        old = self._objects.get((bucket, name))
        if wanted and int(wanted) != (old.generation if old else 0):
            raise Answer(412, error_body(412, "conditionNotMet"))
        if not name.startswith(STATE_PREFIX):
            content.body = None
        generation = next(self._generations)
        self._objects[bucket, name] = _Stored(content, generation, metadata)
        return generation

    def _json(self, request: Request, bucket: str, name: str | None) -> bytes:
        if name is None:
            if request.path.endswith("/o"):
                return self._list(request, bucket)
            return response(200, json.dumps({"kind": "storage#bucket", "name": bucket, "location": "US"}).encode())
        stored = self._objects.get((bucket, name))
        if stored is None:
            raise Answer(404, error_body(404, "notFound"))
        if request.method == "DELETE":
            del self._objects[bucket, name]
            return response(204)
        if request.query.get("alt") == "media":
            return response(200, stored.content.body or b"", kind="application/octet-stream")
        found = resource_of(bucket, name, stored.content, stored.generation, stored.metadata)
        return response(200, json.dumps(found).encode())

    def _list(self, request: Request, bucket: str) -> bytes:
        prefix = unquote(request.query.get("prefix", "").replace("+", " "))
        limit = min(int(request.query.get("maxResults", "1000")), 1000)
        names = sorted(name for held, name in self._objects if held == bucket and name.startswith(prefix))
        start = bisect_right(names, unquote(request.query["pageToken"])) if "pageToken" in request.query else 0
        page: dict[str, object] = {"kind": "storage#objects", "items": []}
        chosen = names[start : start + limit]
        found = [(name, self._objects[bucket, name]) for name in chosen]
        page["items"] = [
            resource_of(bucket, name, item.content, item.generation, item.metadata) for name, item in found
        ]
        if start + limit < len(names):
            page["nextPageToken"] = chosen[-1]
        return response(200, json.dumps(page).encode())

    # The XML API

    def _xml(self, request: Request, bucket: str, name: str, content: Content) -> bytes:
        query = request.query
        if "uploads" in query and request.method == "POST":
            number = f"x{next(self._generations)}"
            self._sessions[number] = _Session(bucket, name, goog_meta(request))
            return xml_response("InitiateMultipartUploadResult", f"<UploadId>{number}</UploadId>")
        if "uploadId" in query:
            return self._xml_session(request, bucket, name, content)
        if "uploads" in query:
            return xml_response("ListMultipartUploadsResult", "")
        if request.method == "PUT":
            wanted = request.header("x-goog-if-generation-match") or None
            generation = self._put(bucket, name, content, goog_meta(request), wanted)
            return response(200, headers=xml_headers(content, generation))
        stored = self._objects.get((bucket, name))
        if stored is None:
            raise Answer(404)
        if request.method == "DELETE":
            del self._objects[bucket, name]
            return response(204)
        return response(200, stored.content.body or b"", xml_headers(stored.content, stored.generation))

    def _xml_session(self, request: Request, bucket: str, name: str, content: Content) -> bytes:
        number = request.query["uploadId"]
        session = self._sessions.get(number)
        if session is None:
            raise Answer(404, b"<Error><Code>NoSuchUpload</Code></Error>")
        if request.method == "PUT":
            session.parts[int(request.query["partNumber"])] = content
            content.body = None
            md5 = self._md5s.get(content.crc32c, "")
            hashes = f"crc32c={crc32c_text(content.crc32c)}" + (
                f",md5={base64.b64encode(bytes.fromhex(md5)).decode()}" if md5 else ""
            )
            return response(200, headers=f'ETag: "{content.crc32c:08x}"\r\nx-goog-hash: {hashes}\r\n')
        if request.method == "GET":
            lines = [
                f'<Part><PartNumber>{n}</PartNumber><ETag>"{p.crc32c:08x}"</ETag><Size>{p.size_bytes}</Size></Part>'
                for n, p in sorted(session.parts.items())
            ]
            return xml_response("ListPartsResult", "".join(lines))
        del self._sessions[number]
        if request.method == "DELETE":
            return response(204)
        parts = [session.parts[int(found)] for found in _PART.findall(content.body or b"")]
        whole = Content(
            sum(part.size_bytes for part in parts),
            combine_crc32c((part.crc32c, part.size_bytes) for part in parts),
        )
        wanted = request.header("x-goog-if-generation-match") or None
        generation = self._put(bucket, name, whole, session.metadata, wanted)
        etag = f"<ETag>{whole.crc32c:08x}-{len(parts)}</ETag>"
        return xml_response("CompleteMultipartUploadResult", etag, xml_headers(whole, generation))
