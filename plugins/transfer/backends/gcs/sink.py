"""Writes objects to one bucket: small ones in one request, large ones by resumable or multipart uploads.

One request is a multipart upload of the JSON API (Cloud Storage, "Uploads", `uploadType=multipart`). Checksums are sent with the
data and compared with those of the stored object; an object that differs is removed by its generation.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Callable, Mapping

from transfer.backends.crc32c import Crc32c, crc32c_of
from transfer.backends.gcs.client import MAX_ANSWER_BYTES, OBJECT_FIELDS, GcsClient
from transfer.backends.gcs.fields import RefusedFields, media_type_of
from transfer.backends.gcs.multipart import GcsPartsUpload, begin_parts, open_parts
from transfer.backends.gcs.resumable import GcsStreamUpload, begin_session, session_url
from transfer.backends.gcs.verification import Capabilities, remove, verified, verified_md5
from transfer.backends.gcs.versions import replaced_versions
from transfer.backends.http.streams import Download
from transfer.errors import CorruptTransfer, GenerationMismatch, Stage
from transfer.labels import PROOF_KEY, proof_text
from transfer.model import DestinationObject, OpenParts, Proof, Removed, ReplacedVersion
from transfer.steps import Step

CREATED = (200, 201)
"""Cloud Storage answers an upload with 200; other servers answer 201 (RFC 9110, section 15.3.2)."""
NO_SUCH_METHOD = (405, 501)
"""The answers of a server that does not support PATCH (RFC 9110, sections 15.5.6 and 15.6.2)."""
MAX_LABELLINGS = 3
"""How often binding a label is attempted while the metadata of the object keeps changing."""

log = logging.getLogger(__name__)


class GcsSink:
    """An `ObjectSink` over one bucket. Not thread-safe: each lane has its own; the lanes of a worker share `capabilities`."""

    def __init__(self, client: GcsClient, capabilities: Capabilities | None = None) -> None:
        self._client = client
        self._capabilities = capabilities or Capabilities()
        self._refused = RefusedFields()
        self._boundary = secrets.token_hex(16)  # unguessable, so that nobody can put it into a content
        self._content_type = f"Content-Type: multipart/related; boundary={self._boundary}"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._client.bucket

    @property
    def takes_parts(self) -> bool:
        """False once it is known that the server has no uploads in parts."""
        return self._capabilities.takes_parts

    @property
    def hashes_md5(self) -> bool:
        """False once it is known that the server names no MD5 of what it stored."""
        return self._capabilities.hashes_md5

    def put(
        self,
        name: str,
        body: bytes | memoryview,
        resource: Mapping[str, object],
        generation: int | None,
        *,
        proof: Proof | None = None,
    ) -> Step[DestinationObject]:
        """Store a small object in one request, on condition of the destination's generation (None: no condition).

        `proof` binds the label in its metadata to the bytes. Raises GenerationMismatch, CorruptTransfer, or another
        TransferError.
        """
        crc32c = crc32c_of(bytes(body))
        expected = resource.get("crc32c", crc32c)
        if crc32c != expected:
            raise CorruptTransfer(
                f"the bytes read have CRC32C {crc32c}, and S3 says {expected}; nothing was stored", stage=Stage.DOWNLOAD
            )
        resource = self._refused.kept(name, resource)
        described = {**resource, "name": name, "crc32c": crc32c}
        if proof is not None:
            described["metadata"] = {**_metadata_of(resource), PROOF_KEY: proof_text(crc32c, proof)}
        head, tail = self._envelope(described)
        request = self._client.send(
            "POST",
            self._insert_url(generation),
            headers=[self._content_type],
            body=b"".join((head, body, tail)),
            accept=CREATED,
        )
        answer = yield from self._refused.noted(name, resource, request)
        stored = self._client.described(answer, name)
        return (yield from verified(self._client, stored, size_bytes=len(body), crc32c=crc32c))

    def put_stream(
        self,
        name: str,
        stream: Download,
        size_bytes: int,
        resource: Mapping[str, object],
        generation: int,
        *,
        md5: str,
        observe: Callable[[bytes], None],
    ) -> Step[DestinationObject]:
        """Store an object in one request whose body is the next `size_bytes` of a stream, on condition of the generation.

        The server checks `md5` (hexadecimal; empty for none). `observe` gets each piece as it is sent. Raises
        GenerationMismatch, CorruptTransfer when something else was stored (it is removed), or another TransferError.
        """
        is_proven_here = not self._capabilities.hashes_md5
        checksum = Crc32c()

        def sum_up(data: bytes) -> None:
            checksum.update(data)
            observe(data)

        resource = self._refused.kept(name, _with_md5(resource, md5))
        head, tail = self._envelope({**resource, "name": name})
        request = self._client.send_stream(
            self._insert_url(generation),
            stream,
            size_bytes,
            headers=[self._content_type],
            observe=sum_up,
            accept=CREATED,
            method="POST",
            head=head,
            tail=tail,
        )
        answer = yield from self._refused.noted(name, resource, request)
        stored = self._client.described(answer, name)
        yield from verified(self._client, stored, size_bytes=size_bytes, crc32c=checksum.text)
        if md5:
            yield from verified_md5(self._client, stored, md5, self._capabilities, is_proven_here=is_proven_here)
        return stored

    def _insert_url(self, generation: int | None) -> str:
        condition = "" if generation is None else f"&ifGenerationMatch={generation}"
        return f"{self._client.upload_url}?uploadType=multipart{condition}&fields={OBJECT_FIELDS}"

    def _envelope(self, described: Mapping[str, object]) -> tuple[bytes, bytes]:
        """The bytes before and after the content in a multipart/related message (RFC 2387)."""
        boundary = self._boundary.encode()
        content_type = media_type_of(described).encode()  # Google's front end accepts only a valid media type here
        head = (
            b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b\r\n--%b\r\nContent-Type: %b\r\n\r\n"
            % (
                boundary,
                json.dumps(described).encode(),
                boundary,
                content_type,
            )
        )
        return head, b"\r\n--%b--\r\n" % boundary

    def stat(self, name: str) -> Step[DestinationObject | None]:
        """The object that has this name now, or None."""
        return self._client.stat(name)

    def set_proof(self, stored: DestinationObject, text: str) -> Step[DestinationObject]:
        """Bind an object's label to its bytes: write one entry of the metadata of this very generation.

        Entries that the request does not name remain (Cloud Storage, "Objects: patch"). On a server without PATCH the object is
        returned unchanged. Raises GenerationMismatch when another generation is there.
        """
        body = json.dumps({"metadata": {PROOF_KEY: text}}).encode()
        for _ in range(MAX_LABELLINGS):
            if stored.proof == text or not self._capabilities.patches_metadata:
                return stored
            condition = f"ifGenerationMatch={stored.generation}"
            if stored.metageneration:  # other servers may not have one
                condition += f"&ifMetagenerationMatch={stored.metageneration}"
            try:
                answer = yield from self._client.send(
                    "PATCH",
                    f"{self._client.object_url(stored.name)}?{condition}&fields={OBJECT_FIELDS}",
                    headers=["Content-Type: application/json; charset=UTF-8"],
                    body=body,
                    accept=(200, 404, *NO_SUCH_METHOD),
                )
            except (
                GenerationMismatch
            ):  # its metadata changed: by an attempt whose answer was lost, or by another client
                found = yield from self.stat(stored.name)
                if found is None or found.generation != stored.generation:
                    raise
                stored = found
                continue
            if answer.status == 404:
                raise GenerationMismatch
            if answer.status == 200:
                return self._client.described(answer, stored.name)
            self._capabilities.patches_metadata = False
            log.warning(
                "this Cloud Storage endpoint cannot change metadata (it answered %d): the labels of large objects are not bound"
                " to their bytes, and a later run will copy these objects again",
                answer.status,
            )
        raise GenerationMismatch

    def read(self, name: str) -> Step[bytes | None]:
        """The bytes of a small object, or None."""
        answer = yield from self._client.send(
            "GET", self._client.media_url(name), max_body_bytes=MAX_ANSWER_BYTES, accept=(200, 404)
        )
        return bytes(answer.body) if answer.status == 200 else None

    def delete(self, name: str, generation: int | None = None) -> Step[Removed]:
        """Remove an object on condition of its generation (None: no condition); an absent object is no error.

        Raises GenerationMismatch when another generation is there.
        """
        condition = "" if generation is None else f"?ifGenerationMatch={generation}"
        url = f"{self._client.object_url(name)}{condition}"
        answer = yield from self._client.send("DELETE", url, accept=(200, 204, 404))
        return Removed.BEFORE if answer.status == 404 else Removed.NOW

    def remove(self, stored: DestinationObject, why: str) -> Step[DestinationObject]:
        """Remove an object that was stored wrongly, by its generation, and raise CorruptTransfer. `why` is for the log."""
        return remove(self._client, stored, why)

    def begin_stream(
        self, name: str, size_bytes: int, resource: Mapping[str, object], generation: int, *, md5: str
    ) -> Step[GcsStreamUpload]:
        """Start a resumable upload, which takes the bytes in order, on condition of the destination's generation.

        The server checks `md5` (hexadecimal; empty for none) at the end. Raises GenerationMismatch when the condition fails
        already.
        """
        resource = self._refused.kept(name, _with_md5(resource, md5))
        request = begin_session(self._client, name, size_bytes, resource, generation)
        url = yield from self._refused.noted(name, resource, request)
        return GcsStreamUpload(self._client, url, name, size_bytes, md5, self._capabilities)

    def stream_upload(self, name: str, token: str, size_bytes: int, *, md5: str) -> GcsStreamUpload:
        """A resumable upload that was started earlier, by its token."""
        url = session_url(self._client, name, token)
        return GcsStreamUpload(self._client, url, name, size_bytes, md5, self._capabilities)

    def begin_parts(self, name: str, resource: Mapping[str, object]) -> Step[GcsPartsUpload | None]:
        """Start a multipart upload, which takes its parts in any order.

        None when the server does not support multipart uploads, or cannot store this metadata with one.
        """
        token = yield from begin_parts(self._client, name, self._refused.kept(name, resource), self._capabilities)
        return self.parts_upload(name, token) if token else None

    def parts_upload(self, name: str, token: str) -> GcsPartsUpload:
        """A multipart upload that was started earlier, perhaps by another lane, by its token."""
        return GcsPartsUpload(self._client, name, token, self._capabilities)

    def replaced_versions(self, name: str) -> Step[list[ReplacedVersion]]:
        """The earlier versions of an object that the bucket still keeps; the live version may be among them."""
        return replaced_versions(self._client, name)

    def open_parts(self, name: str) -> Step[list[OpenParts]]:
        """The open multipart uploads of exactly this name, whichever client started them."""
        return open_parts(self._client, name)


def _with_md5(resource: Mapping[str, object], md5: str) -> Mapping[str, object]:
    """The resource with the MD5 (hexadecimal; empty for none) that the server has to check."""
    return {**resource, "md5Hash": base64.b64encode(bytes.fromhex(md5)).decode()} if md5 else resource


def _metadata_of(resource: Mapping[str, object]) -> Mapping[str, object]:
    metadata = resource.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
