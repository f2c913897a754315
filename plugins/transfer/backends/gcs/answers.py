"""The engine's errors for Cloud Storage's refusals.

Reasons are spelled as in the JSON API; the XML API's codes are the same words with a capital letter. 412 `conditionNotMet` is not
among them: it is the answer to a condition, see `GcsClient`.
"""

from __future__ import annotations

import json

from transfer.answers import AnswerRule, Scope, rule_for, xml_code, xml_message
from transfer.backends.http.exchange import Answer
from transfer.errors import (
    BucketMissing,
    BucketRefused,
    CorruptTransfer,
    CredentialsRejected,
    DestinationForbidden,
    DestinationHeld,
    DestinationRefused,
    EndpointRejected,
    InvalidName,
    SinkUnavailable,
    Stage,
    Throttled,
    TokenRefused,
    TooLarge,
    TransferError,
)

JSON_PAGE = "Cloud Storage, HTTP status and error codes for JSON"
XML_PAGE = "Cloud Storage, HTTP status and error codes for XML"
MAX_QUOTED_CHARACTERS = 300


# BUCKET stands for the bucket's name.
PERMISSIONS = (
    "the Google connection needs storage.objects.create, get, list and delete and storage.multipartUploads.create and"
    " abort on BUCKET (roles/storage.objectUser), without a condition that leaves names out"
)
_PAYER = "the requester pays for BUCKET: enter a project to bill as Quota Project ID in the Google connection"
_DAMAGED = "the bytes arrived damaged, and nothing was stored"
_TOO_LARGE = "an object of Cloud Storage has at most 5 TiB"
_KMS = "the default Cloud KMS key of BUCKET cannot be used: check that it is enabled, its location, and who may encrypt with it"


def _rule(
    status: int | None,
    reason: str,
    scope: Scope,
    error: type[TransferError],
    meaning: str = "",
    source: str = JSON_PAGE,
) -> AnswerRule:
    return AnswerRule(status=status, reason=reason, scope=scope, error=error, meaning=meaning, source=source)


RULES = (
    # Passing trouble, whatever its status.
    _rule(None, "rateLimitExceeded", Scope.PASSING, Throttled),
    _rule(None, "userRateLimitExceeded", Scope.PASSING, Throttled),
    _rule(
        None,
        "quotaExceeded",
        Scope.PASSING,
        Throttled,
        "a quota of the project is exhausted for now: if this happens often, ask Google for a larger one",
    ),
    _rule(None, "slowDown", Scope.PASSING, Throttled, source=XML_PAGE),
    _rule(429, "", Scope.PASSING, Throttled),
    _rule(None, "uploadBrokenConnection", Scope.PASSING, SinkUnavailable),
    _rule(None, "requestTimeout", Scope.PASSING, SinkUnavailable, source=XML_PAGE),
    _rule(None, "internalError", Scope.PASSING, SinkUnavailable),
    _rule(408, "", Scope.PASSING, SinkUnavailable),
    _rule(409, "", Scope.PASSING, SinkUnavailable, "another request changed the object at the same moment"),
    _rule(410, "", Scope.PASSING, CorruptTransfer, "this upload has ended and is started again"),
    _rule(400, "badDigest", Scope.PASSING, CorruptTransfer, _DAMAGED, XML_PAGE),
    # One object.
    _rule(
        None,
        "objectUnderActiveHold",
        Scope.OBJECT,
        DestinationHeld,
        "the object at the destination is under a hold and can be neither replaced nor deleted: release the hold",
    ),
    _rule(
        None,
        "retentionPolicyNotMet",
        Scope.OBJECT,
        DestinationHeld,
        "the object at the destination can be neither replaced nor deleted until its retention period has ended",
    ),
    _rule(None, "uploadTooLarge", Scope.OBJECT, TooLarge, _TOO_LARGE),
    _rule(None, "entityTooLarge", Scope.OBJECT, TooLarge, _TOO_LARGE, XML_PAGE),
    _rule(413, "", Scope.OBJECT, TooLarge, _TOO_LARGE),
    _rule(None, "metadataTooLarge", Scope.OBJECT, DestinationRefused, "custom metadata is limited to 8 KiB", XML_PAGE),
    _rule(
        412,
        "orgPolicyConstraintFailed",
        Scope.OBJECT,
        DestinationRefused,
        "a constraint of the organization's policy forbids it, whatever the object's generation",
    ),
    _rule(
        411,
        "",
        Scope.OBJECT,
        DestinationRefused,
        "the request arrived without its Content-Length, which is always sent: check for a proxy in between",
    ),
    # The bucket, its key, its project: the same for every object.
    _rule(400, "userProjectMissing", Scope.BUCKET, BucketRefused, _PAYER),
    _rule(400, "required", Scope.BUCKET, BucketRefused, _PAYER),
    _rule(None, "userProjectInvalid", Scope.BUCKET, BucketRefused, "correct Quota Project ID in the Google connection"),
    _rule(
        None,
        "userProjectInconsistent",
        Scope.BUCKET,
        BucketRefused,
        "the upload was started with another Quota Project ID: keep it the same for a whole run",
    ),
    _rule(
        None,
        "userProjectAccessDenied",
        Scope.BUCKET,
        BucketRefused,
        "grant serviceusage.services.use on the project that is billed (the connection's Quota Project ID)",
    ),
    _rule(
        None,
        "userProjectAccountProblem",
        Scope.BUCKET,
        BucketRefused,
        "the billing account of the project that is billed has a problem: check its billing",
    ),
    *(
        _rule(None, f"cloudKms{what}", Scope.BUCKET, BucketRefused, _KMS)
        for what in (
            "BadKey",
            "CannotChangeKeyName",
            "DecryptionKeyNotFound",
            "DisabledKey",
            "EncryptionKeyNotFound",
            "KeyLocationNotAllowed",
        )
    ),
    _rule(404, "", Scope.BUCKET, BucketMissing, "does BUCKET exist?"),
    # The account.
    _rule(
        403,
        "accountDisabled",
        Scope.ACCOUNT,
        BucketRefused,
        "the account of the project of BUCKET is disabled: check its billing",
    ),
    _rule(
        403,
        "accountProblem",
        Scope.ACCOUNT,
        BucketRefused,
        "the project's account has a problem: check its billing",
        XML_PAGE,
    ),
    _rule(
        403,
        "userAccountProblem",
        Scope.ACCOUNT,
        BucketRefused,
        "the account of the Google connection's user has a problem",
        XML_PAGE,
    ),
    _rule(403, "accessNotConfigured", Scope.ACCOUNT, BucketRefused, "enable the Cloud Storage API in the project"),
    _rule(403, "countryBlocked", Scope.ACCOUNT, BucketRefused, "Cloud Storage does not serve this country"),
    _rule(403, "sslRequired", Scope.ACCOUNT, EndpointRejected, "the endpoint has to begin with https"),
    _rule(401, "", Scope.ACCOUNT, TokenRefused, "check the Google connection's credentials"),
    _rule(
        None,
        "expiredToken",
        Scope.ACCOUNT,
        TokenRefused,
        "check the Google connection's credentials, and this machine's clock",
        XML_PAGE,
    ),
    # About one object (a condition in an IAM policy, a managed folder's policy) or about all: the narrower scope is assumed,
    # and a worker that gets many of these retries an object that it copied before.
    _rule(403, "", Scope.FOLDER, DestinationForbidden, PERMISSIONS),
)

