"""Each backend's map from its library's errors to the engine's: complete, and without a URL in any message."""

from __future__ import annotations

import pycurl
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
from google.api_core import exceptions as google_exceptions
from google.auth.exceptions import RefreshError, TransportError
from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError
from google.rpc.error_details_pb2 import ErrorInfo

from transfer.backends.cloudfront.source import edge_error
from transfer.backends.gcs.answers import gcs_error
from transfer.backends.http.exchange import Answer, curl_error
from transfer.backends.pubsub.answers import pubsub_error
from transfer.backends.s3.answers import file_error, head_error, listing_error
from transfer.errors import (
    BucketMissing,
    CredentialsRejected,
    EdgeBlocked,
    EndpointRejected,
    FatalError,
    InvalidName,
    ObjectError,
    QueueRefused,
    RetryableError,
    RunClosed,
    SignatureRejected,
    SinkUnavailable,
    SourceArchived,
    SourceChanged,
    SourceEncrypted,
    SourceForbidden,
    SourceListInvalid,
    SourceNotFound,
    SourceUnavailable,
    Stage,
    Throttled,
    TokenRefused,
    TransferError,
)
from transfer.model import ObjectMeta

ITEM = ObjectMeta(key="k", size_bytes=1, etag="e", last_modified_s=0)


def answer_of(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
    lines = [f"{name}: {value}\r\n".encode() for name, value in (headers or {}).items()]
    return Answer(status=status, header_lines=[b"HTTP/1.1 200\r\n", *lines], body=memoryview(body))


CURL_ERRORS = sorted(
    {value for name, value in vars(pycurl).items() if name.startswith("E_") and isinstance(value, int)}
)


@pytest.mark.parametrize("number", [number for number in CURL_ERRORS if number > 0])
def test_every_libcurl_error_is_mapped(number: int) -> None:
    error = curl_error(pycurl.error(number, "said"), unavailable=SourceUnavailable, stage=Stage.DOWNLOAD)
    assert isinstance(error, SourceUnavailable | EndpointRejected)
    assert "said" in error.message


def test_an_untrusted_certificate_is_fatal_and_a_broken_connection_is_not() -> None:
    for number, kind in ((pycurl.E_PEER_FAILED_VERIFICATION, EndpointRejected), (pycurl.E_RECV_ERROR, SinkUnavailable)):
        assert isinstance(curl_error(pycurl.error(number, ""), unavailable=SinkUnavailable, stage=Stage.UPLOAD), kind)


S3S = {"x-amz-request-id": "1"}


@pytest.mark.parametrize("status", range(300, 600))
def test_every_http_status_is_mapped(status: int) -> None:
    for error, passing in (
        (edge_error(answer_of(status, S3S), ITEM), (408, 429)),
        (gcs_error(answer_of(status), bucket="b"), (401, 408, 409, 410, 429)),
    ):
        assert isinstance(error, RetryableError | ObjectError | FatalError)
        assert error.http_status == status
        assert str(status) in error.message
        assert isinstance(error, RetryableError) == (status >= 500 or status in passing)


KMS_SAID = b"User: x is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext"
SSE_C_SAID = (
    b"The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the"
    b" object."
)
SIGV4_SAID = b"Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."
WAF_PAGE = b"""<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY><H1>403 ERROR</H1>
<H2>The request could not be satisfied.</H2><HR noshade size="1px">Request blocked.
We can't connect to the server for this app.<BR clear="all"></BODY></HTML>"""


def document(code: str, said: bytes = b"", *, by_s3: bool = True) -> bytes:
    end = b"<RequestId>R</RequestId><HostId>H</HostId>" if by_s3 else b""
    return b"<Error><Code>%s</Code><Message>%s</Message>%s</Error>" % (code.encode(), said, end)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, document("AccessDenied", b"Access Denied"), SourceForbidden),
        (403, document("AccessDenied", KMS_SAID), SourceEncrypted),
        (400, document("KMS.DisabledException", b"k is disabled."), SourceEncrypted),
        (400, document("KMS.NotFoundException", b"Invalid keyId"), SourceEncrypted),
        (400, document("KMS.ThrottlingException", b"You have exceeded the rate"), Throttled),
        (400, document("InvalidRequest", SSE_C_SAID), SourceEncrypted),
        (400, document("InvalidArgument", SIGV4_SAID), SourceEncrypted),
        (400, document("InvalidRequest", b"something else"), SourceForbidden),
        (403, document("InvalidObjectState"), SourceArchived),
        (404, document("NoSuchBucket"), BucketMissing),
        (405, document("MethodNotAllowed"), SourceNotFound),
        (400, document("RequestTimeout"), SourceUnavailable),
        (503, document("SlowDown"), Throttled),
        (307, document("TemporaryRedirect"), EndpointRejected),
    ],
)
@pytest.mark.parametrize("headers", [S3S, {}], ids=["as-it-is", "without-s3s-headers"])
def test_answers_of_s3_through_the_edge(status: int, body: bytes, kind: type, headers: dict[str, str]) -> None:
    """A response headers policy can take away what only S3's answers bear; their body says it as well."""
    error = edge_error(answer_of(status, headers, body), ITEM)
    assert type(error) is kind
    assert error.message.startswith(f"the edge answered {status} ")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, document("AccessDenied", b"Access denied", by_s3=False), SignatureRejected),
        (403, document("MissingKey", by_s3=False), SignatureRejected),
        (403, WAF_PAGE, EdgeBlocked),
        (403, b"", EdgeBlocked),
        (401, b"", CredentialsRejected),
        (400, b"Bad request.", SourceForbidden),
        (404, b"", SourceNotFound),
        (413, WAF_PAGE, InvalidName),
        (502, WAF_PAGE, SourceUnavailable),
        (301, b"", EndpointRejected),
        (206, b"", SourceForbidden),
    ],
)
def test_answers_of_the_edges_own(status: int, body: bytes, kind: type) -> None:
    error = edge_error(answer_of(status, {"server": "CloudFront"}, body), ITEM)
    assert type(error) is kind
    assert "<" not in error.message
    assert "\n" not in error.message


