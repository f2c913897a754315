"""What the errors of all backends have in common: every status is mapped, a requested wait is kept, nothing is repeated."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
)
from google.api_core import exceptions as google_exceptions

from refusals import ITEM, S3_HEADERS, answer_of, listing_errors, xml_document
from transfer.backends.cloudfront.source import edge_error
from transfer.backends.gcs.answers import gcs_error
from transfer.backends.pubsub.answers import pubsub_error
from transfer.errors import (
    FatalError,
    ObjectError,
    RetryableError,
    Stage,
)


@pytest.mark.parametrize("status", range(300, 600))
def test_every_http_status_is_mapped(status: int) -> None:
    for error, passing in (
        (edge_error(answer_of(status, S3_HEADERS), ITEM), (408, 429)),
        (gcs_error(answer_of(status), bucket="b"), (401, 408, 409, 410, 429)),
    ):
        assert isinstance(error, RetryableError | ObjectError | FatalError)
        assert error.http_status == status
        assert str(status) in error.message
        assert isinstance(error, RetryableError) == (status >= 500 or status in passing)


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
def test_a_server_may_ask_for_a_wait_in_seconds_or_until_a_date(headers: dict[str, str], wait_s: float | None) -> None:
    for error in (edge_error(answer_of(503, headers, b""), ITEM), gcs_error(answer_of(503, headers, b""), bucket="b")):
        assert (error.retry_after_s or None) == wait_s


TOPIC, SUBSCRIPTION = "projects/p/topics/t", "projects/p/subscriptions/s"


def test_no_status_is_repeated_in_a_message() -> None:
    """An answer to a HEAD has its status as its code; servers of other makes write theirs into the body."""
    for status in (400, 403, 404, 412, 503):
        head = ClientError(
            {"Error": {"Code": str(status), "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "X"
        )
        for error in (
            *listing_errors(head),
            edge_error(answer_of(status, S3_HEADERS, xml_document(str(status))), ITEM),
            gcs_error(answer_of(status, {}, xml_document(str(status))), bucket="b"),
            pubsub_error(google_exceptions.from_http_status(status, "said"), TOPIC, Stage.SETTLE),
        ):
            assert error.message.count(str(status)) <= 1, error.message