_SERVER = _rule(None, "5xx", Scope.PASSING, SinkUnavailable)
_REDIRECT = _rule(
    None, "3xx", Scope.BUCKET, EndpointRejected, "it is a redirect, which is not followed: check the endpoint"
)
_CHECKSUM = _rule(400, "(checksum)", Scope.PASSING, CorruptTransfer, _DAMAGED)
_NAME = _rule(
    400,
    "(object name)",
    Scope.OBJECT,
    InvalidName,
    "Cloud Storage cannot hold an object of this name",
    "Cloud Storage, Object naming requirements",
)
UNKNOWN = _rule(None, "", Scope.OBJECT, DestinationRefused)
BY_WORDS = (_SERVER, _REDIRECT, _CHECKSUM, _NAME, UNKNOWN)
"""For reasons that no rule knows. `5xx` and `3xx` stand for every such status, and the brackets for words of the message."""


def gcs_error(answer: Answer, *, bucket: str, is_of_bucket: bool = False) -> TransferError:
    """The engine's error for an answer that refuses a request. `is_of_bucket` means that it was not about a single object."""
    status, (message, reason) = answer.status, explained(answer)
    said = f"Cloud Storage answered {status}{f' {reason}' if reason else ''}{f': {message}' if message else ''}"
    rule = rule_for(RULES, status, reason) or _by_words(status, message)
    kind, meaning = rule.error, rule.meaning
    if kind is DestinationForbidden and is_of_bucket:
        kind = CredentialsRejected
    if kind in (DestinationForbidden, CredentialsRejected) and "kms key" in message.lower():
        kind, meaning = BucketRefused, _KMS
    said = f"{said}; {meaning.replace('BUCKET', f'gs://{bucket}')}" if meaning else said
    wait_s = answer.retry_after_s if rule.scope is Scope.PASSING else None
    return kind(said, stage=Stage.UPLOAD, http_status=status, retry_after_s=wait_s)


def explained(answer: Answer) -> tuple[str, str]:
    """The message and the reason of a refusal, the reason spelled as in the JSON API; each is empty where absent."""
    text = answer.text
    try:
        described = json.loads(text)["error"]
        message = str(described["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        reason = xml_code(text)
        message = xml_message(text) or "" if reason else text
    else:
        details = described.get("errors")
        detail = details[0] if isinstance(details, list) and details else None
        reason = str(detail.get("reason") or "") if isinstance(detail, dict) else ""
    reason = reason.rpartition(".")[2][:64]  # `usageLimits.rateLimitExceeded`
    if reason == str(answer.status):
        reason = ""  # some other servers repeat the status as the reason
    if reason == "PreconditionFailed":
        reason = "conditionNotMet"
    return " ".join(message.split())[:MAX_QUOTED_CHARACTERS], reason[:1].lower() + reason[1:]


def _by_words(status: int, message: str) -> AnswerRule:
    """The rule for a refusal whose reason no rule knows, by its status and the words of its message."""
    lowered = message.lower()
    if status >= 500:
        return _SERVER
    if 300 <= status < 400:
        return _REDIRECT
    if status == 400 and any(word in lowered for word in ("crc32c", "md5", "checksum", "hash")):
        return _CHECKSUM
    if status == 400 and "object name" in lowered:
        return _NAME
    return UNKNOWN
