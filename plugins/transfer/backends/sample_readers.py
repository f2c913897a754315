"""Reads both sides of a sampled object for the comparison of their bytes.

boto3 reads from S3 itself and google-cloud-storage from the destination, so that nothing is shared with the code that copies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Client
from requests import RequestException

from transfer.backends.s3.answers import sample_error
from transfer.backends.s3.files import read_body
from transfer.errors import DestinationConflict, SinkUnavailable, Stage
from transfer.model import DestinationObject, ObjectMeta

PIECE_BYTES = 8 * 1024 * 1024
"""How much of each side is read in one request and held in memory."""


class SampleReaders:
    """A `SampleReader` of one bucket on each side. Thread-safe.

    Args:
        s3: shared by all threads, as boto3 allows.
        new_gcs: makes a client for each thread: google-cloud-storage's are not made to be shared.
        user_project: the project that pays for reading a requester-pays destination bucket; empty to name none.
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
        """Read the source object in ranges, each on condition of the listed ETag. Raises TransferError."""
        which = {"Bucket": self._source_bucket, "Key": item.key, "IfMatch": f'"{item.etag}"'}
        if item.version_id:
            which["VersionId"] = item.version_id
        for start, last in _ranges(item.size_bytes):
            try:
                yield read_body(self._s3, **which, **({"Range": f"bytes={start}-{last}"} if item.size_bytes else {}))
            except (ClientError, BotoCoreError) as error:
                raise sample_error(error, bucket=self._source_bucket) from error

    def destination(self, stored: DestinationObject) -> Iterator[bytes]:
        """Read this generation of the destination object in ranges, as stored: gzip content is not decompressed.

        Raises DestinationConflict when that generation is gone, SinkUnavailable for anything else.
        """
        bucket = self._client().bucket(self._destination_bucket, user_project=self._user_project or None)
        blob = bucket.blob(stored.name, generation=stored.generation or None)
        for start, last in _ranges(stored.size_bytes):
            which = {"start": start, "end": last} if stored.size_bytes else {}
            try:
                yield blob.download_as_bytes(raw_download=True, checksum=None, **which)
            except NotFound as error:
                raise DestinationConflict(
                    f"gs://{self._destination_bucket}/{stored.name} is no longer at generation {stored.generation}: it was"
                    " replaced or deleted since it was matched",
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
    """Read the first byte of an object of S3, to see whether it can be read. Raises TransferError."""
    try:
        s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise sample_error(error, bucket=bucket) from error


def _ranges(size_bytes: int) -> Iterator[tuple[int, int]]:
    """The first and the last byte of each piece; an empty object has one piece without bytes."""
    for start in range(0, max(size_bytes, 1), PIECE_BYTES):
        yield start, min(start + PIECE_BYTES, size_bytes) - 1
