"""The source bucket's listing, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError

from transfer.errors import (
    BucketMissing,
    CredentialsRejected,
    EndpointRejected,
    SourceUnavailable,
    Stage,
    TransferError,
)
from transfer.model import ObjectMeta
from transfer.preflight import ListedPage

_RENEW, _CLOCK = "its session token has expired or is none: renew it", "set this machine's clock by NTP"
_CREDENTIAL_CODES = {
    "AccessDenied": "",
    "AllAccessDisabled": "",
    "ExpiredToken": _RENEW,
    "InvalidAccessKeyId": "its access key id is unknown: correct it",
    "InvalidToken": _RENEW,
    "RequestExpired": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": "its secret access key is not the one of its access key id: correct it",
    "403": "",
}
"""What to change in the AWS connection; empty for a permission that is missing."""


def list_objects(client: BaseClient, bucket: str, prefix: str) -> Iterator[ObjectMeta]:
    """The objects under a prefix in byte order; botocore retries. Raises BucketMissing, CredentialsRejected, and so on."""
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, OptionalObjectAttributes=["RestoreStatus"]
    )
    try:
        for page in pages:
            for item in page.get("Contents", ()):
                yield _object(item)
    except (ClientError, BotoCoreError) as error:
        raise s3_error(error, bucket=bucket) from error


def first_page(client: BaseClient, bucket: str, prefix: str) -> ListedPage:
    """The first objects under a prefix, up to 1,000 of them. Raises as `list_objects` does."""
    try:
        page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, OptionalObjectAttributes=["RestoreStatus"])
    except (ClientError, BotoCoreError) as error:
        raise s3_error(error, bucket=bucket) from error
    return ListedPage(
        objects=[_object(item) for item in page.get("Contents", ())],
        date=page["ResponseMetadata"]["HTTPHeaders"].get("date", ""),
    )


def _object(item: dict[str, Any]) -> ObjectMeta:
    restore = item.get("RestoreStatus") or {}
    return ObjectMeta(
        key=item["Key"],
        size_bytes=item["Size"],
        etag=item["ETag"].strip('"'),
        last_modified=int(item["LastModified"].timestamp()),
        storage_class=item.get("StorageClass") or "STANDARD",
        is_restored=not restore.get("IsRestoreInProgress", True) and "RestoreExpiryDate" in restore,
    )


def s3_error(error: ClientError | BotoCoreError, *, bucket: str) -> TransferError:
    """The engine's error for one of botocore's, once botocore's own retries are used up."""
    if not isinstance(error, ClientError):
        unusable = isinstance(error, NoCredentialsError)
        unreachable = isinstance(error, EndpointConnectionError)
        kind: type[TransferError] = (
            CredentialsRejected if unusable else SourceUnavailable if unreachable else EndpointRejected
        )
        return kind(f"listing s3://{bucket}: {error}", stage=Stage.LIST)
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    said = f"listing s3://{bucket}: S3 answered {status} {code}"
    if code in ("NoSuchBucket", "404"):
        return BucketMissing(f"{said}: there is no such bucket; correct its name", stage=Stage.LIST, http_status=status)
    if code in _CREDENTIAL_CODES or status in (401, 403):
        advice = _CREDENTIAL_CODES.get(code) or f"allow s3:ListBucket on arn:aws:s3:::{bucket} to its user or role"
        return CredentialsRejected(
            f"{said}: {advice}",
            stage=Stage.LIST,
            http_status=status,
        )
    if status is not None and (status >= 500 or status == 429):
        return SourceUnavailable(said, stage=Stage.LIST, http_status=status)
    return EndpointRejected(f"{said}: {error}", stage=Stage.LIST, http_status=status)
