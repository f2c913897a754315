"""Objects written to one bucket: small ones in one request, large ones through the uploads of `gcs_uploads`.

Cloud Storage, "JSON API: Uploads": multipart (`uploadType=multipart`). Checksums travel with the data and are compared
with what is stored; an object that turns out different is removed by its generation.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping

from transfer.backends.crc32c import crc32c_of
from transfer.backends.gcs_client import MAX_ANSWER_BYTES, OBJECT_FIELDS, GcsClient, parse_object
from transfer.backends.gcs_parts import GcsPartsUpload, begin_parts
from transfer.backends.gcs_session import GcsStreamUpload, begin_session
from transfer.backends.gcs_stored import Capabilities, remove, verified
from transfer.errors import CorruptTransfer, Stage
from transfer.model import DestinationObject
from transfer.steps import Step


class GcsSink:
    """An `ObjectSink`. One a lane; what is learnt of the server is shared by the lanes of a worker."""

    def __init__(self, client: GcsClient, capabilities: Capabilities | None = None) -> None:
        self._client = client
        self._capabilities = capabilities or Capabilities()
        self._boundary = secrets.token_hex(16)  # unguessable, so no content can contain it by design

    def put(
        self, name: str, body: bytes | memoryview, resource: Mapping[str, object], generation: int | None
    ) -> Step[DestinationObject]:
        """Store a small object in one request, if the generation (None: any) is there.

        Raises GenerationMismatch, CorruptTransfer, or another TransferError.
        """
        crc32c = crc32c_of(bytes(body))
        expected = resource.get("crc32c", crc32c)
        if crc32c != expected:
            raise CorruptTransfer(
                f"the bytes read have CRC32C {crc32c}, and S3 says {expected}; nothing was stored", stage=Stage.DOWNLOAD
            )
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
        condition = "" if generation is None else f"&ifGenerationMatch={generation}"
        answer = yield from self._client.send(
            "POST",
            f"{self._client.upload_url}?uploadType=multipart{condition}&fields={OBJECT_FIELDS}",
            headers=[f"Content-Type: multipart/related; boundary={self._boundary}"],
            body=message,
        )
        stored = parse_object(json.loads(bytes(answer.body)))
        return (yield from verified(self._client, stored, size_bytes=len(body), crc32c=crc32c))

    def stat(self, name: str) -> Step[DestinationObject | None]:
        """What is there now, or None."""
        answer = yield from self._client.send(
            "GET", f"{self._client.object_url(name)}?fields={OBJECT_FIELDS}", accept=(200, 404)
        )
        return parse_object(json.loads(bytes(answer.body))) if answer.status == 200 else None

    def read(self, name: str) -> Step[bytes | None]:
        """The bytes of a small object, or None."""
        answer = yield from self._client.send(
            "GET", f"{self._client.object_url(name)}?alt=media", max_body_bytes=MAX_ANSWER_BYTES, accept=(200, 404)
        )
        return bytes(answer.body) if answer.status == 200 else None

    def delete(self, name: str, generation: int | None = None) -> Step[None]:
        """Remove an object, if the generation (None: any) is there; one that is gone already is no error."""
        condition = "" if generation is None else f"?ifGenerationMatch={generation}"
        yield from self._client.send("DELETE", f"{self._client.object_url(name)}{condition}", accept=(200, 204, 404))

    def remove(self, stored: DestinationObject, why: str) -> Step[DestinationObject]:
        """Remove an object that is not what it should be, by its generation, and raise CorruptTransfer."""
        return remove(self._client, stored, why)

    def begin_stream(
        self, name: str, size_bytes: int, resource: Mapping[str, object], generation: int, *, md5: str
    ) -> Step[GcsStreamUpload]:
        """Begin an upload that takes the bytes in order, on condition of the generation; `md5` in hexadecimal or empty.

        Raises GenerationMismatch when the condition fails already.
        """
        if md5:
            resource = {**resource, "md5Hash": base64.b64encode(bytes.fromhex(md5)).decode()}
        url = yield from begin_session(self._client, name, size_bytes, resource, generation)
        return GcsStreamUpload(self._client, url, size_bytes, md5, self._capabilities)

    def stream_upload(self, token: str, size_bytes: int, *, md5: str) -> GcsStreamUpload | None:
        """One begun earlier, by its token; None when that is not at this server: nothing goes where a record points."""
        if not token.startswith(f"{self._client.base_url}/"):
            return None
        return GcsStreamUpload(self._client, token, size_bytes, md5, self._capabilities)

    def begin_parts(self, name: str, resource: Mapping[str, object]) -> Step[GcsPartsUpload | None]:
        """Begin an upload in parts, in any order; None when the server has no such thing, or not for this metadata."""
        token = yield from begin_parts(self._client, name, resource, self._capabilities)
        return self.parts_upload(name, token) if token else None

    def parts_upload(self, name: str, token: str) -> GcsPartsUpload:
        """One begun earlier, perhaps on another lane, by its token."""
        return GcsPartsUpload(self._client, name, token, self._capabilities)
