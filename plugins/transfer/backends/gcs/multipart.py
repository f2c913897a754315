"""Multipart uploads of the XML API: parts in any order and many at a time.

Cloud Storage, "XML API multipart uploads": 1 to 10,000 parts of 5 MiB to 5 GiB, the last part of any size; each answer has the
part's CRC32C and MD5. They know no conditions on generations, so the copier looks at the destination before it completes one.
Parts are charged until the upload is completed or aborted.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote
from xml.sax.saxutils import escape, unescape

from transfer.backends.crc32c import Crc32c, combined
from transfer.backends.gcs.client import GcsClient
from transfer.backends.gcs.fields import DEFAULT_TYPE, media_type_of
from transfer.backends.gcs.verification import Capabilities, verified
from transfer.backends.http.exchange import Answer
from transfer.backends.http.streams import Download
from transfer.errors import CorruptTransfer, GenerationMismatch, SinkUnavailable, Stage, UploadGone
from transfer.model import DestinationObject, OpenParts, StoredPart
from transfer.steps import Step

log = logging.getLogger(__name__)

COMPLETION_STALL_S = 600.0
"""Cloud Storage "can take several minutes" to complete an upload (XML API, "Complete a multipart upload")."""

_FIELD_HEADERS = {
    "contentType": "Content-Type",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
    "contentEncoding": "Content-Encoding",
    "cacheControl": "Cache-Control",
    "storageClass": "x-goog-storage-class",
}
_UPLOAD_ID = re.compile(r"<UploadId>([^<]+)</UploadId>")
_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
_FIELD = re.compile(r"<(Key|UploadId|Initiated)>([^<]*)</")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
NO_SUCH_THING = (400, 404, 405, 411, 501)
"""Answers of servers without the XML API's multipart uploads. A missing bucket shows in every other request."""
FORBIDDEN = 403
"""The answer of such a server as well, or of one where `storage.multipartUploads.create` is not granted."""


def begin_parts(
    client: GcsClient,
    name: str,
    resource: Mapping[str, object],
    capabilities: Capabilities,
    *,
    no_such_thing: Sequence[int] = (*NO_SUCH_THING, FORBIDDEN),
) -> Step[str | None]:
    """Start an upload and return its id; None without support for it, or when headers cannot carry this metadata unchanged.

    `no_such_thing` are the statuses that mean that the server does not support multipart uploads.
    """
    headers = _headers(resource)
    if (
        headers is None
        or not capabilities.takes_parts
        or media_type_of(resource) != resource.get("contentType", DEFAULT_TYPE)
    ):
        return None
    answer = yield from client.send(
        "POST", f"{client.xml_url(name)}?uploads", headers=headers, accept=(200, *no_such_thing), is_sent_once=True
    )
    found = _UPLOAD_ID.search(answer.text) if answer.status == 200 else None
    if found is None:
        capabilities.takes_parts = False
        log.warning(
            "this Cloud Storage endpoint has no multipart uploads (it answered %d): each large object is sent as one stream",
            answer.status,
        )
        return None
    return unescape(found[1])


def open_parts(client: GcsClient, name: str) -> Step[list[OpenParts]]:
    """The open multipart uploads of exactly this name (XML API, "List multipart uploads")."""
    found: list[OpenParts] = []
    after, seen = "", set[str]()
    while True:
        url = f"{client.uploads_url}?uploads&prefix={quote(name, safe='')}{after}"
        answer = yield from client.send("GET", url, accept=(200, *NO_SUCH_THING))
        if answer.status != 200:
            return found
        text = bytes(answer.body).decode("utf-8", "replace")
        names = []
        for upload in _UPLOAD.findall(text):
            fields = {tag: unescape(value) for tag, value in _FIELD.findall(upload)}
            names.append(fields.get("Key", ""))
            if names[-1] == name and fields.get("UploadId"):
                started_at_s = datetime.fromisoformat(fields.get("Initiated", "")).timestamp()
                found.append(OpenParts(token=fields["UploadId"], started_at_s=started_at_s))
        last = fields.get("UploadId", "") if names else ""
        if "<IsTruncated>true" not in text or not last or names[-1] != name:  # later pages have longer names
            return found
        if last in seen:  # the server says that there is more, but repeats itself
            return found
        seen.add(last)
        after = f"&key-marker={quote(name, safe='')}&upload-id-marker={quote(last, safe='')}"


def _headers(resource: Mapping[str, object]) -> list[str] | None:
    pairs = [(header, str(resource[field])) for field, header in _FIELD_HEADERS.items() if field in resource]
    metadata = resource.get("metadata")
    if isinstance(metadata, Mapping):
        pairs += [(f"x-goog-meta-{key}", str(value)) for key, value in metadata.items()]
    if any(name != name.strip() or not _HEADER_NAME.fullmatch(name) for name, _ in pairs):
        return None
    if not all(_HEADER_VALUE.fullmatch(value) for _, value in pairs):
        return None
    if isinstance(metadata, Mapping) and any(str(key) != str(key).lower() for key in metadata):
        return None  # header names come back in lower case
    return [f"{name}: {value}" for name, value in pairs]


