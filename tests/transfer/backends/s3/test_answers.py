"""Every exception of botocore becomes an error of the engine."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from refusals import listing_errors
from transfer.backends.s3.answers import file_error, head_error, listing_error
from transfer.errors import (
    BucketMissing,
    CredentialsRejected,
    EndpointRejected,
    RetryableError,
    SourceChanged,
    SourceListInvalid,
    SourceUnavailable,
    Stage,
    TransferError,
)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchBucket", 404, BucketMissing),
        ("AccessDenied", 403, CredentialsRejected),
        ("SignatureDoesNotMatch", 403, CredentialsRejected),
        ("ExpiredToken", 400, CredentialsRejected),
        ("InternalError", 500, SourceUnavailable),
        ("SlowDown", 503, SourceUnavailable),
        ("PermanentRedirect", 301, EndpointRejected),
    ],
)
def test_an_error_code_of_a_listing_decides(code: str, status: int, kind: type[TransferError]) -> None:
    raised = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "ListObjectsV2")
    error = listing_error(raised, bucket="b")
    assert isinstance(error, kind)
    assert "s3://b" in error.message


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchBucket", 404, BucketMissing),
        ("AccessDenied", 403, CredentialsRejected),
        ("ExpiredToken", 400, CredentialsRejected),
        ("SlowDown", 503, SourceUnavailable),
        ("InternalError", 500, SourceUnavailable),
        ("TooManyRequests", 429, SourceUnavailable),
        ("PermanentRedirect", 301, EndpointRejected),
    ],
)
def test_an_error_code_decides_for_listings_files_and_heads_alike(
    code: str, status: int, kind: type[TransferError]
) -> None:
    raised = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "HeadObject")
    for error in listing_errors(raised):
        assert type(error) is kind
        assert error.stage is Stage.LIST
        assert f"S3 answered {status} {code}" in error.message


def test_an_absent_file_and_an_invalid_version_are_the_users_to_correct() -> None:
    gone = ClientError({"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "HeadObject")
    assert isinstance(file_error(gone, uri="s3://b/k"), SourceListInvalid)
    replaced = ClientError({"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": 412}}, "GetObject")
    assert isinstance(file_error(replaced, uri="s3://b/k"), SourceChanged)
    bad = ClientError({"Error": {"Code": "400"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "HeadObject")
    assert isinstance(head_error(bad, bucket="b", key="k", version_id="x"), SourceListInvalid)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (NoCredentialsError(), CredentialsRejected),
        (EndpointConnectionError(endpoint_url="http://x"), SourceUnavailable),
        (ReadTimeoutError(endpoint_url="http://x"), SourceUnavailable),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), SourceUnavailable),
        (ConnectionClosedError(endpoint_url="http://x"), SourceUnavailable),
        (ConnectTimeoutError(endpoint_url="http://x"), SourceUnavailable),
        (ResponseStreamingError(error="reset"), SourceUnavailable),
        (SSLError(endpoint_url="https://x", error="not trusted"), EndpointRejected),
        (ParamValidationError(report="no such parameter"), EndpointRejected),
    ],
)
def test_exceptions_without_an_answer(raised, kind: type[TransferError]) -> None:
    assert [type(error) for error in listing_errors(raised)] == [kind] * 3


@pytest.mark.parametrize(
    ("code", "status"), [("RequestTimeout", 400), ("InternalError", 200), ("ServiceUnavailable", 500)]
)
def test_passing_trouble_is_recognized_under_any_status(code: str, status: int) -> None:
    raised = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "ListObjectsV2")
    assert {type(error) for error in listing_errors(raised)} == {SourceUnavailable}


def test_an_unknown_code_keeps_its_message_and_costs_one_attempt() -> None:
    said = {"Error": {"Code": "NewCode", "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    for error in listing_errors(ClientError(said, "ListObjectsV2")):
        assert isinstance(error, RetryableError)
        assert error.message.endswith("S3 answered 400 NewCode: why")
