"""What may stand in place of a listing of S3, named by its URI: an S3 Inventory, or a manifest that a person wrote."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Protocol

from transfer.errors import SourceListInvalid, Stage, Stopped

URI = r"^(s3|gs)://[^/]+/(.*[^/])?\.(json|((csv|jsonl|ndjson)(\.gz)?))$"
MEANING = {
    URI: "s3:// or gs://, a bucket, and a name: the manifest.json of an S3 Inventory, or a .csv, .jsonl or .ndjson"
    " (.gz, too) that names keys"
}
"""What a URI may look like, in words."""


class Kind(StrEnum):
    """What a URI names, by the end of its name."""

    INVENTORY = "inventory"
    CSV = "csv"
    JSON_LINES = "json-lines"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUri:
    """A URI cut into its parts."""

    scheme: str
    bucket: str
    name: str
    kind: Kind

    @classmethod
    def parse(cls, text: str) -> SourceUri:
        """Cut one that a person wrote. Raises SourceListInvalid."""
        found = re.fullmatch(URI, text, re.DOTALL)
        if not found:
            raise SourceListInvalid(f"source_listing is {text!r}: write {MEANING[URI]}", stage=Stage.LIST)
        scheme, _, path = text.partition("://")
        bucket, _, name = path.partition("/")
        ending = found[3].removesuffix(".gz")
        kind = Kind.INVENTORY if ending == "json" else Kind.CSV if ending == "csv" else Kind.JSON_LINES
        return cls(scheme=scheme, bucket=bucket, name=name, kind=kind)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.name}"


class FileStore(Protocol):
    """Reads whole files of one bucket. Raises TransferError; SourceListInvalid for one that is not there."""

    uri: str
    """Of the bucket, with a slash at its end."""

    def stat(self, name: str) -> int:
        """Its size in bytes."""

    def copy(self, name: str, write: Callable[[bytes], object]) -> None:
        """Give `write` the bytes as they are stored, in pieces of some megabytes, all of the same version of the file."""


MAX_WHOLE_BYTES = 16 * 1024**2
"""Of a file that is read into memory: the manifest.json of an inventory of some 100,000 files."""


def read_whole(store: FileStore, name: str) -> bytes:
    """A small file. Raises SourceListInvalid for one of more than MAX_WHOLE_BYTES."""
    body = bytearray()

    def write(piece: bytes) -> None:
        body.extend(piece)
        if len(body) > MAX_WHOLE_BYTES:
            raise SourceListInvalid(
                f"{store.uri}{name} has more than {MAX_WHOLE_BYTES:,} bytes: it is no manifest.json of an S3 Inventory",
                stage=Stage.LIST,
            )

    store.copy(name, write)
    return bytes(body)


@contextmanager
def on_disk(store: FileStore, name: str, stop: Event, *, md5: str = "") -> Iterator[Path]:
    """A copy of a file, gone afterwards. `md5` is hexadecimal; empty for any.

    Raises SourceListInvalid when it has another MD5, Stopped after a stop request.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.NamedTemporaryFile(prefix="edgehaul-list-") as file:

        def write(piece: bytes) -> None:
            if stop.is_set():
                raise Stopped
            digest.update(piece)
            file.write(piece)

        store.copy(name, write)
        if md5 and digest.hexdigest() != md5.lower():
            raise SourceListInvalid(
                f"{store.uri}{name} has the MD5 {digest.hexdigest()}, and the manifest says {md5}: it was changed, or has not"
                " come whole; take another inventory",
                stage=Stage.LIST,
            )
        file.flush()
        yield Path(file.name)


def is_gzip(path: Path) -> bool:
    """By its first bytes: names lie."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"
