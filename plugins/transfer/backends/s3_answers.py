"""What S3's answers to a listing, to a HEAD and to a file's GET mean, and what botocore's own errors do: one table for all three.

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
from transfer.errors import BucketMissing, CredentialsRejected, EndpointRejected, SourceUnavailable, TransferError

_ERRORS = "Amazon S3 API Reference, Error responses, List of error codes"
_RENEW, _CLOCK = "its session token has expired or is none: renew it", "set this machine's clock by NTP"
_UNREACHED = (HTTPClientError, ConnectionFailed, IncompleteReadError, ResponseStreamingError)


def _row(status: int | None, code: str, error: type[TransferError], meaning: str = "") -> AnswerRule:
    scope = {SourceUnavailable: Scope.PASSING, BucketMissing: Scope.BUCKET}.get(error, Scope.ACCOUNT)
    return AnswerRule(status=status, reason=code, scope=scope, error=error, meaning=meaning, source=_ERRORS)


ANSWERS = (
    _row(None, "NoSuchBucket", BucketMissing, "there is no such bucket; correct its name"),
    _row(None, "ExpiredToken", CredentialsRejected, _RENEW),
    _row(None, "InvalidToken", CredentialsRejected, _RENEW),
    _row(None, "TokenRefreshRequired", CredentialsRejected, _RENEW),
    _row(None, "InvalidAccessKeyId", CredentialsRejected, "its access key id is unknown: correct it"),
    _row(None, "RequestExpired", CredentialsRejected, _CLOCK),
    _row(None, "RequestTimeTooSkewed", CredentialsRejected, _CLOCK),
    _row(
        None,
        "SignatureDoesNotMatch",
        CredentialsRejected,
        "its secret access key is not the one of its access key id: correct it",
    ),
    *(_row(None, code, CredentialsRejected) for code in ("AccessDenied", "AllAccessDisabled", "AccountProblem")),
    *(
        _row(None, code, SourceUnavailable)
        for code in (
            "BandwidthLimitExceeded",
            "InternalError",
            "OperationAborted",
            "RequestTimeout",
            "ServiceUnavailable",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
        )
    ),
    _row(401, "", CredentialsRejected),
    _row(403, "", CredentialsRejected),
    _row(408, "", SourceUnavailable),
    _row(429, "", SourceUnavailable),
)
"""Where the meaning of a refusal is empty, a permission is missing: which one, the request knows."""


def meaning_of(error: ClientError | BotoCoreError) -> tuple[type[TransferError], str]:
    """The engine's error for one of botocore's, once botocore's own retries are used up, and what to change, if that is known."""
    if not isinstance(error, ClientError):
        if isinstance(error, NoCredentialsError):
            return CredentialsRejected, ""
        is_passing = isinstance(error, _UNREACHED) and not isinstance(error, SSLError)
        return (SourceUnavailable if is_passing else EndpointRejected), ""
    status = status_of(error)
    if (rule := rule_for(ANSWERS, status, code_of(error))) is not None:
        return rule.error, rule.meaning
    return (SourceUnavailable if status is not None and status >= 500 else EndpointRejected), ""


def told(error: ClientError | BotoCoreError) -> str:
    """What was answered, or what happened instead."""
    if not isinstance(error, ClientError):
        return str(error)
    status, code = status_of(error), code_of(error)
    if not code or code == str(status):
        return f"S3 answered {status}"
    words = " ".join(str(error.response["Error"].get("Message", "")).split())[:300]
    is_known = rule_for(ANSWERS, status, code) is not None
    return f"S3 answered {status} {code}" + (f": {words}" if words and not is_known else "")


def code_of(error: Exception) -> str:
    """The code of S3's error document; of a HEAD, its status."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: Exception) -> int | None:
    """The status of S3's answer, if there was one."""
    if not isinstance(error, ClientError):
        return None
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
