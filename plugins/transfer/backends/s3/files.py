"""Files of an S3 bucket that say what to move, and HEADs of the objects that they name; boto3 signs and retries."""

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
from transfer.backends.s3.answers import code_of, meaning_of, status_of, told
from transfer.errors import (
    SourceChanged,
    SourceListInvalid,
    SourceUnavailable,
    Stage,
    TransferError,
)
from transfer.model import ObjectMeta, SkipReason
from transfer.sources.head_answers import HEAD_ANSWERS, SKIPPED
from transfer.stopping import NEVER, Stop, aside, result_of

PIECE_BYTES = 8 * 1024 * 1024
TRIES = 5
"""Of a piece whose body broke off: botocore tries again only what comes before the body."""
LANES = 32
"""HEADs at a time."""
WINDOW = 4 * LANES
"""HEADs asked for ahead of the one whose turn it is."""
MAX_UNDECIDED = 100_000
"""Keys refused at the beginning of a list before it is taken that S3 will tell of none."""
_BROKEN = (ReadTimeoutError, ResponseStreamingError, IncompleteReadError)


class S3Files:
    """A `FileStore` of one bucket. Raises Stopped, too."""

    def __init__(self, client: BaseClient, bucket: str, *, stop: Stop = NEVER) -> None:
        self.uri = f"s3://{bucket}/"
        self._client = client
        self._bucket = bucket
        self._stop = stop

    def stat(self, name: str) -> int:
        """Its size in bytes."""
        try:
            return self._stat(name)[0]
        except (ClientError, BotoCoreError) as error:
            raise file_error(error, uri=f"{self.uri}{name}") from error

    def copy(self, name: str, write: Callable[[bytes], object]) -> None:
        """In ranges, each of the version that the first one was of."""
        uri = f"{self.uri}{name}"
        try:
            size_bytes, etag = self._stat(name)
            for start in range(0, size_bytes, PIECE_BYTES):
                last = min(start + PIECE_BYTES, size_bytes) - 1
                write(aside(partial(self._piece, name, start, last, etag), self._stop))
        except (ClientError, BotoCoreError) as error:
            raise file_error(error, uri=uri) from error

    def _stat(self, name: str) -> tuple[int, str]:
        head = aside(lambda: self._client.head_object(Bucket=self._bucket, Key=name), self._stop)
        return head["ContentLength"], head["ETag"]

    def _piece(self, name: str, first: int, last: int, etag: str) -> bytes:
        for left in reversed(range(TRIES)):
            answer = self._client.get_object(Bucket=self._bucket, Key=name, Range=f"bytes={first}-{last}", IfMatch=etag)
            try:
                body: bytes = answer["Body"].read()
                return body
            except _BROKEN:
                if not left:
                    raise
                time.sleep(0.1 * 2 ** (TRIES - left))
        raise AssertionError("unreachable")


def head_all(
    client: BaseClient, bucket: str, keys: Iterable[tuple[str, str]], *, lanes: int = LANES, stop: Stop = NEVER
) -> Iterator[ObjectMeta]:
    """What S3 has under each key and version id (empty: the current one), in their order, many asked for at a time.

    One that S3 does not have is ABSENT, and one that it does not tell of FORBIDDEN or ENCRYPTED, as long as it tells of
    others: the last that it told of is asked for again. The client needs as many connections as there are lanes. Raises
    TransferError, also when S3 told of none, and Stopped.
    """
    good: tuple[str, str] | None = None
    undecided: list[_Refused] = []
    """Refused before S3 told of any."""
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
        elif isinstance(aside(partial(_head, client, bucket, *good), stop), _Refused):
            raise answer.error
        else:
            yield answer.item
    if undecided:
        raise undecided[0].error


@dataclass(frozen=True, slots=True)
class _Refused:
    """What S3 does not tell of: by this object's own fault, or by the credentials'."""

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
        pool.shutdown(wait=False, cancel_futures=True)  # botocore waits for minutes, and cannot be broken off


def _head(client: BaseClient, bucket: str, key: str, version_id: str) -> ObjectMeta | _Refused:
    which = {"VersionId": version_id} if version_id else {}
    try:
        head = client.head_object(Bucket=bucket, Key=key, **which)
    except (ClientError, BotoCoreError) as error:
        rule = rule_for(HEAD_ANSWERS, status_of(error), "") if code_of(error) != "NoSuchBucket" else None
        told_as = head_error(error, bucket=bucket, key=key, version_id=version_id)
        if rule is None or isinstance(told_as, SourceUnavailable):
            raise told_as from error
        reason = SKIPPED[rule.error]
        item = ObjectMeta(
            key=key, size_bytes=0, etag=str(reason), last_modified_s=0, version_id=version_id, unreadable=reason
        )
        return item if reason is SkipReason.ABSENT else _Refused(item, told_as)
    return _object(head, key, version_id)


def _object(head: dict[str, Any], key: str, version_id: str) -> ObjectMeta:
    return ObjectMeta(
        key=key,
        size_bytes=head["ContentLength"],
        etag=head["ETag"].strip('"'),
        last_modified_s=int(head["LastModified"].timestamp()),
        storage_class=head.get("StorageClass") or "STANDARD",
        # 'ongoing-request="false", expiry-date="…"' once there is a copy to read (S3 API reference, HeadObject).
        is_restored='ongoing-request="false"' in head.get("Restore", ""),
        version_id=version_id,
        unreadable=SkipReason.ARCHIVED if head.get("ArchiveStatus") else None,
    )


def file_error(error: ClientError | BotoCoreError, *, uri: str) -> TransferError:
    """The engine's error for what happened while a file was read."""
    said, status = f"reading {uri}: {told(error)}", status_of(error)
    if status == 404 and code_of(error) != "NoSuchBucket":
        return SourceListInvalid(f"{said}: there is no such file; correct source_listing", stage=Stage.LIST)
    if status == 412:
        return SourceChanged(f"{said}: it was replaced while it was read", stage=Stage.LIST, http_status=status)
    return _error(error, said, f"s3:GetObject on {uri.replace('s3://', 'arn:aws:s3:::')}")


def head_error(error: ClientError | BotoCoreError, *, bucket: str, key: str, version_id: str) -> TransferError:
    """The engine's error for what happened to the HEAD of an object that a manifest names."""
    version = f" in version {version_id!r}" if version_id else ""
    said, status = f"asking for {key!r}{version} of s3://{bucket}: {told(error)}", status_of(error)
    if status == 400 and version_id:
        return SourceListInvalid(f"{said}: that is no version id, or the session token has expired", stage=Stage.LIST)
    permission = "s3:GetObjectVersion" if version_id else "s3:GetObject"
    return _error(error, said, f"{permission} on arn:aws:s3:::{bucket}/*")


def _error(error: ClientError | BotoCoreError, said: str, permission: str) -> TransferError:
    kind, meaning = meaning_of(error, permission)
    return kind(f"{said}: {meaning}" if meaning else said, stage=Stage.LIST, http_status=status_of(error))