class GcsPartsUpload:
    """A `PartsUpload` over the XML API. Several lanes may send parts of one upload, each with its own instance."""

    def __init__(self, client: GcsClient, name: str, token: str, capabilities: Capabilities) -> None:
        self.token = token
        self._client = client
        self._name = name
        self._capabilities = capabilities
        self._url = f"{client.xml_url(name)}?uploadId={quote(token, safe='')}"

    def put(self, number: int, stream: Download, count: int, *, wants_md5: bool) -> Step[StoredPart]:
        """Send the next `count` bytes of the stream as part `number` (from 1), which replaces an earlier part of that number.

        The part's MD5 may be missing although it is wanted, when the server turns out to compute none; from then on it is
        computed here. Raises CorruptTransfer when Cloud Storage stored something else, UploadGone when the upload does not exist.
        """
        checksum = Crc32c()
        is_hashed_here = wants_md5 and not self._capabilities.hashes_md5
        md5 = hashlib.md5(usedforsecurity=False)

        def sum_up(data: bytes) -> None:
            checksum.update(data)
            if is_hashed_here:
                md5.update(data)

        answer = yield from self._client.send_stream(
            f"{self._url}&partNumber={number}", stream, count, observe=sum_up, accept=(200, 404)
        )
        if answer.status == 404:
            raise UploadGone
        crc32c, stored_md5 = _hashes(answer)
        if crc32c and crc32c != checksum.text:
            raise CorruptTransfer(
                f"part {number} was sent with CRC32C {checksum.text}, and Cloud Storage stored {crc32c}",
                stage=Stage.UPLOAD,
            )
        if wants_md5 and not is_hashed_here and not stored_md5:
            self._capabilities.hashes_md5 = False
        return StoredPart(
            number=number,
            size_bytes=count,
            crc32c=checksum.text,
            md5=md5.hexdigest() if is_hashed_here else stored_md5,
            tag=answer.headers.get("etag", ""),
        )

    def complete(self, parts: Sequence[StoredPart], expected_crc32c: str) -> Step[DestinationObject]:
        """Join the parts, in order, into the object. Safe to call again after an answer was lost.

        `expected_crc32c` (base64; empty for none) is compared with that of the parts first. Raises CorruptTransfer when the
        object differs from the parts (it is removed), GenerationMismatch when another client wrote the object since, UploadGone
        when neither the upload nor the object exists.
        """
        size_bytes = sum(part.size_bytes for part in parts)
        crc32c = combined((part.crc32c, part.size_bytes) for part in parts)
        if expected_crc32c and crc32c != expected_crc32c:
            said = f"the bytes read have CRC32C {crc32c}, and S3 says {expected_crc32c}; nothing was stored"
            raise CorruptTransfer(said, stage=Stage.DOWNLOAD)
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.tag)}</ETag></Part>" for part in parts
        )
        answer = yield from self._client.send(
            "POST",
            self._url,
            headers=["Content-Type: application/xml"],
            body=f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode(),
            accept=(200, 404),
            stall_s=COMPLETION_STALL_S,
        )
        if answer.status == 200 and "<Error>" in answer.text:  # the status was sent before the work was done
            raise SinkUnavailable(f"the upload could not be completed: {answer.text[:300]}", stage=Stage.UPLOAD)
        stored = yield from self._client.stat(self._name)
        is_ours = stored is not None and stored.size_bytes == size_bytes and stored.crc32c == crc32c
        if stored is None or (answer.status == 404 and not is_ours):
            raise UploadGone
        if not is_ours and answer.headers.get("x-goog-generation") != str(stored.generation):
            raise GenerationMismatch
        return (yield from verified(self._client, stored, size_bytes=size_bytes, crc32c=crc32c))

    def abort(self) -> Step[None]:
        """Abort the upload and delete its parts.

        It is first checked to be open: on a server that does not know multipart uploads, this DELETE would delete the object.
        """
        if (yield from self.is_open()):
            yield from self._client.send("DELETE", self._url, accept=(200, 204, 404))

    def is_open(self) -> Step[bool]:
        """Whether the upload was neither completed nor aborted; assumed without `storage.multipartUploads.listParts`."""
        answer = yield from self._client.send("GET", f"{self._url}&max-parts=1", accept=(200, FORBIDDEN, 404))
        found = _UPLOAD_ID.search(answer.text) if answer.status == 200 else None
        return answer.status == FORBIDDEN or (found is not None and unescape(found[1]) == self.token)


def _hashes(answer: Answer) -> tuple[str, str]:
    """The CRC32C (base64) and the MD5 (hexadecimal) of an answer's `x-goog-hash` header; empty where absent."""
    found = dict(pair.strip().split("=", 1) for pair in answer.headers.get("x-goog-hash", "").split(",") if "=" in pair)
    md5 = found.get("md5", "")
    return found.get("crc32c", ""), base64.b64decode(md5).hex() if md5 else ""
