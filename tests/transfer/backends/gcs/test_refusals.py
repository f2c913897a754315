"""A Cloud Storage that refuses requests: how objects, records and whole tasks end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.auth.credentials import Credentials

from engine_rig import DESTINATION, EngineRig, engine_rig, fault
from large_objects import listed
from localcloud.http1 import Exchange, HttpServer
from refusals import json_body
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.gcs.state import GcsState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.http.loop import complete
from transfer.errors import (
    BucketRefused,
    CredentialsRejected,
    DestinationHeld,
    DestinationRefused,
    RetriesExhausted,
    TransferError,
)
from transfer.model import Copied, Failed


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


def test_412_of_a_policy_is_not_a_conflict(rig: EngineRig) -> None:
    rig.gcs.faults.replace([fault("POST /upload", "status", status=412, body=ORG_POLICY)])
    outcome = rig.copy(listed(rig, "a"))
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_code == "DestinationRefused"
    assert "constraint storage.x" in outcome.failure.message


@pytest.mark.parametrize("reason", ["orgPolicyConstraintFailed", "conditionNotMet", ""])
def test_writing_a_record_that_is_always_refused_ends_soon(rig: EngineRig, reason: str) -> None:
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
    assert isinstance(rig.copy(listed(rig, "a")), Copied)
    rig.gcs.faults.replace([fault(".*", "status", status=401, times=4)])
    rig.state().write("report.json", b"x", content_type="text/plain")


def test_a_lasting_401_rejects_the_credentials_after_one_renewal(rig: EngineRig) -> None:
    tokens = Tokens()
    rig.token = GoogleToken(tokens, request=lambda: None)
    rig.gcs.faults.replace([fault(".*", "status", status=401)])
    with pytest.raises(CredentialsRejected, match=r"401.*5 attempts"):
        rig.copy(listed(rig, "a"))
    assert tokens.renewals == 1


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
        assert isinstance(rig.copy(listed(rig, "a")), Copied)
        state = rig.state()
        state.write("x", b"x", content_type="text/plain")
        state.read("x")
        list(state.entries(""))
        state.delete("x")
    finally:
        server._handler = handler
    assert len(asked) >= 5
    assert all((f"userProject={project}" in target) == bool(project) for target, _ in asked)


def test_a_refused_record_ends_the_task(rig: EngineRig) -> None:
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


def test_an_object_under_a_hold_fails_alone_in_copying_and_in_deleting(rig: EngineRig) -> None:
    rig.storage.bucket(DESTINATION).blob("a").upload_from_string(b"older")
    held = rig.storage.bucket(DESTINATION).get_blob("a").generation
    hold(rig, "a", is_held=True)
    try:
        outcome = rig.copy(listed(rig, "a", replaces_generation=held))
        assert isinstance(outcome, Failed)
        assert outcome.failure.error_code == "DestinationHeld"
        with pytest.raises(DestinationHeld, match="release the hold"):
            complete(GcsSink(rig.gcs_client()).delete("a", held), rig.stop)
        assert rig.stored("a") == b"older"
    finally:
        hold(rig, "a", is_held=False)


def test_a_requester_pays_bucket_needs_a_project_to_bill(rig: EngineRig) -> None:
    patch = rig.storage._connection.api_request
    patch(method="PATCH", path=f"/b/{DESTINATION}", data={"billing": {"requesterPays": True}})
    try:
        with pytest.raises(BucketRefused, match="Quota Project ID"):
            rig.copy(listed(rig, "a"))
        rig.user_project = "payer"
        assert isinstance(rig.copy(listed(rig, "a")), Copied)
    finally:
        patch(method="PATCH", path=f"/b/{DESTINATION}", data={"billing": None})
