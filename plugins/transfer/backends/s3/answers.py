"""The engine's errors for S3's refusals and for botocore's own exceptions, once botocore's retries are used up.

S3's error code says more than its status: 400 stands for an expired token, for a body that came too slowly, and for an invalid
request. The answer to a HEAD has no body, and so only a status.
"""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import ConnectionError as ConnectionFailed

from transfer.answers import AnswerRule, Scope, rule_for
from transfer.errors import (
    BucketMissing,
    BucketRefused,
    CredentialsRejected,
    EndpointRejected,
    SourceChanged,
    SourceForbidden,
    SourceListInvalid,
    SourceNotFound,
    SourceUnavailable,
    Stage,
    TransferError,
)

_ERRORS = "Amazon S3 API Reference, Error responses, List of error codes"
_UNREACHED = (HTTPClientError, ConnectionFailed, IncompleteReadError, ResponseStreamingError)

# PERMISSION stands for the permission that the request needs, and the resource that it needs it on.
_GRANT = "allow PERMISSION to the user or role of the AWS connection"
_NO_BUCKET = "there is no such bucket; correct its name"
_RENEW = "the session token of the AWS connection is invalid or has expired: renew it"
_CLOCK = "the time of the request was wrong: set this machine's clock by NTP"
_SUPPORT = "ask AWS Support"
_REGION = (
    "the bucket is in another region or has another address: set region_name in the extra field of the AWS connection"
)

_SCOPES = {
    SourceUnavailable: Scope.PASSING,
    BucketMissing: Scope.BUCKET,
    BucketRefused: Scope.BUCKET,
    EndpointRejected: Scope.BUCKET,
}


def _row(status: int | None, code: str, error: type[TransferError], meaning: str = "") -> AnswerRule:
    scope = _SCOPES.get(error, Scope.ACCOUNT)
    return AnswerRule(status=status, reason=code, scope=scope, error=error, meaning=meaning, source=_ERRORS)


ANSWERS = (
    _row(None, "NoSuchBucket", BucketMissing, _NO_BUCKET),
    _row(None, "InvalidBucketName", BucketMissing, _NO_BUCKET),
    _row(None, "ExpiredToken", CredentialsRejected, _RENEW),
    _row(None, "InvalidToken", CredentialsRejected, _RENEW),
    _row(None, "TokenRefreshRequired", CredentialsRejected, _RENEW),
    _row(
        None,
        "InvalidAccessKeyId",
        CredentialsRejected,
        "S3 does not know the access key id of the AWS connection: correct it",
    ),
    _row(None, "RequestExpired", CredentialsRejected, _CLOCK),
    _row(None, "RequestTimeTooSkewed", CredentialsRejected, _CLOCK),
    _row(
        None,
        "SignatureDoesNotMatch",
        CredentialsRejected,
        "the secret access key of the AWS connection does not belong to its access key id: correct it",
    ),
    _row(None, "AccessDenied", CredentialsRejected, _GRANT),
    _row(None, "AllAccessDisabled", BucketRefused, f"AWS has disabled all access to the bucket: {_SUPPORT}"),
    _row(None, "AccountProblem", CredentialsRejected, f"there is a problem with the AWS account: {_SUPPORT}"),
    _row(None, "NotSignedUp", CredentialsRejected, "the AWS account has not signed up for S3"),
    *(
        _row(None, code, EndpointRejected, _REGION)
        for code in (
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "PermanentRedirect",
        )
    ),
    *(
        _row(None, code, SourceUnavailable)
        for code in (
            "BandwidthLimitExceeded",
            "InternalError",
            "OperationAborted",
            "RequestTimeout",
            "ServiceUnavailable",
            "SlowDown",
            "TemporaryRedirect",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
        )
    ),
    _row(401, "", CredentialsRejected, _GRANT),
    _row(403, "", CredentialsRejected, _GRANT),
    _row(408, "", SourceUnavailable),
    _row(429, "", SourceUnavailable),
)
"""For every request to S3 itself."""

UNKNOWN = _row(None, "", SourceUnavailable)
"""For a code that no rule knows. It costs one attempt of one task, and Airflow starts another attempt."""


