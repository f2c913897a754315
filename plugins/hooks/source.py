"""What may stand in place of a listing, read with Airflow connections: s3:// with the AWS one, gs:// with Google's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from hooks.engine import Destination
from hooks.s3 import S3SourceHook

if TYPE_CHECKING:
    from transfer.model import ObjectMeta
    from transfer.sources.files import FileStore, SourceUri


class _Enough(Exception):
    """Breaks off the copy of a file."""


@dataclass(frozen=True, kw_only=True)
class SourceList:
    """An inventory or a manifest of the objects of a bucket, by its URI."""

    uri: str
    aws_conn_id: str
    gcp_conn_id: str
    bucket: str
    """The source bucket."""
    prefix: str
    stop: Event

    def objects(self, tell: Callable[[str], None]) -> Iterator[ObjectMeta]:
        """What it names, in byte order; `tell` gets lines for the log. Raises TransferError, Stopped."""
        from transfer.backends.parquet import parquet_rows
        from transfer.backends.s3.files import LANES, head_all
        from transfer.sources.files import Kind, SourceUri
        from transfer.sources.inventory import inventory_objects
        from transfer.sources.key_manifest import manifest_keys

        uri = SourceUri.parse(self.uri)
        if uri.kind is Kind.INVENTORY:
            return inventory_objects(
                self._store(uri),
                uri,
                source_bucket=self.bucket,
                prefix=self.prefix,
                read_parquet=parquet_rows,
                stop=self.stop,
                tell=tell,
            )
        tell(f"reading {uri}, and asking S3 for each object that it names")
        keys = manifest_keys(self._store(uri), uri, source_bucket=self.bucket, prefix=self.prefix, stop=self.stop)
        return head_all(S3SourceHook(self.aws_conn_id).get_conn(connections=LANES), self.bucket, keys, stop=self.stop)

    def check(self) -> None:
        """Read a manifest.json, or a manifest's first line, and see whether its keys can be asked for. Raises TransferError."""
        from transfer.backends.s3.files import head_all
        from transfer.sources.files import Kind, SourceUri
        from transfer.sources.inventory import read_inventory
        from transfer.sources.key_manifest import HEAD_BYTES, check_header

        uri = SourceUri.parse(self.uri)
        if uri.kind is Kind.INVENTORY:
            read_inventory(self._store(uri), uri, source_bucket=self.bucket)
        else:
            check_header(_head(self._store(uri), uri.name, HEAD_BYTES), uri, self.bucket)
            # Of a key that is not there: 404 who may ask, 403 who may not.
            asked = [(f"{self.prefix}.edgehaul-preflight", "")]
            list(head_all(S3SourceHook(self.aws_conn_id).get_conn(), self.bucket, asked, lanes=1, stop=self.stop))

    def _store(self, uri: SourceUri) -> FileStore:
        from transfer.backends.gcs.files import GcsFiles
        from transfer.backends.s3.files import S3Files
        from transfer.retry import Retrier

        if uri.scheme == "s3":
            return S3Files(S3SourceHook(self.aws_conn_id).get_conn(), uri.bucket, stop=self.stop)
        destination = Destination.of_records(self.gcp_conn_id, uri.bucket, "")
        return GcsFiles(destination.client(), Retrier(destination.config.retry), self.stop)


def _head(store: FileStore, name: str, size_bytes: int) -> bytes:
    """The beginning of a file."""
    head = bytearray()

    def take(piece: bytes) -> None:
        head.extend(piece)
        if len(head) >= size_bytes:
            raise _Enough

    with suppress(_Enough):
        store.copy(name, take)
    return bytes(head[:size_bytes])
