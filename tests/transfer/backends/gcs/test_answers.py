"""Cloud Storage's refusals become errors of the engine by their reason."""

from __future__ import annotations

import pytest

from refusals import json_body
from transfer.backends.gcs.answers import RULES, explained, gcs_error
from transfer.backends.http.exchange import Answer
from transfer.errors import (
    BucketMissing,
    BucketRefused,
    CorruptTransfer,
    CredentialsRejected,
    DestinationForbidden,
    DestinationHeld,
    DestinationRefused,
    InvalidName,
    SinkUnavailable,
    Throttled,
    TokenRefused,
    TooLarge,
    TransferError,
)


def xml_body(code: str, message: str = "said so") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def error_of(status: int, body: bytes, *, is_of_bucket: bool = False) -> TransferError:
    answer = Answer(status=status, header_lines=[], body=memoryview(body))
    return gcs_error(answer, bucket="b", is_of_bucket=is_of_bucket)


CASES = [
    (403, "objectUnderActiveHold", DestinationHeld, "release the hold"),
    (403, "retentionPolicyNotMet", DestinationHeld, "retention period"),
    (403, "rateLimitExceeded", Throttled, ""),
    (403, "usageLimits.rateLimitExceeded", Throttled, ""),
    (403, "userRateLimitExceeded", Throttled, ""),
    (403, "quotaExceeded", Throttled, "quota"),
    (403, "accountDisabled", BucketRefused, "billing"),
    (403, "UserProjectAccessDenied", BucketRefused, "serviceusage.services.use"),
    (403, "forbidden", DestinationForbidden, "storage.objects.create"),
    (403, "insufficientPermissions", DestinationForbidden, "storage.objects.create"),
    (403, "", DestinationForbidden, "gs://b"),
    (401, "authError", TokenRefused, "credentials"),
    (400, "required", BucketRefused, "Quota Project ID"),
    (400, "userProjectMissing", BucketRefused, "Quota Project ID"),
    (400, "cloudKmsDisabledKey", BucketRefused, "Cloud KMS key"),
    (400, "invalid", DestinationRefused, "said so"),
    (400, "somethingNew", DestinationRefused, "said so"),
    (404, "notFound", BucketMissing, "gs://b exist?"),
    (409, "conflict", SinkUnavailable, ""),
    (411, "", DestinationRefused, "Content-Length"),
    (412, "orgPolicyConstraintFailed", DestinationRefused, "policy"),
    (412, "somethingNew", DestinationRefused, "said so"),
    (413, "uploadTooLarge", TooLarge, ""),
    (418, "somethingNew", DestinationRefused, "said so"),
]


@pytest.mark.parametrize(("status", "reason", "kind", "said"), CASES)
def test_a_reason_decides(status: int, reason: str, kind: type[TransferError], said: str) -> None:
    code = reason.rpartition(".")[2]
    for body in (json_body(status, reason), xml_body(code[:1].upper() + code[1:])):
        error = error_of(status, body)
        assert type(error) is kind
        assert said in error.message
        assert "said so" in error.message  # the service's own words are never lost


def test_words_decide_where_there_is_no_reason() -> None:
    assert type(error_of(400, json_body(400, "invalid", "Disallowed object name"))) is InvalidName
    assert type(error_of(400, json_body(400, "invalid", "Provided CRC32C does not match"))) is CorruptTransfer
    assert type(error_of(400, xml_body("BadDigest"))) is CorruptTransfer
    denied = error_of(403, json_body(403, "forbidden", "Permission denied on Cloud KMS key."))
    assert type(denied) is BucketRefused
    assert "default Cloud KMS key of gs://b" in denied.message


def test_a_forbidden_listing_rejects_the_credentials() -> None:
    assert type(error_of(403, json_body(403, "forbidden"), is_of_bucket=True)) is CredentialsRejected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"error": 5}',
        b'{"error": {"message": 5}}',
        b'{"error": {"message": "", "errors": [7]}}',
        b'{"error": {"message": "m", "errors": [{"reason": ["x"]}]}}',
        b"[" * 60_000,
        b"\xff<Code>",
        b"<html>no</html>",
    ],
)
def test_a_body_may_be_anything(body: bytes) -> None:
    assert type(error_of(403, body)) is DestinationForbidden
    assert "\n" not in explained(Answer(status=403, header_lines=[], body=memoryview(b"a\nb")))[0]


def test_every_rule_names_its_source_and_is_unique() -> None:
    assert all(rule.source and rule.reason[:1] == rule.reason[:1].lower() for rule in RULES)
    assert len({(rule.status, rule.reason) for rule in RULES}) == len(RULES)
