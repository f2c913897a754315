"""Uploads that take an object's bytes in order: resumable sessions of the JSON API.

Cloud Storage, "Resumable uploads": a session knows how far it got (`Content-Range: bytes */N`), keeps what arrived in
multiples of 256 KiB, checks the MD5 and the CRC32C that were announced when it began, and shows nothing before the last
byte. One left behind costs nothing and ends after a week.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, quote, urljoin, urlsplit

from transfer.backends.crc32c import Crc32c
from transfer.backends.gcs.client import OBJECT_FIELDS, GcsClient, stored_object
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
    """The URL of a new session, which is authorization to fill it. Raises GenerationMismatch, or a TransferError."""
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
        raise EndpointRejected("Cloud Storage opened an upload without saying where", stage=Stage.UPLOAD)
    return url


def session_url(client: GcsClient, name: str, token: str) -> str:
    """Where an upload to this name of this bucket goes on, built from its id alone: nothing goes where a record points."""
    return f"{client.upload_url}?uploadType=resumable&name={quote(name, safe='')}&upload_id={quote(token, safe='')}"


def session_token(client: GcsClient, url: str) -> str:
    """The id of an upload session; empty for a URL of any other form, which another worker cannot go on with."""
    parts = urlsplit(url)
    ids = parse_qs(parts.query).get("upload_id", [])
    return ids[0] if parts.path == urlsplit(client.upload_url).path and len(ids) == 1 else ""


class GcsStreamUpload:
    """A `StreamUpload` over one session.

    Args:
        url: the session's.
        name: the object's.
        md5: what was announced to Cloud Storage, hexadecimal, or empty.
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
        """Its id; empty where another worker could not go on with it."""
        self._url = url
        self._name = name
        self._client = client
        self._size_bytes = size_bytes
        self._md5 = md5
        self._capabilities = capabilities
        self.needs_md5 = not (md5 and capabilities.hashes_md5)
        """Whether the bytes' own proof has to be computed here, because the server does not give it."""
        self._checksum = Crc32c()
        self._seen_bytes = 0

    def position(self) -> Step[int | DestinationObject]:
        """How many bytes it holds for good, or the object once it is complete. Raises UploadGone."""
        answer = yield from self._client.send(
            "PUT", self._url, headers=[f"Content-Range: bytes */{self._size_bytes}"], accept=(200, 201, 308, *_GONE)
        )
        return (yield from self._outcome(answer))

    def send(
        self, stream: Download, start: int, count: int, observe: Callable[[bytes], None]
    ) -> Step[int | DestinationObject]:
        """`count` bytes from byte `start` on. `observe` gets each byte once, however often it has to be sent.

        Raises SinkUnavailable when the session took only some of them: ask `position` and go on from there.
        """
        position = start

        def sum_up(data: bytes) -> None:
            nonlocal position
            position += len(data)
            # More than all of it, where another worker sent the beginning.
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
                f"Cloud Storage holds {held} of {start + count} bytes that were sent",
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
            if held > self._size_bytes:  # what two connections sent at a time was put one behind the other
                raise UploadGone
            return held
        stored = stored_object(answer, bucket=self._client.bucket, name=self._name)
        is_summed = self._checksum.size_bytes == self._size_bytes  # not when another worker sent the beginning
        crc32c = self._checksum.text if is_summed else stored.crc32c
        yield from verified(self._client, stored, size_bytes=self._size_bytes, crc32c=crc32c)
        if self._md5:
            is_proven_here = self.needs_md5
            yield from verified_md5(self._client, stored, self._md5, self._capabilities, is_proven_here=is_proven_here)
        return stored
