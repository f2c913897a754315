"""Reads the records of a run for a person who waits for them: in pieces, and without retrying for minutes."""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from google.auth.exceptions import GoogleAuthError

from hooks.engine import destination
from transfer.backends.gcs.files import GcsFiles
from transfer.config import RetryPolicy, Timeouts, TransferConfig
from transfer.errors import TransferError

PATIENCE = TransferConfig(retry=RetryPolicy(attempts=3, total_s=10.0), timeouts=Timeouts(connect_s=5.0, stall_s=20.0))


class RecordGone(Exception):
    """There is no record of this name."""


class RecordUnreadable(Exception):
    """A record cannot be read; the message says why."""


def record_pieces(gcp_conn_id: str, bucket: str, name: str) -> Iterator[bytes]:
    """The bytes of one record, in pieces of at most 8 MiB.

    Raises RecordGone, RecordUnreadable, and AirflowNotFoundException when there is no such connection.
    """
    try:
        place = destination(gcp_conn_id, bucket, config=PATIENCE)
        yield from GcsFiles(place.client(), place.retrier(), place.stop).pieces(name)
    except TransferError as error:
        if error.http_status == 404:
            raise RecordGone(name) from error
        raise RecordUnreadable(error.message) from error
    except (GoogleAuthError, AirflowException) as error:
        if isinstance(error, AirflowNotFoundException):
            raise
        raise RecordUnreadable(str(error)) from error


def csv_pieces(gcp_conn_id: str, bucket: str, base: str) -> Iterator[bytes]:
    """The bytes of `<base>.csv` and of the files that continue it (`transfer.records.csv_file`), with one line of columns.

    Raises what `record_pieces` raises; RecordGone when there is no first file.
    """
    yield from record_pieces(gcp_conn_id, bucket, f"{base}.csv")
    number = 2
    while True:
        pieces = record_pieces(gcp_conn_id, bucket, f"{base}-{number}.csv")
        try:
            yield next(pieces, b"").partition(b"\n")[2]
        except RecordGone:
            return
        yield from pieces
        number += 1
