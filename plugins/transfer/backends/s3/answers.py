"""What S3's answers to a listing, to a HEAD and to a file's GET mean, and what botocore's own errors do.

S3 says more by its code than by its status: 400 is a token that has expired, a body that came too slowly, or no request at
all. An answer to a HEAD has no body, and so only a status.
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
    SourceUnavailable,
    TransferError,
)

_ERRORS = "Amazon S3 API Reference, Error responses, List of error codes"
_UNREACHED = (HTTPClientError, ConnectionFailed, IncompleteReadError, ResponseStreamingError)

# In what the rules say, PERMISSION stands for the permission that the request takes, and on what.
_GRANT = "allow PERMISSION to the user or role of the AWS connection"
_NO_BUCKET = "there is no such bucket; correct its name"
_RENEW = "the session token of the AWS connection has expired or is none: renew it"
_CLOCK = "the time of the request was wrong: set this machine's clock by NTP"
_SUPPORT = "ask AWS Support"
_REGION = (
    "the bucket is in another region, or at another address: set region_name in the extra field of the AWS connection"
)

_SCOPES = {
    SourceUnavailable: Scope.TEMPORARY,
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
        "the AWS connection's access key id is unknown: correct it",
    ),
    _row(None, "RequestExpired", CredentialsRejected, _CLOCK),
    _row(None, "RequestTimeTooSkewed", CredentialsRejected, _CLOCK),
    _row(
        None,
        "SignatureDoesNotMatch",
        CredentialsRejected,
        "the AWS connection's secret access key is not that of its access key id: correct it",
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
"""To whatever is asked of S3 itself."""

UNKNOWN = _row(None, "", SourceUnavailable)
"""A code that no rule knows: the narrowest is one try of one task, and Airflow makes another."""


def meaning_of(error: ClientError | BotoCoreError, permission: str) -> tuple[type[TransferError], str]:
    """The engine's error for one of botocore's, once botocore's own retries are used up, and what to change, if that is known.

    `permission`: what the request takes, such as `s3:ListBucket on arn:aws:s3:::bucket`.
    """
    if not isinstance(error, ClientError):
        if isinstance(error, NoCredentialsError):
            return CredentialsRejected, ""
        is_temporary = isinstance(error, _UNREACHED) and not isinstance(error, SSLError)
        return (SourceUnavailable if is_temporary else EndpointRejected), ""
    status, code = status_of(error), code_of(error)
    if (rule := rule_for(ANSWERS, status, code)) is not None:
        return rule.error, rule.meaning.replace("PERMISSION", permission)
    if code in ("", str(status)) and status is not None and status < 500:
        return EndpointRejected, ""  # S3 gives a code wherever an answer has a body
    return UNKNOWN.error, ""


def told(error: ClientError | BotoCoreError) -> str:
    """What was answered, or what happened instead."""
    if not isinstance(error, ClientError):
        return str(error)
    status, code = status_of(error), code_of(error)
    if not code or code == str(status):
        return f"S3 answered {status}"
    words = " ".join(str(error.response["Error"].get("Message", "")).split())[:300]
    return f"S3 answered {status} {code}" + (f": {words}" if words else "")


def code_of(error: Exception) -> str:
    """The code of S3's error document; of a HEAD, its status."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: Exception) -> int | None:
    """The status of S3's answer, if there was one."""
    if not isinstance(error, ClientError):
        return None
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
