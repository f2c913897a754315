"""Every refusal that comes through the edge, of S3's and of the edge itself, becomes an error of the engine."""

from __future__ import annotations

import pytest

from refusals import ITEM, S3_HEADERS, answer_of, xml_document
from transfer.backends.cloudfront.source import edge_error
from transfer.errors import (
    BucketMissing,
    CredentialsRejected,
    EdgeBlocked,
    EndpointRejected,
    InvalidName,
    SignatureRejected,
    SourceArchived,
    SourceEncrypted,
    SourceForbidden,
    SourceNotFound,
    SourceUnavailable,
    Throttled,
)

KMS_SAID = b"User: x is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext"


SSE_C_SAID = (
    b"The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the"
    b" object."
)


SIGV4_SAID = b"Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."


WAF_PAGE = b"""<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY><H1>403 ERROR</H1>
<H2>The request could not be satisfied.</H2><HR noshade size="1px">Request blocked.
We can't connect to the server for this app.<BR clear="all"></BODY></HTML>"""


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, xml_document("AccessDenied", b"Access Denied"), SourceForbidden),
        (403, xml_document("AccessDenied", KMS_SAID), SourceEncrypted),
        (400, xml_document("KMS.DisabledException", b"k is disabled."), SourceEncrypted),
        (400, xml_document("KMS.NotFoundException", b"Invalid keyId"), SourceEncrypted),
        (400, xml_document("KMS.ThrottlingException", b"You have exceeded the rate"), Throttled),
        (400, xml_document("InvalidRequest", SSE_C_SAID), SourceEncrypted),
        (400, xml_document("InvalidArgument", SIGV4_SAID), SourceEncrypted),
        (400, xml_document("InvalidRequest", b"something else"), SourceForbidden),
        (403, xml_document("InvalidObjectState"), SourceArchived),
        (404, xml_document("NoSuchBucket"), BucketMissing),
        (405, xml_document("MethodNotAllowed"), SourceNotFound),
        (400, xml_document("RequestTimeout"), SourceUnavailable),
        (503, xml_document("SlowDown"), Throttled),
        (307, xml_document("TemporaryRedirect"), EndpointRejected),
    ],
)
@pytest.mark.parametrize("headers", [S3_HEADERS, {}], ids=["as-it-is", "without-s3s-headers"])
def test_refusals_of_s3_through_the_edge(status: int, body: bytes, kind: type, headers: dict[str, str]) -> None:
    """A response headers policy can take away what only S3's answers bear; their body says it as well."""
    error = edge_error(answer_of(status, headers, body), ITEM)
    assert type(error) is kind
    assert error.message.startswith(f"the edge answered {status} ")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, xml_document("AccessDenied", b"Access denied", by_s3=False), SignatureRejected),
        (403, xml_document("MissingKey", by_s3=False), SignatureRejected),
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
def test_refusals_of_the_edge_itself(status: int, body: bytes, kind: type) -> None:
    error = edge_error(answer_of(status, {"server": "CloudFront"}, body), ITEM)
    assert type(error) is kind
    assert "<" not in error.message
    assert "\n" not in error.message


def test_an_unknown_refusal_keeps_its_own_words() -> None:
    error = edge_error(answer_of(418, {}, b"<h1>I am\na teapot</h1>"), ITEM)
    assert error.message == "the edge answered 418: I am a teapot"


def test_a_cached_error_is_waited_out() -> None:
    headers = {"x-cache": "Error from cloudfront", "age": "3"}
    error = edge_error(answer_of(503, headers, b""), ITEM)
    assert error.retry_after_s == 7
