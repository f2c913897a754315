"""Resumable uploads of the JSON API, which take an object's bytes in order.

Cloud Storage, "Resumable uploads": a session reports how much it holds (`Content-Range: bytes */N`), keeps the bytes that arrived
in multiples of 256 KiB, checks the MD5 and CRC32C that were announced at its start, and creates the object with the last byte. An
abandoned session costs nothing and expires after a week.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, quote, urljoin, urlsplit

from transfer.backends.crc32c import Crc32c
from transfer.backends.gcs.client import OBJECT_FIELDS, GcsClient
from transfer.backends.gcs.fields import media_type_of
from transfer.backends.gcs.verification import Capabilities, verified, verified_md5
from transfer.backends.http.exchange import Answer
from transfer.backends.http.streams import Download
from transfer.errors import EndpointRejected, SinkUnavailable, Stage, UploadGone
from transfer.model import DestinationObject
from transfer.steps import Step

_PERSISTED = re.compile(r"(?:bytes[= ])?0-(\d+)")
_GONE = (404, 410)


def begin_session(
    client: GcsClient, name: str, size_bytes: int, resource: Mapping[str, object], generation: int
) -> Step[str]:
    """Start a session and return its URL, which authorizes the upload. Raises GenerationMismatch, or a TransferError."""
    answer = yield from client.send(
        "POST",
        f"{client.upload_url}?uploadType=resumable&ifGenerationMatch={generation}&fields={OBJECT_FIELDS}",
        headers=[
            "Content-Type: application/json; charset=UTF-8",
            f"X-Upload-Content-Length: {size_bytes}",
            f"X-Upload-Content-Type: {media_type_of(resource)}",
        ],
        body=json.dumps({**resource, "name": name}).encode(),
        accept=(200, 201),
    )
    url = urljoin(client.upload_url, answer.headers.get("location", "")) if "location" in answer.headers else ""
    if not url.startswith(("https://", "http://")):
        raise EndpointRejected("Cloud Storage started an upload without naming its URL", stage=Stage.UPLOAD)
    return url


def session_url(client: GcsClient, name: str, token: str) -> str:
    """The URL of an upload session, built from its id alone, so that a record cannot send data to another server."""
    return f"{client.upload_url}?uploadType=resumable&name={quote(name, safe='')}&upload_id={quote(token, safe='')}"


def session_token(client: GcsClient, url: str) -> str:
    """The id of an upload session; empty for a URL of any other form, which no other worker can resume."""
    parts = urlsplit(url)
    ids = parse_qs(parts.query).get("upload_id", [])
    return ids[0] if parts.path == urlsplit(client.upload_url).path and len(ids) == 1 else ""


class GcsStreamUpload:
    """A `StreamUpload` over one session.

    Args:
        client: sends the requests.
        url: the URL of the session.
        name: the name of the object.
        size_bytes: the size of the whole object.
        md5: the MD5 that was announced to Cloud Storage, hexadecimal, or empty.
        capabilities: what the server is known not to do.
    """

    def __init__(
        self,
        client: GcsClient,
        url: str,
        name: str,
        size_bytes: int,
        md5: str,
        capabilities: Capabilities,
    ) -> None:
        self.token = session_token(client, url)
        """The session's id; empty where no other worker can resume it."""
        self._url = url
        self._name = name
        self._client = client
        self._size_bytes = size_bytes
        self._md5 = md5
        self._capabilities = capabilities
        self.needs_md5 = not (md5 and capabilities.hashes_md5)
        """Whether the MD5 has to be computed here, because the server does not compute it."""
        self._checksum = Crc32c()
        self._seen_bytes = 0

    def position(self) -> Step[int | DestinationObject]:
        """How many bytes the session holds for good, or the object once it is complete. Raises UploadGone."""
        answer = yield from self._client.send(
            "PUT", self._url, headers=[f"Content-Range: bytes */{self._size_bytes}"], accept=(200, 201, 308, *_GONE)
        )
        return (yield from self._outcome(answer))

    def send(
        self, stream: Download, start: int, count: int, observe: Callable[[bytes], None]
    ) -> Step[int | DestinationObject]:
        """Send `count` bytes of the stream from byte `start` on. `observe` gets each byte once, however often it is sent.

        Raises SinkUnavailable when the session took only some of them: then continue from `position`.
        """
        position = start

        def sum_up(data: bytes) -> None:
            nonlocal position
            position += len(data)
            # `unseen` may exceed the piece, where another worker sent the beginning.
            if (unseen := position - self._seen_bytes) > 0:
                data = data[-unseen:]
                self._seen_bytes = position
                self._checksum.update(data)
                observe(data)

        answer = yield from self._client.send_stream(
            self._url,
            stream,
            count,
            headers=[f"Content-Range: bytes {start}-{start + count - 1}/{self._size_bytes}"],
            observe=sum_up,
            accept=(200, 201, 308, *_GONE),
        )
        held = yield from self._outcome(answer)
        if isinstance(held, int) and (held != start + count or held == self._size_bytes):
            raise SinkUnavailable(
                f"Cloud Storage holds {held} of the {start + count} bytes that were sent",
                stage=Stage.UPLOAD,
                http_status=308,
            )
        return held

    def abort(self) -> Step[None]:
        """Cancel the session (499 is Cloud Storage's answer to that)."""
        yield from self._client.send("DELETE", self._url, accept=(200, 204, 499, *_GONE))

    def _outcome(self, answer: Answer) -> Step[int | DestinationObject]:
        if answer.status in _GONE:
            raise UploadGone
        if answer.status == 308:
            found = _PERSISTED.fullmatch(answer.headers.get("range", ""))
            held = int(found[1]) + 1 if found else 0
            if held > self._size_bytes:  # the server appended the bytes that two connections sent at the same time
                raise UploadGone
            return held
        stored = self._client.described(answer, self._name)
        is_summed = self._checksum.size_bytes == self._size_bytes  # not when another worker sent the beginning
        crc32c = self._checksum.text if is_summed else stored.crc32c
        yield from verified(self._client, stored, size_bytes=self._size_bytes, crc32c=crc32c)
        if self._md5:
            is_proven_here = self.needs_md5
            yield from verified_md5(self._client, stored, self._md5, self._capabilities, is_proven_here=is_proven_here)
        return stored
