"""The engine's sizes and times, made small, so that every way of copying occurs with few bytes and nothing waits long.

A MiB of the engine's becomes 4 KiB: its parts of 8 MiB are 32 KiB here, and so on. The stand-ins take the same scale, and
Pub/Sub's clock runs five times as fast, so that its least lease of 10 s lasts 2 s. Nothing else of either is changed.
"""

from __future__ import annotations

MIB = 4 * 1024
MIN_PART_BYTES = 5 * MIB
PART_BYTES = 8 * MIB
"""What boto3 and the AWS CLI use by default, on this scale."""
MIDDLE_BYTES = 16 * MIB
WHOLE_BYTES = 6 * 1024
LARGE_BYTES = 16 * MIB
"""From this size on uploads can be resumed, and several lanes work on one object."""
QUANTUM_BYTES = 1024
"""What a resumable session keeps whole multiples of."""
BUFFER_BYTES = 16 * 1024
CLOCK_SPEED = 5
"""Of Pub/Sub."""
LEASE_S = 2
PAGE_KEYS = 30
"""Of S3's listing. S3 may give fewer keys than were asked for."""
SHARD_LINES = 20


def shrink_engine() -> None:
    """In an actor, before it does anything."""
    import transfer.backends.cloudfront.source
    import transfer.backends.http.client
    import transfer.backends.http.streams
    import transfer.config
    import transfer.copying.parts
    import transfer.copying.proof
    import transfer.reconciliation.failures
    import transfer.worker.drain

    for module in (transfer.config, transfer.copying.parts, transfer.copying.proof):
        vars(module)["MIN_PART_BYTES"] = MIN_PART_BYTES
    for module in (transfer.copying.parts, transfer.copying.proof):
        vars(module)["MIB"] = MIB
    for module in (transfer.backends.http.streams, transfer.backends.http.client):
        vars(module)["BUFFER_BYTES"] = BUFFER_BYTES
    transfer.copying.parts.RECORD_INTERVAL_S = 0.05
    transfer.backends.cloudfront.source.ERROR_CACHE_S = 0.05
    transfer.worker.drain.PULL_WAIT_S = 0.25
    transfer.worker.drain.COMMIT_INTERVAL_S = 0.4
    transfer.reconciliation.failures.PULL_WAIT_S = 0.25
    transfer.reconciliation.failures.PATIENCE_S = 3.0


def shrink_servers() -> None:
    """In the process of the stand-ins, before they are made."""
    import os

    import moto.s3.models

    import localcloud.gcs.sessions
    import localcloud.gcs.xml_multipart

    localcloud.gcs.sessions.QUANTUM_BYTES = QUANTUM_BYTES
    localcloud.gcs.xml_multipart.MIN_PART_BYTES = MIN_PART_BYTES
    moto.s3.models.S3_UPLOAD_PART_MIN_SIZE = MIN_PART_BYTES
    os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = str(PAGE_KEYS)
