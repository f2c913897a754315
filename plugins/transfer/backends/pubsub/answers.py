"""What the refusals of Pub/Sub mean, and the engine's error for each, once the client library's own retries are used up.

gRPC names the status. In brackets stands what tells two meanings of one status apart: what the request was about, the
reason that Google's APIs add to it (google.rpc.ErrorInfo), or what its words say.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError

from google.api_core import exceptions as google_exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1.publisher import exceptions as publisher_exceptions

from transfer.answers import AnswerRule, Scope, rule_for
from transfer.backends.gcs.token import is_passing
from transfer.errors import (
    CredentialsRejected,
    EndpointRejected,
    QueueRefused,
    RunClosed,
    SinkUnavailable,
    Stage,
    Throttled,
    TokenRefused,
    TransferError,
)

_CODES = "Pub/Sub, Reference, Error codes"
_GRPC = "gRPC, Status codes and their use in gRPC"
_REASONS = "Google APIs, google/api/error_reason.proto"
_ACK_IDS, _NO_TOKEN = "acknowledgement ids in the request were invalid", "getting metadata from plugin failed"
_CREDENTIALS = "check the Google connection's credentials"


def _row(
    status: int | None, reason: str, scope: Scope, error: type[TransferError], meaning: str = "", source: str = _CODES
) -> AnswerRule:
    return AnswerRule(status=status, reason=reason, scope=scope, error=error, meaning=meaning, source=source)


RULES = (
    # What passes.
    _row(
        429,
        "RESOURCE_EXHAUSTED",
        Scope.PASSING,
        Throttled,
        "a quota of the project is used up for now: if it happens often, ask Google for a larger one",
    ),
    _row(
        None,
        "UNAVAILABLE (no token)",
        Scope.PASSING,
        SinkUnavailable,
        f"no access token could be had: if this does not pass, {_CREDENTIALS}",
        "grpc, AuthMetadataPlugin",
    ),
    _row(503, "UNAVAILABLE", Scope.PASSING, SinkUnavailable),
    _row(500, "INTERNAL", Scope.PASSING, SinkUnavailable),
    _row(None, "UNKNOWN", Scope.PASSING, SinkUnavailable),
    _row(
        504,
        "DEADLINE_EXCEEDED",
        Scope.PASSING,
        SinkUnavailable,
        "no answer came in time, and what was asked may have been done all the same: it is safe to ask again",
    ),
    _row(499, "CANCELLED", Scope.PASSING, SinkUnavailable, "the request was broken off before it was answered"),
    _row(409, "ABORTED", Scope.PASSING, SinkUnavailable, "something else changed it at the same moment", _GRPC),
    _row(
        409,
        "ALREADY_EXISTS",
        Scope.PASSING,
        SinkUnavailable,
        "it is there already, perhaps because the answer to a first request was lost: the next try replaces it",
    ),
    _row(
        400,
        "INVALID_ARGUMENT (acknowledgement ids)",
        Scope.PASSING,
        SinkUnavailable,
        "these messages were held for too long and are delivered again",
        "Pub/Sub, Exactly-once delivery",
    ),
    # A topic or a subscription.
    _row(
        404,
        "NOT_FOUND (topic)",
        Scope.QUEUE,
        RunClosed,
        "there is no such topic: create it, or allow pubsub.topics.create to the Google connection and clear the task open_run",
    ),
    _row(
        404,
        "NOT_FOUND (subscription)",
        Scope.QUEUE,
        RunClosed,
        "the run was closed while this task still worked, or somebody deleted its subscription: start another run",
    ),
    _row(404, "NOT_FOUND", Scope.QUEUE, RunClosed, "it does not exist, or the run was closed"),
    _row(
        400,
        "FAILED_PRECONDITION",
        Scope.QUEUE,
        QueueRefused,
        "something has to be set right first: billing of the project, the Cloud KMS key of the topic, or its message storage"
        " policy, which may keep this region out",
    ),
    _row(
        400,
        "INVALID_ARGUMENT",
        Scope.QUEUE,
        QueueRefused,
        "Pub/Sub does not take what its words name: correct topic, error_topic or gcp_project",
    ),
    # The account.
    _row(
        403,
        "PERMISSION_DENIED (SERVICE_DISABLED)",
        Scope.ACCOUNT,
        QueueRefused,
        "enable the Pub/Sub API in the project",
        _REASONS,
    ),
    _row(
        403,
        "PERMISSION_DENIED (BILLING_DISABLED)",
        Scope.ACCOUNT,
        QueueRefused,
        "enable billing for the project",
        _REASONS,
    ),
    _row(
        403,
        "PERMISSION_DENIED",
        Scope.ACCOUNT,
        CredentialsRejected,
        "the Google connection needs roles/pubsub.editor, or the permissions listed in docs/set-up-gcp.md",
    ),
    _row(
        401,
        "UNAUTHENTICATED",
        Scope.ACCOUNT,
        TokenRefused,
        f"the access token was not taken, as happens in passing: if it stays so, {_CREDENTIALS}",
    ),
    _row(
        501,
        "UNIMPLEMENTED",
        Scope.ACCOUNT,
        EndpointRejected,
        "what answers here is not Pub/Sub, or a proxy stands in between",
        "gRPC, HTTP to gRPC Status Code Mapping",
    ),
)
UNKNOWN = _row(None, "", Scope.PASSING, SinkUnavailable)
"""Of the queue, the narrowest is one try of one task: Airflow makes another."""


def pubsub_error(error: Exception, resource: str, stage: Stage) -> TransferError:
    """The engine's error for one of the client library's about a topic or subscription."""
    if isinstance(error, google_exceptions.RetryError) and error.cause is not None:
        error = error.cause
    elif isinstance(error, FutureTimeoutError):
        error = google_exceptions.DeadlineExceeded("no answer")
    code = getattr(error, "grpc_status_code", None)
    words = getattr(error, "message", None) or str(error) or type(error).__name__
    said = f"Pub/Sub, {resource}: {f'{code.name}: ' if code else ''}{words}"
    if isinstance(error, GoogleAuthError):
        kind = SinkUnavailable if is_passing(error) else CredentialsRejected
        return kind(f"{said}; no access token could be had: {_CREDENTIALS}", stage=stage)
    if isinstance(error, publisher_exceptions.MessageTooLargeError):
        return QueueRefused(f"{said}; a message is larger than Pub/Sub takes", stage=stage)
    rule = _rule(error, resource)
    said = f"{said}; {rule.meaning}" if rule.meaning else said
    return rule.error(said, stage=stage, http_status=getattr(error, "code", None))


def passes(error: Exception) -> bool:
    """Whether the client library may ask again by itself."""
    return isinstance(error, google_exceptions.GoogleAPICallError) and _rule(error, "").scope is Scope.PASSING


def _rule(error: Exception, resource: str) -> AnswerRule:
    status = getattr(error, "code", None)
    for reason in _reasons(error, resource):
        if rule := rule_for(RULES, status, reason):
            return rule
    return UNKNOWN


def _reasons(error: Exception, resource: str) -> Iterator[str]:
    """As the table has them, the most particular first."""
    code = getattr(error, "grpc_status_code", None)
    if code is None:
        return
    said = str(error).lower()
    about = "topic" if "/topics/" in resource else "subscription" if "/subscriptions/" in resource else ""
    for detail, is_so in (
        (getattr(error, "reason", None), True),
        ("acknowledgement ids", _ACK_IDS in said),
        ("no token", _NO_TOKEN in said),
        (about, True),
    ):
        if detail and is_so:
            yield f"{code.name} ({detail})"
    yield code.name
