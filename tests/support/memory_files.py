"""A file store for tests without a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from transfer.errors import SourceListInvalid, Stage

PIECE_BYTES = 1024**2


class MemoryFiles:
    """A `FileStore` over a dict of files by name."""

    uri = "s3://lists/"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def stat(self, name: str) -> int:
        return len(self._body(name))

    def copy(self, name: str, write: Callable[[bytes], object]) -> None:
        body = self._body(name)
        for at in range(0, len(body), PIECE_BYTES):
            write(body[at : at + PIECE_BYTES])

    def _body(self, name: str) -> bytes:
        if name not in self._files:
            raise SourceListInvalid(f"{self.uri}{name} does not exist", stage=Stage.LIST)
        return self._files[name]
