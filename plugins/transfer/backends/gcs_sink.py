"""Objects written to one bucket: small ones in one request, large ones as resumable uploads.

Cloud Storage, "JSON API: Uploads": multipart (`uploadType=multipart`) and resumable. Checksums travel with the data
and are compared with what is stored; an object that turns out different is removed by its generation.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping

import google_crc32c

from transfer.backends.curl import Answer
from transfer.backends.gcs_client import OBJECT_FIELDS, GcsClient, crc32c_of, encode_crc32c, parse_object, update_crc32c
from transfer.errors import CorruptTransfer, EndpointRejected, SinkUnavailable, Stage
from transfer.model import DestinationObject
from transfer.ports import Upload
from transfer.steps import Step

log = logging.getLogger(__name__)

_PERSISTED = re.compile(r"bytes=0-(\d+)")


class GcsSink:
    """An `ObjectSink`. One a lane."""

    def __init__(self, client: GcsClient) -> None:
        self._client = client
        self._boundary = secrets.token_hex(16)  # unguessable, so no content can contain it by design

    def put(
        self, name: str, body: memoryview, resource: Mapping[str, object], generation: int
    ) -> Step[DestinationObject]:
        """Store a small object in one request. Raises GenerationMismatch, CorruptTransfer, or another TransferError."""
        crc32c = crc32c_of(body)
        _compare(crc32c, resource)
        described = json.dumps({**resource, "name": name, "crc32c": crc32c}).encode()
        boundary = self._boundary.encode()
        content_type = str(resource.get("contentType", "application/octet-stream")).encode()
        message = b"".join(
            (
                b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b" % (boundary, described),
                b"\r\n--%b\r\nContent-Type: %b\r\n\r\n" % (boundary, content_type),
                body,
                b"\r\n--%b--\r\n" % boundary,
            )
        )
        answer = yield from self._client.send(
            "POST",
            f"{self._client.upload_url}?uploadType=multipart&ifGenerationMatch={generation}&fields={OBJECT_FIELDS}",
            headers=[f"Content-Type: multipart/related; boundary={self._boundary}"],
            body=message,
        )
        return (yield from self._verified(answer, crc32c=crc32c, size_bytes=len(body)))

    def begin(self, name: str, size_bytes: int, resource: Mapping[str, object], generation: int) -> Step[Upload]:
        """Open a resumable session under the condition; nothing is visible until its last byte is accepted."""
        answer = yield from self._client.send(
            "POST",
            f"{self._client.upload_url}?uploadType=resumable&ifGenerationMatch={generation}&fields={OBJECT_FIELDS}",
            headers=[
                "Content-Type: application/json; charset=UTF-8",
                f"X-Upload-Content-Length: {size_bytes}",
                f"X-Upload-Content-Type: {resource.get('contentType', 'application/octet-stream')}",
            ],
            body=json.dumps({**resource, "name": name}).encode(),
        )
        session_url = answer.headers.get("location", "")
        if not session_url.startswith(("https://", "http://")):
            raise EndpointRejected("Cloud Storage opened an upload without saying where", stage=Stage.UPLOAD)
        return _ResumableUpload(self._client, session_url, size_bytes, resource, self._verified)

    def stat(self, name: str) -> Step[DestinationObject | None]:
        """What is there now, or None."""
        answer = yield from self._client.send(
            "GET", f"{self._client.object_url(name)}?fields={OBJECT_FIELDS}", accept=(200, 404)
        )
        return parse_object(json.loads(bytes(answer.body))) if answer.status == 200 else None

    def _verified(self, answer: Answer, *, crc32c: str, size_bytes: int) -> Step[DestinationObject]:
        """What was stored, if it is what was sent; otherwise it is removed and CorruptTransfer raised."""
        stored = parse_object(json.loads(bytes(answer.body)))
        if stored.crc32c == crc32c and stored.size_bytes == size_bytes:
            return stored
        log.error("%r was stored wrongly (generation %d) and is removed", stored.name, stored.generation)
        yield from self._client.send(
            "DELETE",
            f"{self._client.object_url(stored.name)}?generation={stored.generation}",
            accept=(200, 204, 404),
        )
        raise CorruptTransfer(
            f"{size_bytes} bytes of CRC32C {crc32c} were sent, and Cloud Storage stored {stored.size_bytes} bytes of"
            f" {stored.crc32c}; the object was removed",
            stage=Stage.UPLOAD,
        )


def _compare(crc32c: str, resource: Mapping[str, object]) -> None:
    """Raises CorruptTransfer when the source names a CRC32C and the bytes have another."""
    expected = resource.get("crc32c", crc32c)
    if crc32c != expected:
        raise CorruptTransfer(
            f"the bytes read have CRC32C {crc32c}, and S3 says {expected}; nothing was stored", stage=Stage.DOWNLOAD
        )


class _ResumableUpload:
    """An `Upload` over one resumable session. A part that failed midway goes on from what the session says it has."""

    def __init__(
        self,
        client: GcsClient,
        session_url: str,
        size_bytes: int,
        resource: Mapping[str, object],
        verified: Callable[..., Step[DestinationObject]],
    ) -> None:
        self._client = client
        self._session_url = session_url
        self._size_bytes = size_bytes
        self._resource = resource
        self._verified = verified
        self._checksum = google_crc32c.Checksum()
        self._hashed_bytes = 0
        self._part_start = 0
        self._is_uncertain = False
        """A request went out whose answer never came: what the session holds has to be asked."""

    def write(self, part: memoryview, *, is_last: bool) -> Step[DestinationObject | None]:
        """Send the part from wherever the session stands in it; safe to call again with the same part after an error."""
        end = self._part_start + len(part)
        if self._hashed_bytes < end:
            update_crc32c(self._checksum, part)
            self._hashed_bytes = end
        if is_last:
            _compare(encode_crc32c(self._checksum), self._resource)
        persisted = self._part_start
        if self._is_uncertain:
            answer = yield from self._send(f"bytes */{self._size_bytes}", None)
            persisted = self._persisted(answer)
        while persisted < end:
            self._is_uncertain = True
            answer = yield from self._send(
                f"bytes {persisted}-{end - 1}/{self._size_bytes}",
                part[persisted - self._part_start :],
                crc32c=encode_crc32c(self._checksum) if is_last else "",
            )
            before, persisted = persisted, self._persisted(answer)
            self._is_uncertain = False
            if persisted <= before:
                raise SinkUnavailable("Cloud Storage took nothing of a part", stage=Stage.UPLOAD, http_status=308)
        self._part_start = end
        if not is_last:
            return None
        if answer.status == 308:
            raise SinkUnavailable("all was sent, but Cloud Storage waits for more", stage=Stage.UPLOAD, http_status=308)
        return (yield from self._verified(answer, crc32c=encode_crc32c(self._checksum), size_bytes=self._size_bytes))

    def abort(self) -> Step[None]:
        """Cancel the session (499 is Cloud Storage's answer to that)."""
        yield from self._client.send("DELETE", self._session_url, accept=(200, 204, 404, 410, 499))

    def _send(self, content_range: str, body: memoryview | None, *, crc32c: str = "") -> Step[Answer]:
        headers = [f"Content-Range: {content_range}"]
        if crc32c:
            headers.append(f"X-Goog-Hash: crc32c={crc32c}")
        answer = yield from self._client.send(
            "PUT", self._session_url, headers=headers, body=body, accept=(200, 201, 308, 404, 410)
        )
        if answer.status in (404, 410):
            raise CorruptTransfer("the upload session is gone", stage=Stage.UPLOAD, http_status=answer.status)
        return answer

    def _persisted(self, answer: Answer) -> int:
        """How many bytes the session holds for good."""
        if answer.status != 308:
            return self._size_bytes
        found = _PERSISTED.fullmatch(answer.headers.get("range", ""))
        persisted = int(found[1]) + 1 if found else 0
        if persisted < self._part_start:
            raise CorruptTransfer(
                f"the upload session held {self._part_start} bytes and now holds {persisted}", stage=Stage.UPLOAD
            )
        return persisted
