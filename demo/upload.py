"""Uploads the demo's input to the local S3 with boto3, and checks that S3 lists every object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from demo.input import DemoInput, InputObject

THREADS = 8
MULTIPART_FROM_BYTES = 64 * 1024 * 1024
MULTIPART = TransferConfig(multipart_threshold=MULTIPART_FROM_BYTES, multipart_chunksize=16 * 1024 * 1024)


def s3_client(url: str, access_key_id: str, secret_access_key: str, region: str) -> Any:
    """A boto3 client for an S3 endpoint, whatever the user's own AWS settings are."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        region_name=region,
        config=Config(
            s3={"addressing_style": "path"},
            max_pool_connections=2 * THREADS,
            request_checksum_calculation="when_required",
            proxies={},
        ),
    )


class UploadRefused(Exception):
    """The local S3 does not hold an object that it was given. The message is for the user, a line an object."""


def upload(client: Any, bucket: str, source: DemoInput, on_object: Callable[[int], None]) -> DemoInput:
    """Upload every object; `on_object` gets the size of each. Returns what S3 holds then: a file may have grown since it was
    chosen, and one that can no longer be read is left out. Raises UploadRefused.
    """

    def put(item: InputObject) -> tuple[str, str]:
        try:
            _put(client, bucket, item)
        except (FileNotFoundError, PermissionError) as error:
            return str(error.strerror), ""
        except (ClientError, BotoCoreError, OSError) as error:
            return "", str(error)
        return "", ""

    left_out, refused = list(source.left_out), []
    with cancelling_pool(THREADS) as pool:
        for item, (unreadable, refusal) in zip(source.objects, pool.map(put, source.objects), strict=True):
            if unreadable:
                left_out.append((item.key, f"it could not be read any more: {unreadable}"))
            elif refusal:
                refused.append((item.key, refusal))
            else:
                on_object(item.size_bytes)
    if not refused:
        held = dict(listing(client, bucket))
        unlisted = {item.key for item in source.objects} - held.keys() - {key for key, _ in left_out}
        refused = [(key, "the local S3 accepted it but does not list it under this key") for key in sorted(unlisted)]
    if refused:
        lines = [f"    {key!r}: {reason}" for key, reason in refused]
        raise UploadRefused(
            "\n".join([f"the local S3 does not hold {len(refused)} objects; nothing was copied", *lines])
        )
    objects = tuple(replace(item, size_bytes=held[item.key]) for item in source.objects if item.key in held)
    return DemoInput(objects=objects, left_out=tuple(left_out))


def listing(client: Any, bucket: str, prefix: str = "") -> Iterator[tuple[str, int]]:
    """(key, size in bytes) of every object of a bucket under a prefix."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield entry["Key"], entry["Size"]


@contextmanager
def cancelling_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool that drops calls which have not started when the block ends early, as on Ctrl-C."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _put(client: Any, bucket: str, item: InputObject) -> None:
    arguments = {**item.headers, "Metadata": dict(item.metadata)}
    if item.path is None:
        client.put_object(Bucket=bucket, Key=item.key, Body=b"", **arguments)
    elif item.size_bytes >= MULTIPART_FROM_BYTES:
        client.upload_file(str(item.path), bucket, item.key, ExtraArgs=arguments, Config=MULTIPART)
    else:
        client.put_object(Bucket=bucket, Key=item.key, Body=item.path.read_bytes(), **arguments)
