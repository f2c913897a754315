"""Reads inventories and manifests from an S3 bucket, and asks S3 about the keys that a manifest names.

boto3 signs the requests and retries them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from transfer.answers import rule_for
from transfer.backends.s3.answers import code_of, file_error, head_error, status_of
from transfer.comparison import etag_value
from transfer.errors import SourceUnavailable, TransferError
from transfer.model import ObjectMeta, SkipReason
from transfer.sources.head_answers import HEAD_ANSWERS, SKIPPED
from transfer.stopping import NEVER, Stop, call_in_thread, result_of

PIECE_BYTES = 8 * 1024 * 1024
BODY_ATTEMPTS = 5
"""How often a body that breaks off is requested. botocore retries a request only until its body begins."""
LANES = 32
"""How many HEADs are in flight at a time."""
WINDOW = 4 * LANES
"""How many HEADs may be submitted ahead of the one whose answer is returned next."""
MAX_UNDECIDED = 100_000
"""How many keys S3 may refuse at the beginning of a list before `head_all` concludes that S3 refuses all of them."""
_BROKEN = (ReadTimeoutError, ResponseStreamingError, IncompleteReadError)


class S3Files:
    """A `FileStore` over one S3 bucket. Its methods also raise Stopped after a stop request."""

    def __init__(self, client: BaseClient, bucket: str, *, stop: Stop = NEVER) -> None:
        self.uri = f"s3://{bucket}/"
        self._client = client
        self._bucket = bucket
        self._stop = stop

    def stat(self, name: str) -> int:
        """The size of a file in bytes."""
        try:
            return self._stat(name)[0]
        except (ClientError, BotoCoreError) as error:
            raise file_error(error, uri=f"{self.uri}{name}") from error

    def copy(self, name: str, write: Callable[[bytes], object]) -> None:
        """Read a file in ranges and pass each to `write`. Raises SourceChanged when the file is replaced meanwhile."""
        uri = f"{self.uri}{name}"
        try:
            size_bytes, etag = self._stat(name)
            for start in range(0, size_bytes, PIECE_BYTES):
                last = min(start + PIECE_BYTES, size_bytes) - 1
                write(call_in_thread(partial(self._piece, name, start, last, etag), self._stop))
        except (ClientError, BotoCoreError) as error:
            raise file_error(error, uri=uri) from error

    def _stat(self, name: str) -> tuple[int, str]:
        head = call_in_thread(lambda: self._client.head_object(Bucket=self._bucket, Key=name), self._stop)
        return head["ContentLength"], head["ETag"]

    def _piece(self, name: str, first: int, last: int, etag: str) -> bytes:
        return read_body(self._client, Bucket=self._bucket, Key=name, Range=f"bytes={first}-{last}", IfMatch=etag)


def read_body(client: BaseClient, **request: str) -> bytes:
    """The body of a GetObject request, which is sent again when the body breaks off. Raises botocore's exceptions."""
    for attempt in range(1, BODY_ATTEMPTS + 1):
        answer = client.get_object(**request)
        try:
            body: bytes = answer["Body"].read()
            return body
        except _BROKEN:
            if attempt == BODY_ATTEMPTS:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def head_all(
    client: BaseClient, bucket: str, keys: Iterable[tuple[str, str]], *, lanes: int = LANES, stop: Stop = NEVER
) -> Iterator[ObjectMeta]:
    """Look up keys and version ids (empty: the current version) in S3, `lanes` at a time; objects come in the order of `keys`.

    A key that S3 does not have becomes ABSENT. A key that S3 refuses becomes FORBIDDEN or ENCRYPTED, but only while S3 answers
    for others: after each refusal the last key that S3 answered for is requested again. The client needs as many connections
    as there are lanes. Raises TransferError, also when S3 refused every key, and Stopped.
    """
    good: tuple[str, str] | None = None
    undecided: list[_Refused] = []
    """Keys that S3 refused before it answered for any other."""
    for answer in _in_order(client, bucket, keys, lanes, stop):
        if isinstance(answer, ObjectMeta):
            good = answer.key, answer.version_id
            yield from (refused.item for refused in undecided)
            undecided.clear()
            yield answer
        elif good is None:
            undecided.append(answer)
            if len(undecided) > MAX_UNDECIDED:
                break
        elif isinstance(call_in_thread(partial(_head, client, bucket, *good), stop), _Refused):
            raise answer.error
        else:
            yield answer.item
    if undecided:
        raise undecided[0].error


@dataclass(frozen=True, slots=True)
class _Refused:
    """A key that S3 refused, either because of this object or because of the credentials."""

    item: ObjectMeta
    error: TransferError


def _in_order(
    client: BaseClient, bucket: str, keys: Iterable[tuple[str, str]], lanes: int, stop: Stop
) -> Iterator[ObjectMeta | _Refused]:
    waiting: deque[Future[ObjectMeta | _Refused]] = deque()
    pool = ThreadPoolExecutor(lanes, thread_name_prefix="head")
    try:
        for key, version_id in keys:
            waiting.append(pool.submit(_head, client, bucket, key, version_id))
            if len(waiting) >= WINDOW:
                yield result_of(waiting.popleft(), stop)
        while waiting:
            yield result_of(waiting.popleft(), stop)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # botocore may wait for minutes, and cannot be interrupted


def _head(client: BaseClient, bucket: str, key: str, version_id: str) -> ObjectMeta | _Refused:
    which = {"VersionId": version_id} if version_id else {}
    try:
        head = client.head_object(Bucket=bucket, Key=key, **which)
    except (ClientError, BotoCoreError) as error:
        rule = rule_for(HEAD_ANSWERS, status_of(error), "") if code_of(error) != "NoSuchBucket" else None
        refusal = head_error(error, bucket=bucket, key=key, version_id=version_id)
        if rule is None or isinstance(refusal, SourceUnavailable):
            raise refusal from error
        reason = SKIPPED[rule.error]
        item = ObjectMeta(
            key=key, size_bytes=0, etag=str(reason), last_modified_s=0, version_id=version_id, unreadable=reason
        )
        return item if reason is SkipReason.ABSENT else _Refused(item, refusal)
    return _object(head, key, version_id)


def _object(head: dict[str, Any], key: str, version_id: str) -> ObjectMeta:
    return ObjectMeta(
        key=key,
        size_bytes=head["ContentLength"],
        etag=etag_value(head["ETag"]),
        last_modified_s=int(head["LastModified"].timestamp()),
        storage_class=head.get("StorageClass") or "STANDARD",
        # 'ongoing-request="false", expiry-date="…"' once a restored copy can be read (S3 API Reference, HeadObject).
        is_restored='ongoing-request="false"' in head.get("Restore", ""),
        version_id=version_id,
        unreadable=SkipReason.ARCHIVED if head.get("ArchiveStatus") else None,
    )
