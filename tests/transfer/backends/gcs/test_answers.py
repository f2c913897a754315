"""Refusals of Cloud Storage are read by their reason: what they are about, and what a person is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.auth.credentials import Credentials

from engine_rig import DESTINATION, EngineRig, engine_rig, fault
from large_objects import listed
from localcloud.http1 import Exchange, HttpServer
from transfer.backends.gcs.answers import RULES, explained, gcs_error
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.state import GcsState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.http.exchange import Answer
from transfer.backends.http.loop import complete
from transfer.errors import (
    BucketMissing,
    BucketRefused,
    CorruptTransfer,
    CredentialsRejected,
    DestinationForbidden,
    DestinationHeld,
    DestinationRefused,
    InvalidName,
    RetriesExhausted,
    SinkUnavailable,
    Throttled,
    TokenRefused,
    TooLarge,
    TransferError,
)
from transfer.model import Copied, Failed


def json_body(status: int, reason: str, message: str = "said so") -> bytes:
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return json.dumps({"error": {"code": status, "message": message, "errors": errors}}).encode()


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


def test_a_listing_that_is_forbidden_is_everybodys() -> None:
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


def test_every_rule_names_a_page_and_no_reason_twice() -> None:
    assert all(rule.source and rule.reason[:1] == rule.reason[:1].lower() for rule in RULES)
    assert len({(rule.status, rule.reason) for rule in RULES}) == len(RULES)


# On a server.


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[EngineRig]:
    with pytest.MonkeyPatch.context() as patch, engine_rig(tmp_path_factory.mktemp("rig"), patch.setenv) as made:
        made.put("a")
        yield made


@pytest.fixture
def rig(servers: EngineRig) -> EngineRig:
    servers.gcs.faults.replace([])
    for name in servers.names():
        servers.storage.bucket(DESTINATION).blob(name).delete()
    return replace(servers)


ORG_POLICY = json_body(412, "orgPolicyConstraintFailed", "constraint storage.x").decode()


def test_412_of_a_policy_is_no_conflict(rig: EngineRig) -> None:
    rig.gcs.faults.replace([fault("POST /upload", "status", status=412, body=ORG_POLICY)])
    outcome = rig.move(listed(rig, "a"))
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "DestinationRefused"
    assert "constraint storage.x" in outcome.failure.message


@pytest.mark.parametrize("reason", ["orgPolicyConstraintFailed", "conditionNotMet", ""])
def test_a_record_that_is_refused_whenever_it_is_written_ends_soon(rig: EngineRig, reason: str) -> None:
    """412 of a policy once made a writer of records ask 10,600 times in 3 s."""
    body = json_body(412, reason).decode() if reason else ""
    rig.gcs.faults.replace([fault("POST /upload", "status", status=412, body=body)])
    before = sum(rig.gcs.requests().values())
    with pytest.raises(DestinationRefused if reason.startswith("org") else RetriesExhausted):
        rig.state().write("report.json", b"x", content_type="text/plain")
    assert sum(rig.gcs.requests().values()) - before <= 4 * rig.config.retry.attempts


class Tokens(Credentials):
    def __init__(self) -> None:
        super().__init__()
        self.renewals = 0

    def refresh(self, request: object) -> None:
        self.renewals += 1
        self.token, self.expiry = f"token-{self.renewals}", datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)


@pytest.mark.parametrize("is_anonymous", [True, False])
def test_a_burst_of_401_passes(rig: EngineRig, is_anonymous: bool) -> None:
    if not is_anonymous:
        rig.token = GoogleToken(Tokens(), request=lambda: None)
    rig.gcs.faults.replace([fault(".*", "status", status=401, times=4)])
    assert isinstance(rig.move(listed(rig, "a")), Copied)
    rig.gcs.faults.replace([fault(".*", "status", status=401, times=4)])
    rig.state().write("report.json", b"x", content_type="text/plain")


def test_401_that_lasts_is_of_the_credentials_and_tokens_are_not_asked_for_without_end(rig: EngineRig) -> None:
    tokens = Tokens()
    rig.token = GoogleToken(tokens, request=lambda: None)
    rig.gcs.faults.replace([fault(".*", "status", status=401)])
    with pytest.raises(CredentialsRejected, match=r"401.*5 attempts"):
        rig.move(listed(rig, "a"))
    assert tokens.renewals == 1


def test_a_clock_that_steps_harms_no_token() -> None:
    """Neither is a good one thrown away, nor one that has ended kept."""
    wall_s, clock_s = [time.time()], [1000.0]
    tokens = Tokens()
    token = GoogleToken(tokens, request=lambda: None, clock=lambda: clock_s[0], wall_clock=lambda: wall_s[0])
    assert token() == "token-1"
    for step_s in (-86400.0, 172800.0):
        wall_s[0] += step_s
        assert token() == "token-1"
    wall_s[0] = time.time()
    clock_s[0] += 3500
    assert token() == "token-2"


def test_no_redirect_is_followed(rig: EngineRig) -> None:
    seen: list[str] = []

    def elsewhere(exchange: Exchange) -> None:
        seen.append(exchange.target)
        exchange.send(200)

    other = HttpServer(elsewhere)
    other.start()
    rig.gcs.faults.replace([fault("GET", "status", status=303, headers={"Location": f"{other.url}/stolen"})])
    with pytest.raises(TransferError, match="not followed"):
        rig.state().read("report.json")
    assert seen == []
    other.stop()


@pytest.mark.parametrize("project", ["", "payer"])
def test_the_project_that_pays_is_named_on_every_request(rig: EngineRig, project: str) -> None:
    asked: list[tuple[str, str]] = []
    server = rig.gcs._http
    handler = server._handler

    def recording(exchange: Exchange) -> None:
        asked.append((exchange.target, exchange.headers.get("x-goog-user-project", "")))
        handler(exchange)

    server._handler = recording
    try:
        rig.user_project = project
        assert isinstance(rig.move(listed(rig, "a")), Copied)
        state = rig.state()
        state.write("x", b"x", content_type="text/plain")
        state.read("x")
        list(state.entries(""))
        state.delete("x")
    finally:
        server._handler = handler
    assert len(asked) >= 5
    assert all((f"userProject={project}" in target) == bool(project) for target, _ in asked)


def test_a_record_is_everybodys_affair(rig: EngineRig) -> None:
    state: GcsState = rig.state()
    rig.gcs.faults.replace([fault("POST /upload", "status", status=403, body=json_body(403, "forbidden").decode())])
    with pytest.raises(CredentialsRejected):
        state.write("x", b"x", content_type="text/plain")
    held = json_body(403, "retentionPolicyNotMet").decode()
    rig.gcs.faults.replace([fault("POST /upload|DELETE", "status", status=403, body=held)])
    for act in (lambda: state.write("x", b"x", content_type="text/plain"), lambda: state.delete("x")):
        with pytest.raises(BucketRefused, match="state_bucket"):
            act()


def hold(rig: EngineRig, name: str, *, is_held: bool) -> None:
    blob = rig.storage.bucket(DESTINATION).blob(name)
    blob.temporary_hold = is_held
    blob.patch()


def test_one_object_under_a_hold_fails_alone_in_copying_and_in_deleting(rig: EngineRig) -> None:
    rig.storage.bucket(DESTINATION).blob("a").upload_from_string(b"older")
    held = rig.storage.bucket(DESTINATION).get_blob("a").generation
    hold(rig, "a", is_held=True)
    try:
        outcome = rig.move(listed(rig, "a", replaces_generation=held))
        assert isinstance(outcome, Failed)
        assert outcome.failure.error_code == "DestinationHeld"
        with pytest.raises(DestinationHeld, match="release the hold"):
            complete(GcsSink(rig.gcs_client()).delete("a", held), rig.stop)
        assert rig.stored("a") == b"older"
    finally:
        hold(rig, "a", is_held=False)


@pytest.mark.parametrize("size_bytes", [10, 300_000])
def test_a_content_type_that_is_no_media_type_is_kept_as_it_is(rig: EngineRig, size_bytes: int) -> None:
    rig.put("typed", b"x" * size_bytes, ContentType="jpg")
    assert isinstance(rig.move(listed(rig, "typed")), Copied)
    assert rig.storage.bucket(DESTINATION).get_blob("typed").content_type == "jpg"


@pytest.mark.parametrize("size_bytes", [10, 300_000])
def test_a_header_that_is_refused_is_kept_as_metadata(rig: EngineRig, size_bytes: int) -> None:
    rig.put("spoken", b"x" * size_bytes, ContentLanguage="English (US)", ContentType="text/plain", Metadata={"k": "v"})
    outcome = rig.move(listed(rig, "spoken"))
    assert isinstance(outcome, Copied)
    assert outcome.attempts == 2
    blob = rig.storage.bucket(DESTINATION).get_blob("spoken")
    assert (blob.content_language, blob.content_type) == (None, "text/plain")
    assert (blob.metadata["s3-content-language"], blob.metadata["k"]) == ("English (US)", "v")


def test_a_refusal_that_names_no_header_ends_the_object(rig: EngineRig) -> None:
    body = json_body(400, "invalid", "No.").decode()
    rig.gcs.faults.replace([fault("POST /upload", "status", status=400, body=body)])
    outcome = rig.move(listed(rig, "a"))
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "DestinationRefused"


def test_a_bucket_whose_requester_pays(rig: EngineRig) -> None:
    patch = rig.storage._connection.api_request
    patch(method="PATCH", path=f"/b/{DESTINATION}", data={"billing": {"requesterPays": True}})
    try:
        with pytest.raises(BucketRefused, match="Quota Project ID"):
            rig.move(listed(rig, "a"))
        rig.user_project = "payer"
        assert isinstance(rig.move(listed(rig, "a")), Copied)
    finally:
        patch(method="PATCH", path=f"/b/{DESTINATION}", data={"billing": None})
