"""What botocore's errors mean to a listing, once its own retries are used up."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from transfer.backends.s3.answers import code_of, meaning_of, status_of, told
from transfer.errors import BucketMissing, Stage, TransferError


def s3_error(error: ClientError | BotoCoreError, *, bucket: str) -> TransferError:
    """The engine's error for one of botocore's."""
    kind, meaning = meaning_of(error, f"s3:ListBucket on arn:aws:s3:::{bucket}")
    if code_of(error) == "404":  # of a HEAD, which has no code
        kind, meaning = BucketMissing, "there is no such bucket; correct its name"
    said = f"listing s3://{bucket}: {told(error)}"
    return kind(f"{said}: {meaning}" if meaning else said, stage=Stage.LIST, http_status=status_of(error))
