"""What botocore's errors mean here, once its own retries are used up."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError

from transfer.errors import (
    BucketMissing,
    CredentialsRejected,
    EndpointRejected,
    SourceUnavailable,
    Stage,
    TransferError,
)

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
