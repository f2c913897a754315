"""Requests and answers of the discarding Cloud Storage stand-in, in the forms of its JSON and XML APIs."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

import google_crc32c

from localcloud.gcs.xml_multipart import document

STAMP = "2026-01-01T00:00:00.000Z"


@dataclass(slots=True)
class Content:
    """What is left of a body: its length and CRC32C, and the bytes of a small one."""

    size_bytes: int
    crc32c: int
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request without its body. `head` is the request line and the headers as they came."""

    method: str
    path: str
    query: dict[str, str]
    head: bytes

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode() if found else ""


class Answer(Exception):
    """An answer given from inside: an error, mostly."""

    def __init__(self, status: int, body: bytes = b"", headers: str = "") -> None:
        super().__init__(status)
        self.response = response(status, body, headers)


def response(status: int, body: bytes = b"", headers: str = "", kind: str = "application/json") -> bytes:
    """The bytes of an HTTP answer; `headers` are whole lines, each with its end."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def related(request: Request, body: bytes) -> tuple[dict[str, Any], Content]:
    """The resource and the content of a multipart/related message of two parts."""
    boundary = b"--" + request.header("content-type").partition("boundary=")[2].strip("\"'").encode()
    first = body.index(b"\r\n\r\n") + 4
    second = body.index(boundary, first)
    start = body.index(b"\r\n\r\n", second) + 4
    media = body[start : body.rindex(b"\r\n" + boundary)]
    return json.loads(body[first:second]), Content(len(media), google_crc32c.extend(0, media), media)


def resource_of(
    bucket: str, name: str, content: Content, generation: int, metadata: dict[str, str] | None
) -> dict[str, object]:
    """The JSON API's resource of one object."""
    resource: dict[str, object] = {
        "kind": "storage#object",
        "name": name,
        "bucket": bucket,
        "generation": str(generation),
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "size": str(content.size_bytes),
        "crc32c": crc32c_text(content.crc32c),
        "timeCreated": STAMP,
        "updated": STAMP,
    }
    if metadata:
        resource["metadata"] = metadata
    return resource


def crc32c_text(crc32c: int) -> str:
    """A CRC32C as the APIs write it: base64 of its four bytes, big-endian."""
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()


def xml_response(root: str, content: str, headers: str = "") -> bytes:
    """An answer with the XML document `content` in its element `root`."""
    return response(200, document(root, content), headers, "application/xml")


def xml_headers(content: Content, generation: int) -> str:
    """The headers with which the XML API describes an object."""
    return (
        f'ETag: "{content.crc32c:08x}"\r\nx-goog-generation: {generation}\r\nx-goog-metageneration: 1\r\n'
        f"x-goog-hash: crc32c={crc32c_text(content.crc32c)}\r\nx-goog-stored-content-length: {content.size_bytes}\r\n"
    )


def goog_meta(request: Request) -> dict[str, str]:
    """The custom metadata in the headers of an XML API request, by name in lower case."""
    found = re.findall(rb"\r\nx-goog-meta-([^:]+): *([^\r]*)", request.head, re.IGNORECASE)
    return {name.decode().lower(): value.decode() for name, value in found}


def error_body(status: int, reason: str) -> bytes:
    """The body of an error of the JSON API."""
    return json.dumps({"error": {"code": status, "message": reason, "errors": [{"reason": reason}]}}).encode()