def listing_error(error: ClientError | BotoCoreError, *, bucket: str) -> TransferError:
    """The engine's error for a listing of `bucket` that failed."""
    said = f"listing s3://{bucket}: {_described(error)}"
    if code_of(error) == "404":  # of a HEAD, which has no code
        return BucketMissing(f"{said}: {_NO_BUCKET}", stage=Stage.LIST, http_status=status_of(error))
    return _by_table(error, said, f"s3:ListBucket on arn:aws:s3:::{bucket}")


def file_error(error: ClientError | BotoCoreError, *, uri: str) -> TransferError:
    """The engine's error for a file at `uri` (an inventory or a manifest) that could not be read."""
    said, status = f"reading {uri}: {_described(error)}", status_of(error)
    if status == 404 and code_of(error) != "NoSuchBucket":
        return SourceListInvalid(f"{said}: there is no such file; correct source_listing", stage=Stage.LIST)
    if status == 412:
        return SourceChanged(f"{said}: it was replaced while it was being read", stage=Stage.LIST, http_status=status)
    return _by_table(error, said, f"s3:GetObject on {uri.replace('s3://', 'arn:aws:s3:::')}")


def head_error(error: ClientError | BotoCoreError, *, bucket: str, key: str, version_id: str) -> TransferError:
    """The engine's error for the HEAD of one key that failed; an empty `version_id` is the current version."""
    version = f" in version {version_id!r}" if version_id else ""
    said, status = f"asking for {key!r}{version} of s3://{bucket}: {_described(error)}", status_of(error)
    if status == 400 and version_id:
        return SourceListInvalid(
            f"{said}: the version id is invalid, or the session token has expired", stage=Stage.LIST
        )
    permission = "s3:GetObjectVersion" if version_id else "s3:GetObject"
    return _by_table(error, said, f"{permission} on arn:aws:s3:::{bucket}/*")


def sample_error(error: ClientError | BotoCoreError, *, bucket: str) -> TransferError:
    """The engine's error for an object of a sample that could not be read from `bucket`."""
    if not isinstance(error, ClientError):
        return SourceUnavailable(f"reading s3://{bucket}: {error}", stage=Stage.DOWNLOAD)
    code, status = code_of(error), status_of(error)
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


def code_of(error: Exception) -> str:
    """The code of S3's error document; for the answer to a HEAD, its status as text; empty where there was no answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: Exception) -> int | None:
    """The HTTP status of S3's answer; None where there was no answer."""
    if not isinstance(error, ClientError):
        return None
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _by_table(error: ClientError | BotoCoreError, said: str, permission: str) -> TransferError:
    """The error that ANSWERS names. `permission` is what the request needs, such as `s3:ListBucket on arn:aws:s3:::bucket`."""
    kind, meaning = _meaning_of(error)
    said = f"{said}: {meaning.replace('PERMISSION', permission)}" if meaning else said
    return kind(said, stage=Stage.LIST, http_status=status_of(error))


def _meaning_of(error: ClientError | BotoCoreError) -> tuple[type[TransferError], str]:
    """The class of the engine's error, and a text that says what to change; the text is empty where that is unknown."""
    if not isinstance(error, ClientError):
        if isinstance(error, NoCredentialsError):
            return CredentialsRejected, ""
        is_passing = isinstance(error, _UNREACHED) and not isinstance(error, SSLError)
        return (SourceUnavailable if is_passing else EndpointRejected), ""
    status, code = status_of(error), code_of(error)
    if (rule := rule_for(ANSWERS, status, code)) is not None:
        return rule.error, rule.meaning
    if code in ("", str(status)) and status is not None and status < 500:
        return EndpointRejected, ""  # S3 gives a code wherever an answer has a body
    return UNKNOWN.error, ""


def _described(error: ClientError | BotoCoreError) -> str:
    """S3's answer in one line, or botocore's own message where there was no answer."""
    if not isinstance(error, ClientError):
        return str(error)
    status, code = status_of(error), code_of(error)
    if not code or code == str(status):
        return f"S3 answered {status}"
    words = " ".join(str(error.response["Error"].get("Message", "")).split())[:300]
    return f"S3 answered {status} {code}" + (f": {words}" if words else "")
