"""Every exception of Pub/Sub's client library becomes an error of the engine."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as google_exceptions
from google.auth.exceptions import RefreshError, TransportError
from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError
from google.rpc.error_details_pb2 import ErrorInfo

from transfer.backends.pubsub.answers import pubsub_error
from transfer.errors import (
    CredentialsRejected,
    EndpointRejected,
    QueueRefused,
    RetryableError,
    RunClosed,
    SinkUnavailable,
    Stage,
    Throttled,
    TokenRefused,
    TransferError,
)

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
        (google_exceptions.NotFound("x"), SUBSCRIPTION, RunClosed, "its subscription was deleted"),
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
        (google_exceptions.Cancelled("x"), TOPIC, SinkUnavailable, "cancelled before"),
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
def test_an_error_of_pubsub_says_what_to_change(
    raised: Exception, resource: str, kind: type[TransferError], said: str
) -> None:
    error = pubsub_error(raised, resource, Stage.MESSAGE)
    assert type(error) is kind
    assert said in error.message
    assert error.message.startswith(f"Pub/Sub, {resource}: ")


@pytest.mark.parametrize("raised", [google_exceptions.OutOfRange("why"), google_exceptions.DataLoss("why")])
def test_an_undocumented_error_keeps_its_message_and_costs_one_attempt(
    raised: google_exceptions.GoogleAPICallError,
) -> None:
    error = pubsub_error(raised, TOPIC, Stage.MESSAGE)
    assert isinstance(error, RetryableError)
    assert error.message == f"Pub/Sub, {TOPIC}: {raised.grpc_status_code.name}: why"