def test_an_answer_that_no_rule_knows_keeps_its_own_words() -> None:
    error = edge_error(answer_of(418, {}, b"<h1>I am\na teapot</h1>"), ITEM)
    assert error.message == "the edge answered 418: I am a teapot"


def test_a_cached_error_is_waited_out() -> None:
    headers = {"x-cache": "Error from cloudfront", "age": "3"}
    error = edge_error(answer_of(503, headers, b""), ITEM)
    assert error.retry_after_s == 7


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:17 GMT"}, 20),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 -0000", "date": "Sun, 06 Nov 1994 08:49:17 +0000"}, 20),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "²"}, None),
    ],
)
def test_a_server_may_ask_for_a_wait_in_seconds_or_by_a_date(headers: dict[str, str], wait_s: float | None) -> None:
    for error in (edge_error(answer_of(503, headers, b""), ITEM), gcs_error(answer_of(503, headers, b""), bucket="b")):
        assert (error.retry_after_s or None) == wait_s


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
def test_s3_errors(code: str, status: int, kind: type[TransferError]) -> None:
    raised = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "ListObjectsV2")
    error = listing_error(raised, bucket="b")
    assert isinstance(error, kind)
    assert "s3://b" in error.message


def listing_errors(error) -> list[TransferError]:
    return [
        listing_error(error, bucket="b"),
        file_error(error, uri="s3://b/k"),
        head_error(error, bucket="b", key="k", version_id=""),
    ]


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
def test_errors_of_what_stands_in_place_of_a_listing(code: str, status: int, kind: type[TransferError]) -> None:
    raised = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "HeadObject")
    for error in listing_errors(raised):
        assert type(error) is kind
        assert error.stage is Stage.LIST
        assert f"S3 answered {status} {code}" in error.message


def test_a_file_or_a_version_that_is_none_is_the_persons_to_correct() -> None:
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
def test_what_is_no_answer_of_s3(raised, kind: type[TransferError]) -> None:
    assert [type(error) for error in listing_errors(raised)] == [kind] * 3


@pytest.mark.parametrize(
    ("code", "status"), [("RequestTimeout", 400), ("InternalError", 200), ("ServiceUnavailable", 500)]
)
def test_passing_trouble_of_s3_under_any_status(code: str, status: int) -> None:
    raised = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "ListObjectsV2")
    assert {type(error) for error in listing_errors(raised)} == {SourceUnavailable}


GOOGLE_ERRORS = [
    kind
    for kind in vars(google_exceptions).values()
    if isinstance(kind, type)
    and issubclass(kind, google_exceptions.GoogleAPICallError)
    and getattr(kind, "code", None) is not None
]


@pytest.mark.parametrize("kind", GOOGLE_ERRORS)
def test_every_pubsub_error_is_mapped(kind: type[google_exceptions.GoogleAPICallError]) -> None:
    assert isinstance(pubsub_error(kind("said"), "topic", Stage.MESSAGE), TransferError)


TOPIC, SUBSCRIPTION = "projects/p/topics/t", "projects/p/subscriptions/s"
EXPIRED_IDS = "Some acknowledgement ids in the request were invalid. This could be because they have expired."
DISABLED = ErrorInfo(reason="SERVICE_DISABLED", domain="googleapis.com")


