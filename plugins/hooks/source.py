"""Reads inventories and manifests in place of a listing, through Airflow's AWS or Google Cloud connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from hooks.engine import destination
from hooks.s3 import S3SourceHook

if TYPE_CHECKING:
    from transfer.model import ObjectMeta
    from transfer.sources.files import FileStore, SourceUri


class _Enough(Exception):
    """Raised to stop the copy of a file early."""


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

    def objects(self, report: Callable[[str], None]) -> Iterator[ObjectMeta]:
        """The objects in the list, in byte order; `report` is called with lines for the log. Raises TransferError, Stopped."""
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
                report=report,
            )
        report(f"reading {uri}, and asking S3 for each object in it")
        keys = manifest_keys(self._store(uri), uri, source_bucket=self.bucket, prefix=self.prefix, stop=self.stop)
        return head_all(S3SourceHook(self.aws_conn_id).get_conn(connections=LANES), self.bucket, keys, stop=self.stop)

    def check(self) -> None:
        """Read an inventory's manifest.json, or the first line of a manifest of keys, and check that S3 can be asked for keys.

        Raises TransferError.
        """
        from transfer.backends.s3.files import head_all
        from transfer.sources.files import Kind, SourceUri
        from transfer.sources.inventory import read_inventory
        from transfer.sources.key_manifest import HEAD_BYTES, check_header

        uri = SourceUri.parse(self.uri)
        if uri.kind is Kind.INVENTORY:
            read_inventory(self._store(uri), uri, source_bucket=self.bucket)
        else:
            check_header(_head(self._store(uri), uri.name, HEAD_BYTES), uri, self.bucket)
            # The key does not exist: S3 answers 404 with the permission to ask, and 403 without it.
            asked = [(f"{self.prefix}.edgehaul-preflight", "")]
            list(head_all(S3SourceHook(self.aws_conn_id).get_conn(), self.bucket, asked, lanes=1, stop=self.stop))

    def _store(self, uri: SourceUri) -> FileStore:
        from transfer.backends.gcs.files import GcsFiles
        from transfer.backends.s3.files import S3Files

        if uri.scheme == "s3":
            return S3Files(S3SourceHook(self.aws_conn_id).get_conn(), uri.bucket, stop=self.stop)
        bucket = destination(self.gcp_conn_id, uri.bucket)
        return GcsFiles(bucket.client(), bucket.retrier(), self.stop)


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
