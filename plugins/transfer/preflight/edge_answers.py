"""Interprets the answers of an edge: one table for those of CloudFront itself, one for those of S3 that it passes on.

Headers and codes that only S3 sends distinguish the two. By its status alone, a firewall's 403 looks like a forbidden
object, and an object encrypted with a customer's key looks like an invalid request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from transfer.answers import AnswerRule, Scope, rule_for, xml_code, xml_message
from transfer.errors import (
    BucketMissing,
    CredentialsRejected,
    EdgeBlocked,
    EdgeErrorPage,
    EndpointRejected,
    InvalidName,
    ObjectError,
    SignatureRejected,
    SourceArchived,
    SourceChanged,
    SourceEncrypted,
    SourceForbidden,
    SourceNotFound,
    SourceUnavailable,
    Throttled,
    TransferError,
)

MAX_MESSAGE_CHARACTERS = 200
"""How much of the message in an error body is kept."""
_MARKUP = re.compile(r"<(?:head|style|script)\b.*?</(?:head|style|script)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_S3_HEADERS = ("x-amz-request-id", "x-amz-id-2")
_OK = (200, 206)


def _row(
    status: int | None, reason: str, error: type[TransferError], meaning: str, source: str, scope: Scope = Scope.OBJECT
) -> AnswerRule:
    return AnswerRule(status=status, reason=reason, scope=scope, error=error, meaning=meaning, source=source)


_TROUBLESHOOTING = "AWS Knowledge Center, Troubleshoot 403 errors from CloudFront"
_STATUSES = "CloudFront Developer Guide, How CloudFront processes HTTP 4xx and 5xx status codes from your origin"
_S3_BEHAVIOR = "CloudFront Developer Guide, Request and response behavior for Amazon S3 origins"
_S3_ERRORS = "Amazon S3 API Reference, Error responses"

_TAKE_KEY = "take it from the behaviour's trusted key group"
_SIGNATURE = (
    "CloudFront refused the signature; check that the connection's Private key belongs to its Key pair ID, its Hash algorithm,"
    " and this machine's clock"
)
_BLOCKED = (
    "CloudFront itself blocked the request: a rule of the web ACL (firewall), its rate limit, or a geographic restriction;"
    " let the rules count signed requests instead of blocking them, and let the workers' country through"
)
_LONG = "its URL is too long for the edge"
_ENCRYPTED = "S3 cannot decrypt it for the distribution"

CLOUDFRONT_ANSWERS = (
    _row(
        403,
        "MissingKey",
        SignatureRejected,
        "the distribution requires signed URLs; set the connection's Signing to 'signed', and give Key pair ID and Private key",
        _TROUBLESHOOTING,
        Scope.ACCOUNT,
    ),
    _row(
        403,
        "InvalidKey",
        SignatureRejected,
        f"CloudFront does not know the connection's Key pair ID; {_TAKE_KEY}",
        _TROUBLESHOOTING,
        Scope.ACCOUNT,
    ),
    *(
        _row(403, code, SignatureRejected, _SIGNATURE, _TROUBLESHOOTING, Scope.ACCOUNT)
        for code in ("AccessDenied", "MalformedSignature", "MalformedPolicy")
    ),
    _row(403, "", EdgeBlocked, _BLOCKED, _TROUBLESHOOTING, Scope.TEMPORARY),
    _row(
        401,
        "",
        CredentialsRejected,
        "the edge requires another kind of authentication than signed URLs",
        "RFC 9110, section 15.5.2",
        Scope.ACCOUNT,
    ),
    _row(404, "", SourceNotFound, "it was deleted since the listing", _STATUSES),
    _row(416, "", SourceChanged, "shorter than listed", "RFC 9110, section 15.5.17"),
    _row(413, "", InvalidName, _LONG, _S3_BEHAVIOR),
    _row(414, "", InvalidName, _LONG, "RFC 9110, section 15.5.15"),
    _row(431, "", InvalidName, _LONG, "RFC 6585, section 5"),
    _row(494, "", InvalidName, _LONG, "CloudFront Developer Guide, HTTP 494 status code"),
    _row(429, "", Throttled, "", "RFC 6585, section 4", Scope.TEMPORARY),
    _row(408, "", SourceUnavailable, "", "RFC 9110, section 15.5.9", Scope.TEMPORARY),
)
"""Rules for answers that the edge made itself: they have no header and no code of S3."""

S3_ANSWERS = (
    _row(
        None,
        "NoSuchBucket",
        BucketMissing,
        "the distribution's origin names an S3 bucket that does not exist; correct the distribution's origin",
        _S3_ERRORS,
        Scope.BUCKET,
    ),
    _row(None, "SlowDown", Throttled, "", _S3_ERRORS, Scope.TEMPORARY),
    _row(None, "RequestTimeout", SourceUnavailable, "", _S3_ERRORS, Scope.TEMPORARY),
    _row(None, "InvalidObjectState", SourceArchived, "it is archived; restore it in S3", _S3_ERRORS),
    _row(
        403,
        "AccessDenied (kms)",
        SourceEncrypted,
        f"{_ENCRYPTED}; allow kms:Decrypt on its key to the distribution (cloudfront.amazonaws.com)",
        "Amazon S3 User Guide, Using server-side encryption with AWS KMS keys",
        Scope.FOLDER,
    ),
    _row(None, "KMS.ThrottlingException", Throttled, "KMS receives too many requests", _S3_ERRORS, Scope.TEMPORARY),
    *(
        _row(None, code, SourceUnavailable, "", "AWS KMS API Reference, Decrypt, Errors", Scope.TEMPORARY)
        for code in ("KMS.KMSInternalException", "KMS.DependencyTimeoutException")
    ),
    _row(
        None,
        "KMS",
        SourceEncrypted,
        f"{_ENCRYPTED}; enable its KMS key, and allow kms:Decrypt on it to the distribution",
        "AWS KMS API Reference, Decrypt, Errors",
        Scope.FOLDER,
    ),
    _row(
        400,
        "InvalidRequest (SSE-C)",
        SourceEncrypted,
        f"{_ENCRYPTED}: it was stored with a customer-provided key (SSE-C), which no distribution can send; copy it"
        " onto itself with another encryption",
        "Amazon S3 User Guide, Using server-side encryption with customer-provided keys (SSE-C)",
    ),
    _row(
        400,
        "InvalidArgument (SigV4)",
        SourceEncrypted,
        f"{_ENCRYPTED}; give the distribution's origin an origin access control in place of the origin access identity,"
        " which cannot read SSE-KMS",
        "CloudFront Developer Guide, Restrict access to an Amazon S3 origin",
        Scope.BUCKET,
    ),
    _row(
        403,
        "",
        SourceForbidden,
        "S3 refuses it to the distribution, or it was deleted and may not be listed; allow s3:GetObject to the distribution"
        " in the policy of the bucket, and kms:Decrypt on the key of an SSE-KMS bucket",
        "Amazon S3 API Reference, GetObject, Permissions",
        Scope.FOLDER,
    ),
    _row(404, "", SourceNotFound, "it was deleted since the listing", _S3_ERRORS),
    _row(405, "", SourceNotFound, "this version is a delete marker", "Amazon S3 API Reference, GetObject"),
    _row(416, "", SourceChanged, "shorter than listed", _S3_ERRORS),
    _row(429, "", Throttled, "", _S3_ERRORS, Scope.TEMPORARY),
    _row(408, "", SourceUnavailable, "", _S3_ERRORS, Scope.TEMPORARY),
)
"""Rules for answers that S3 made and the edge passed on. `KMS` stands for every other code that begins with `KMS.`; text in
brackets stands for words in the message."""

_PAGE = _row(
    200,
    "custom error page",
    EdgeErrorPage,
    "this is a page that the distribution shows in place of an error, not an object, so the error itself is hidden; remove"
    " the distribution's custom error responses",
    "CloudFront Developer Guide, Generate custom error responses",
)
_UNAVAILABLE = _row(None, "5xx", SourceUnavailable, "", _STATUSES, Scope.TEMPORARY)
_REDIRECT = _row(
    None,
    "3xx",
    EndpointRejected,
    "it redirects elsewhere; set schema to https, host to the distribution's own domain name, and its origin to the bucket's"
    " own region",
    "CloudFront Developer Guide, How CloudFront processes HTTP 3xx status codes from your origin",
    Scope.BUCKET,
)
UNKNOWN = _row(None, "", SourceForbidden, "", _S3_ERRORS)
ANY_ANSWERS = (_PAGE, _UNAVAILABLE, _REDIRECT, UNKNOWN)
"""Rules for answers that neither table has, whether the edge or S3 made them. `5xx` and `3xx` stand for every such status."""
_CLOUDFRONT_CODES = frozenset(rule.reason for rule in CLOUDFRONT_ANSWERS if rule.reason)


@dataclass(frozen=True, kw_only=True)
class EdgeAnswer:
    """One answer of the edge, and what it means."""

    status: int
    headers: Mapping[str, str]
    """Header names are in lower case."""
    text: str = ""
    """The beginning of the body of an error."""

    @cached_property
    def error_code(self) -> str:
        """The `<Code>` of an XML error body; empty when there is none, or when it only repeats the status."""
        code = xml_code(self.text)
        return code if code != str(self.status) else ""

    @property
    def is_from_origin(self) -> bool:
        """Whether S3 made this answer. A response headers policy may remove S3's headers, but not its codes in the body."""
        return (
            any(name in self.headers for name in _S3_HEADERS)
            or self.headers.get("server", "") == "AmazonS3"
            or bool(self.error_code and ("<HostId>" in self.text or self.error_code not in _CLOUDFRONT_CODES))
        )

    @property
    def is_from_cache(self) -> bool:
        """Whether the edge served it from its cache."""
        kept = self.headers.get("x-cache", "").lower().startswith(("hit", "refreshhit"))
        return kept or self.headers.get("age", "0") != "0"

    @property
    def is_error_page(self) -> bool:
        """Whether it is a page that the distribution shows in place of an error, as if it were the object."""
        return self.status in _OK and self.headers.get("x-cache", "").lower().startswith("error")

    @property
    def words(self) -> str:
        """The message for people in the body, on one line."""
        message = xml_message(self.text)
        text = _MARKUP.sub(" ", self.text) if message is None else message
        return " ".join(text.split())[:MAX_MESSAGE_CHARACTERS]

    @property
    def rule(self) -> AnswerRule | None:
        """The rule for this answer; None for an object or a range of it."""
        if self.status in _OK:
            return _PAGE if self.is_error_page else None
        table = S3_ANSWERS if self.is_from_origin else CLOUDFRONT_ANSWERS
        if found := rule_for(table, self.status, self._reason):
            return found
        return _UNAVAILABLE if self.status >= 500 else _REDIRECT if 300 <= self.status < 400 else UNKNOWN

    @property
    def meaning(self) -> str:
        """What the answer means, for people: the rule's text, or the service's own message where the rule has none."""
        rule = self.rule
        return (rule.meaning if rule else "") or self.words

    @property
    def _reason(self) -> str:
        """The reason by which the tables are searched: the code, with words of the message where a code is ambiguous."""
        code, message = self.error_code, self.words.lower()
        if code == "AccessDenied" and "kms" in message:
            return "AccessDenied (kms)"
        if code == "InvalidRequest" and "server side encryption" in message:
            return "InvalidRequest (SSE-C)"
        if code == "InvalidArgument" and "signature version 4" in message:
            return "InvalidArgument (SigV4)"
        if code.startswith("KMS.") and not any(rule.reason == code for rule in S3_ANSWERS):
            return "KMS"
        return code


def edge_problem(answer: EdgeAnswer) -> str:
    """What is wrong and what to change; empty when the edge let the request through to S3, whatever S3 answered."""
    rule = answer.rule
    if rule is None or answer.is_error_page or (answer.status in (404, 416) and rule.error is not BucketMissing):
        return ""
    if answer.is_from_origin and issubclass(rule.error, ObjectError):
        return ""
    status = f"the edge answered HTTP {answer.status} {answer.error_code}".rstrip()
    return f"{status}: {answer.meaning or 'check the distribution and its origin'}"


def object_problem(answer: EdgeAnswer, bucket: str) -> str:
    """Why a listed object could not be read although the edge let the request through; empty when it was read."""
    if (answer.status in _OK and not answer.is_error_page) or answer.status == 416:
        return ""
    if answer.status == 404:
        return f"S3 does not have it; is s3://{bucket} the origin of this distribution, without an origin path?"
    return f"{answer.meaning} (s3://{bucket})"