@pytest.mark.parametrize(
    ("raised", "resource", "kind", "said"),
    [
        (google_exceptions.NotFound("x"), TOPIC, RunClosed, "no such topic"),
        (google_exceptions.NotFound("x"), SUBSCRIPTION, RunClosed, "deleted its subscription"),
        (google_exceptions.PermissionDenied("x"), TOPIC, CredentialsRejected, "roles/pubsub.editor"),
        (google_exceptions.PermissionDenied("x", error_info=DISABLED), TOPIC, QueueRefused, "enable the Pub/Sub API"),
        (google_exceptions.Unauthenticated("x"), TOPIC, TokenRefused, "credentials"),
        (RefreshError("x"), TOPIC, CredentialsRejected, "credentials"),
        (RefreshError("x", retryable=True), TOPIC, SinkUnavailable, "access token"),
        (TransportError("x"), TOPIC, SinkUnavailable, "access token"),
        (google_exceptions.ResourceExhausted("x"), TOPIC, Throttled, "quota"),
        (google_exceptions.ServiceUnavailable("x"), TOPIC, SinkUnavailable, "x"),
        (google_exceptions.ServiceUnavailable("Getting metadata from plugin failed"), TOPIC, SinkUnavailable, "token"),
        (google_exceptions.InternalServerError("x"), TOPIC, SinkUnavailable, "x"),
        (google_exceptions.Unknown("x"), TOPIC, SinkUnavailable, "x"),
        (google_exceptions.Aborted("x"), TOPIC, SinkUnavailable, "same moment"),
        (google_exceptions.Cancelled("x"), TOPIC, SinkUnavailable, "broken off"),
        (google_exceptions.DeadlineExceeded("x"), TOPIC, SinkUnavailable, "in time"),
        (TimeoutError(), TOPIC, SinkUnavailable, "in time"),
        (google_exceptions.AlreadyExists("x"), TOPIC, SinkUnavailable, "replaces it"),
        (google_exceptions.FailedPrecondition("x"), TOPIC, QueueRefused, "Cloud KMS key"),
        (google_exceptions.InvalidArgument("x"), TOPIC, QueueRefused, "correct topic"),
        (google_exceptions.InvalidArgument(EXPIRED_IDS), SUBSCRIPTION, SinkUnavailable, "delivered again"),
        (google_exceptions.MethodNotImplemented("x"), TOPIC, EndpointRejected, "not Pub/Sub"),
        (google_exceptions.RetryError("x", google_exceptions.ResourceExhausted("y")), TOPIC, Throttled, "y"),
        (google_exceptions.RetryError("x", None), TOPIC, SinkUnavailable, "x"),
        (MessageTooLargeError("x"), TOPIC, QueueRefused, "larger"),
    ],
)
def test_pubsub_errors_that_matter(raised: Exception, resource: str, kind: type[TransferError], said: str) -> None:
    error = pubsub_error(raised, resource, Stage.MESSAGE)
    assert type(error) is kind
    assert said in error.message
    assert error.message.startswith(f"Pub/Sub, {resource}: ")


@pytest.mark.parametrize("raised", [google_exceptions.OutOfRange("why"), google_exceptions.DataLoss("why")])
def test_what_pubsub_does_not_document_keeps_its_words_and_costs_one_try(
    raised: google_exceptions.GoogleAPICallError,
) -> None:
    error = pubsub_error(raised, TOPIC, Stage.MESSAGE)
    assert isinstance(error, RetryableError)
    assert error.message == f"Pub/Sub, {TOPIC}: {raised.grpc_status_code.name}: why"


def test_what_a_listing_was_never_refused_for_keeps_its_words_and_costs_one_try() -> None:
    said = {"Error": {"Code": "NewCode", "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    for error in listing_errors(ClientError(said, "ListObjectsV2")):
        assert isinstance(error, RetryableError)
        assert error.message.endswith("S3 answered 400 NewCode: why")


def test_no_status_is_said_twice() -> None:
    """An answer to a HEAD has its status as its code; servers of other makes write theirs into the body."""
    for status in (400, 403, 404, 412, 503):
        head = ClientError(
            {"Error": {"Code": str(status), "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "X"
        )
        for error in (
            *listing_errors(head),
            edge_error(answer_of(status, S3S, document(str(status))), ITEM),
            gcs_error(answer_of(status, {}, document(str(status))), bucket="b"),
            pubsub_error(google_exceptions.from_http_status(status, "said"), TOPIC, Stage.SETTLE),
        ):
            assert error.message.count(str(status)) <= 1, error.message
