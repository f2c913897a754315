"""Readers for a sample: boto3 for S3 itself, google-cloud-storage for the destination. Nothing of the copying's own path."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from botocore.client import BaseClient
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Client
from requests import RequestException

from transfer.errors import (
    DestinationConflict,
    SinkUnavailable,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    SourceUnavailable,
    Stage,
    TransferError,
)
from transfer.model import DestinationObject, ObjectMeta

PIECE_BYTES = 8 * 1024 * 1024
"""In one request, and in memory of each side."""
TRIES = 4
"""Of a piece whose body broke off: botocore tries again only what comes before the body."""
_BROKEN = (ReadTimeoutError, ResponseStreamingError, IncompleteReadError)


class SampleReaders:
    """A `SampleReader` of one bucket on each side. Thread-safe.

    Args:
        s3: shared by all threads, as boto3 allows.
        new_gcs: makes a client for each thread: google-cloud-storage's are not made to be shared.
        user_project: who pays for reading a destination bucket whose requester pays; empty for nobody else.
    """

    def __init__(
        self,
        s3: BaseClient,
        source_bucket: str,
        new_gcs: Callable[[], Client],
        destination_bucket: str,
        *,
        user_project: str = "",
    ) -> None:
        self._s3 = s3
        self._source_bucket = source_bucket
        self._new_gcs = new_gcs
        self._destination_bucket = destination_bucket
        self._user_project = user_project
        self._of_thread = threading.local()

    def source(self, item: ObjectMeta) -> Iterator[bytes]:
        """By ranges, each on condition of the listed ETag."""
        which = {"Bucket": self._source_bucket, "Key": item.key, "IfMatch": f'"{item.etag}"'}
        if item.version_id:
            which["VersionId"] = item.version_id
        for start, last in _ranges(item.size_bytes):
            try:
                yield self._piece(which | ({"Range": f"bytes={start}-{last}"} if item.size_bytes else {}))
            except (ClientError, BotoCoreError) as error:
                raise _s3_error(error, self._source_bucket) from error

    def _piece(self, which: dict[str, str]) -> bytes:
        for left in reversed(range(TRIES)):
            try:
                body: bytes = self._s3.get_object(**which)["Body"].read()
                return body
            except _BROKEN:
                if not left:
                    raise
                time.sleep(0.1 * 2 ** (TRIES - left))
        raise AssertionError("the last try returns or raises")

    def destination(self, stored: DestinationObject) -> Iterator[bytes]:
        """By ranges of this generation, and not unpacked where it is stored with `Content-Encoding: gzip`."""
        bucket = self._client().bucket(self._destination_bucket, user_project=self._user_project or None)
        blob = bucket.blob(stored.name, generation=stored.generation or None)
        for start, last in _ranges(stored.size_bytes):
            which = {"start": start, "end": last} if stored.size_bytes else {}
            try:
                yield blob.download_as_bytes(raw_download=True, checksum=None, **which)
            except NotFound as error:
                raise DestinationConflict(
                    f"gs://{self._destination_bucket}/{stored.name} is not at generation {stored.generation} any more: somebody"
                    " wrote or deleted it since it was matched",
                    stage=Stage.RECONCILE,
                    http_status=404,
                ) from error
            except (GoogleAPIError, GoogleAuthError, RequestException) as error:
                raise SinkUnavailable(
                    f"reading gs://{self._destination_bucket}/{stored.name}: {error}", stage=Stage.RECONCILE
                ) from error

    def _client(self) -> Client:
        if not hasattr(self._of_thread, "client"):
            self._of_thread.client = self._new_gcs()
        client: Client = self._of_thread.client
        return client


def read_first_byte(s3: BaseClient, bucket: str, key: str) -> None:
    """Try whether an object can be read. Raises TransferError."""
    try:
        s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise _s3_error(error, bucket) from error


def _ranges(size_bytes: int) -> Iterator[tuple[int, int]]:
    """First and last byte of each piece; one, of nothing, for an empty object."""
    for start in range(0, max(size_bytes, 1), PIECE_BYTES):
        yield start, min(start + PIECE_BYTES, size_bytes) - 1


def _s3_error(error: ClientError | BotoCoreError, bucket: str) -> TransferError:
    """The engine's error for one of botocore's, once botocore's own retries are used up."""
    if not isinstance(error, ClientError):
        return SourceUnavailable(f"reading s3://{bucket}: {error}", stage=Stage.DOWNLOAD)
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    said = f"reading s3://{bucket}: S3 answered {status} {code}"
    if status == 412:
        return SourceChanged(f"{said}: replaced since it was listed", stage=Stage.DOWNLOAD, http_status=status)
    if status in (404, 405) and code != "NoSuchBucket":  # 405: the version is a delete marker
        return SourceNotFound(f"{said}: deleted since it was listed", stage=Stage.DOWNLOAD, http_status=status)
    if status == 403:
        return SourceForbidden(
            f"{said}: allow s3:GetObject (and kms:Decrypt for its key) to the AWS connection, which reads the sample",
            stage=Stage.DOWNLOAD,
            http_status=status,
        )
    return SourceUnavailable(said, stage=Stage.DOWNLOAD, http_status=status)
