"""Objects written to one bucket: small ones in one request, large ones through the uploads of `gcs_uploads`.

Cloud Storage, "JSON API: Uploads": multipart (`uploadType=multipart`). Checksums travel with the data and are compared
with what is stored; an object that turns out different is removed by its generation.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Callable, Mapping

from transfer.backends.crc32c import Crc32c, crc32c_of
from transfer.backends.gcs.client import MAX_ANSWER_BYTES, OBJECT_FIELDS, GcsClient, stored_object
from transfer.backends.gcs.fields import RefusedFields, media_type_of
from transfer.backends.gcs.multipart import GcsPartsUpload, begin_parts, open_parts
from transfer.backends.gcs.resumable import GcsStreamUpload, begin_session, session_url
from transfer.backends.gcs.verification import Capabilities, remove, verified, verified_md5
from transfer.backends.gcs.versions import replaced_versions
from transfer.backends.http.exchange import Answer
from transfer.backends.http.streams import Download
from transfer.errors import CorruptTransfer, DestinationRefused, GenerationMismatch, Stage
from transfer.labels import PROOF_KEY, proof_text
from transfer.model import DestinationObject, OpenParts, Proof, Removed, ReplacedVersion
from transfer.steps import Step

CREATED = (200, 201)
"""Cloud Storage says 200; what HTTP has for it is 201."""
NO_SUCH_METHOD = (405, 501)
"""RFC 9110, sections 15.5.6 and 15.6.2: how a server of another make says that it has no PATCH."""
MAX_LABELLINGS = 3
"""How often the metadata of an object just written may be changed by somebody else before its label is given up."""

log = logging.getLogger(__name__)


class GcsSink:
    """An `ObjectSink`. One a lane; what is learnt of the server is shared by the lanes of a worker."""

    def __init__(self, client: GcsClient, capabilities: Capabilities | None = None) -> None:
        self._client = client
        self._capabilities = capabilities or Capabilities()
        self._refused = RefusedFields()
        self._boundary = secrets.token_hex(16)  # unguessable, so no content can contain it by design
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
        """Store a small object in one request, if the generation (None: any) is there.

        `proof` binds the label in its metadata to the bytes.

        Raises GenerationMismatch, CorruptTransfer, or another TransferError.
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
        try:
            answer = yield from self._client.send(
                "POST",
                self._insert_url(generation),
                headers=[self._content_type],
                body=b"".join((head, body, tail)),
                accept=CREATED,
            )
        except DestinationRefused as error:
            self._refused.note(name, resource, error)
            raise
        stored = self._described(answer, name)
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
        """The same with a body that comes as a stream. `md5`, hexadecimal or empty, is checked by the server.

        `observe` gets what is sent. Raises CorruptTransfer when something else was stored, which is removed then.
        """
        if md5:
            resource = {**resource, "md5Hash": base64.b64encode(bytes.fromhex(md5)).decode()}
        is_proven_here = not self._capabilities.hashes_md5
        checksum = Crc32c()

        def sum_up(data: bytes) -> None:
            checksum.update(data)
            observe(data)

        resource = self._refused.kept(name, resource)
        head, tail = self._envelope({**resource, "name": name})
        try:
            answer = yield from self._client.send_stream(
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
        except DestinationRefused as error:
            self._refused.note(name, resource, error)
            raise
        stored = self._described(answer, name)
        yield from verified(self._client, stored, size_bytes=size_bytes, crc32c=checksum.text)
        if md5:
            yield from verified_md5(self._client, stored, md5, self._capabilities, is_proven_here=is_proven_here)
        return stored

    def _described(self, answer: Answer, name: str) -> DestinationObject:
        return stored_object(answer, bucket=self._client.bucket, name=name)

    def _insert_url(self, generation: int | None) -> str:
        condition = "" if generation is None else f"&ifGenerationMatch={generation}"
        return f"{self._client.upload_url}?uploadType=multipart{condition}&fields={OBJECT_FIELDS}"

    def _envelope(self, described: Mapping[str, object]) -> tuple[bytes, bytes]:
        """What goes before and after the content in a multipart/related message."""
        boundary = self._boundary.encode()
        content_type = media_type_of(described).encode()  # Google's front end takes nothing else here
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
        """What is there now, or None."""
        answer = yield from self._client.send(
            "GET", f"{self._client.object_url(name)}?fields={OBJECT_FIELDS}", accept=(200, 404)
        )
        return self._described(answer, name) if answer.status == 200 else None

    def set_proof(self, stored: DestinationObject, text: str) -> Step[DestinationObject]:
        """Add the entry that binds a label to its bytes to the metadata of this very generation.

        Cloud Storage, "Objects: patch": entries of the metadata that are not named stay. Raises GenerationMismatch when
        another generation is there. As it is, from a server that cannot do that.
        """
        body = json.dumps({"metadata": {PROOF_KEY: text}}).encode()
        for _ in range(MAX_LABELLINGS):
            if stored.proof == text or not self._capabilities.patches_metadata:
                return stored
            condition = f"ifGenerationMatch={stored.generation}"
            if stored.metageneration:  # a server of another make may name none
                condition += f"&ifMetagenerationMatch={stored.metageneration}"
            try:
                answer = yield from self._client.send(
                    "PATCH",
                    f"{self._client.object_url(stored.name)}?{condition}&fields={OBJECT_FIELDS}",
                    headers=["Content-Type: application/json; charset=UTF-8"],
                    body=body,
                    accept=(200, 404, *NO_SUCH_METHOD),
                )
            except GenerationMismatch:  # its metadata was changed: by a try whose answer was lost, or by somebody else
                found = yield from self.stat(stored.name)
                if found is None or found.generation != stored.generation:
                    raise
                stored = found
                continue
            if answer.status == 404:
                raise GenerationMismatch
            if answer.status == 200:
                return self._described(answer, stored.name)
            self._capabilities.patches_metadata = False
            log.warning(
                "this Cloud Storage endpoint changes no metadata (it answered %d): nothing binds the labels of large objects to"
                " their bytes, and a later run will copy them again",
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
        """Remove an object, if the generation (None: any) is there; one that is gone already is no error."""
        condition = "" if generation is None else f"?ifGenerationMatch={generation}"
        url = f"{self._client.object_url(name)}{condition}"
        answer = yield from self._client.send("DELETE", url, accept=(200, 204, 404))
        return Removed.BEFORE if answer.status == 404 else Removed.NOW

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
        resource = self._refused.kept(name, resource)
        try:
            url = yield from begin_session(self._client, name, size_bytes, resource, generation)
        except DestinationRefused as error:
            self._refused.note(name, resource, error)
            raise
        return GcsStreamUpload(self._client, url, name, size_bytes, md5, self._capabilities)

    def stream_upload(self, name: str, token: str, size_bytes: int, *, md5: str) -> GcsStreamUpload:
        """One begun earlier, by its token."""
        url = session_url(self._client, name, token)
        return GcsStreamUpload(self._client, url, name, size_bytes, md5, self._capabilities)

    def begin_parts(self, name: str, resource: Mapping[str, object]) -> Step[GcsPartsUpload | None]:
        """Begin an upload in parts, in any order; None when the server has no such thing, or not for this metadata."""
        token = yield from begin_parts(self._client, name, self._refused.kept(name, resource), self._capabilities)
        return self.parts_upload(name, token) if token else None

    def parts_upload(self, name: str, token: str) -> GcsPartsUpload:
        """One begun earlier, perhaps on another lane, by its token."""
        return GcsPartsUpload(self._client, name, token, self._capabilities)

    def replaced_versions(self, name: str) -> Step[list[ReplacedVersion]]:
        """What was the object of a name once, as far as the bucket keeps that; perhaps with what is there now."""
        return replaced_versions(self._client, name)

    def open_parts(self, name: str) -> Step[list[OpenParts]]:
        """The uploads in parts of exactly this name that are open, whoever began them."""
        return open_parts(self._client, name)


def _metadata_of(resource: Mapping[str, object]) -> Mapping[str, object]:
    metadata = resource.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
