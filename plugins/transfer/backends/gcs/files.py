"""Reads inventories and manifests from a Cloud Storage bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from transfer.backends.gcs.client import GcsClient
from transfer.backends.http.loop import complete
from transfer.errors import SourceChanged, SourceListInvalid, SourceUnavailable, Stage
from transfer.model import DestinationObject
from transfer.retry import Retrier
from transfer.steps import Step
from transfer.stopping import Stop

PIECE_BYTES = 8 * 1024 * 1024
T = TypeVar("T")


class GcsFiles:
    """A `FileStore` over one Cloud Storage bucket. Not thread-safe. Its methods also raise Stopped after a stop request."""

    def __init__(self, client: GcsClient, retrier: Retrier, stop: Stop) -> None:
        self.uri = f"gs://{client.bucket}/"
        self._client = client
        self._retrier = retrier
        self._stop = stop

    def stat(self, name: str) -> int:
        """The size of a file in bytes."""
        return self._do(partial(self._stat, name)).size_bytes

    def copy(self, name: str, write: Callable[[bytes], object]) -> None:
        """Read a file in ranges and pass each to `write`. Raises SourceChanged when the file is replaced meanwhile."""
        for piece in self.pieces(name):
            write(piece)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, in pieces of at most PIECE_BYTES. Raises what `copy` raises."""
        found = self._do(partial(self._stat, name))
        for start in range(0, found.size_bytes, PIECE_BYTES):
            last = min(start + PIECE_BYTES, found.size_bytes) - 1
            yield self._do(partial(self._piece, found, start, last))

    def _do(self, step: Callable[[], Step[T]]) -> T:
        self._retrier.reset()
        return complete(self._retrier.call(step), self._stop)

    def _stat(self, name: str) -> Step[DestinationObject]:
        if (found := (yield from self._client.stat(name))) is None:
            raise SourceListInvalid(
                f"reading {self.uri}{name}: Cloud Storage answered 404: there is no such file; correct source_listing",
                stage=Stage.LIST,
                http_status=404,
            )
        return found

    def _piece(self, file: DestinationObject, first: int, last: int) -> Step[bytes]:
        # Accept-Encoding: otherwise an object stored with Content-Encoding: gzip would be decompressed and sent whole.
        answer = yield from self._client.send(
            "GET",
            f"{self._client.media_url(file.name)}&generation={file.generation}",
            headers=[f"Range: bytes={first}-{last}", "Accept-Encoding: gzip"],
            max_body_bytes=PIECE_BYTES,
            accept=(200, 206, 404),
        )
        if answer.status == 404:
            raise SourceChanged(f"{self.uri}{file.name} was replaced while it was being read", stage=Stage.LIST)
        if len(answer.body) != last - first + 1:
            raise SourceUnavailable(f"{self.uri}{file.name} did not arrive completely", stage=Stage.LIST)
        return bytes(answer.body)
