"""The engine's errors for Pub/Sub's refusals, once the client library's own retries are used up.

A reason is gRPC's name of the status. The brackets distinguish meanings of one status: by the resource of the request, by the
reason that Google's APIs add (google.rpc.ErrorInfo), or by words of the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError

from google.api_core import exceptions as google_exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1.publisher import exceptions as publisher_exceptions

from transfer.answers import AnswerRule, Scope, rule_for
from transfer.backends.gcs.token import is_temporary
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
    # Passing trouble.
    _row(
        429,
        "RESOURCE_EXHAUSTED",
        Scope.TEMPORARY,
        Throttled,
        "a quota of the project is exhausted for now: if this happens often, ask Google for a larger one",
    ),
    _row(
        None,
        "UNAVAILABLE (no token)",
        Scope.TEMPORARY,
        SinkUnavailable,
        f"no access token could be obtained: if this lasts, {_CREDENTIALS}",
        "grpc, AuthMetadataPlugin",
    ),
    _row(503, "UNAVAILABLE", Scope.TEMPORARY, SinkUnavailable),
    _row(500, "INTERNAL", Scope.TEMPORARY, SinkUnavailable),
    _row(None, "UNKNOWN", Scope.TEMPORARY, SinkUnavailable),
    _row(
        504,
        "DEADLINE_EXCEEDED",
        Scope.TEMPORARY,
        SinkUnavailable,
        "no answer arrived in time; the request may have succeeded all the same, and is safe to repeat",
    ),
    _row(499, "CANCELLED", Scope.TEMPORARY, SinkUnavailable, "the request was cancelled before it was answered"),
    _row(409, "ABORTED", Scope.TEMPORARY, SinkUnavailable, "another request changed it at the same moment", _GRPC),
    _row(
        409,
        "ALREADY_EXISTS",
        Scope.TEMPORARY,
        SinkUnavailable,
        "it exists already, perhaps because the answer to an earlier request was lost: the next attempt replaces it",
    ),
    _row(
        400,
        "INVALID_ARGUMENT (acknowledgement ids)",
        Scope.TEMPORARY,
        SinkUnavailable,
        "these messages were held beyond their lease and are delivered again",
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
        "the run was closed while this task was still working, or its subscription was deleted: start another run",
    ),
    _row(404, "NOT_FOUND", Scope.QUEUE, RunClosed, "it does not exist, or the run was closed"),
    _row(
        400,
        "FAILED_PRECONDITION",
        Scope.QUEUE,
        QueueRefused,
        "correct this first: billing of the project, the Cloud KMS key of the topic, or its message storage policy, which may"
        " exclude this region",
    ),
    _row(
        400,
        "INVALID_ARGUMENT",
        Scope.QUEUE,
        QueueRefused,
        "Pub/Sub refuses the value that its message names: correct topic, error_topic or gcp_project",
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
        f"the access token was refused, which can happen temporarily: if this lasts, {_CREDENTIALS}",
    ),
    _row(
        501,
        "UNIMPLEMENTED",
        Scope.ACCOUNT,
        EndpointRejected,
        "the server that answers is not Pub/Sub, or there is a proxy in between",
        "gRPC, HTTP to gRPC Status Code Mapping",
    ),
)
UNKNOWN = _row(None, "", Scope.TEMPORARY, SinkUnavailable)
"""For a refusal that no rule knows. It costs one attempt of one task, and Airflow starts another attempt."""


def pubsub_error(error: Exception, resource: str, stage: Stage) -> TransferError:
    """The engine's error for an exception of the client library; `resource` is the topic or subscription of the request."""
    if isinstance(error, google_exceptions.RetryError) and error.cause is not None:
        error = error.cause
    elif isinstance(error, FutureTimeoutError):
        error = google_exceptions.DeadlineExceeded("no answer")
    code = getattr(error, "grpc_status_code", None)
    words = getattr(error, "message", None) or str(error) or type(error).__name__
    said = f"Pub/Sub, {resource}: {f'{code.name}: ' if code else ''}{words}"
    if isinstance(error, GoogleAuthError):
        kind = SinkUnavailable if is_temporary(error) else CredentialsRejected
        return kind(f"{said}; no access token could be obtained: {_CREDENTIALS}", stage=stage)
    if isinstance(error, publisher_exceptions.MessageTooLargeError):
        return QueueRefused(f"{said}; a message is larger than Pub/Sub accepts", stage=stage)
    rule = _rule(error, resource)
    said = f"{said}; {rule.meaning}" if rule.meaning else said
    return rule.error(said, stage=stage, http_status=getattr(error, "code", None))


def passes(error: Exception) -> bool:
    """Whether an exception is passing trouble, so that the client library may repeat the request by itself."""
    return isinstance(error, google_exceptions.GoogleAPICallError) and _rule(error, "").scope is Scope.TEMPORARY


def _rule(error: Exception, resource: str) -> AnswerRule:
    status = getattr(error, "code", None)
    for reason in _reasons(error, resource):
        if rule := rule_for(RULES, status, reason):
            return rule
    return UNKNOWN


def _reasons(error: Exception, resource: str) -> Iterator[str]:
    """The reasons of an exception as RULES spells them, the most specific first."""
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
