"""A locked folder fails its own objects; a permission that is missing for all objects ends the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from engine_rig import DESTINATION, STATE_PREFIX, EngineRig, fault
from transfer.backends.gcs.sink import GcsSink
from transfer.errors import (
    CredentialsRejected,
    DestinationForbidden,
    EdgeBlocked,
    Stage,
)
from transfer.stopping import StopRequest


def test_forbidden_objects_in_a_row_end_the_worker_and_do_not_fill_the_error_topic(rig: EngineRig) -> None:
    for index in range(50):
        rig.put(f"{index}")
    body = "<Error><Code>AccessDenied</Code><RequestId>1</RequestId></Error>"
    rig.edge.faults.replace([fault("GET", "status", status=403, body=body, headers={"x-amz-request-id": "1"})])
    rig.open()
    summary = rig.list()
    with pytest.raises(CredentialsRejected, match="different objects in a row"):
        rig.worker(summary).run()
    failures = rig.subscriber.pull(subscription=rig.error_subscription, max_messages=100, return_immediately=True)
    assert not failures.received_messages
    rig.edge.faults.replace([])
    rig.stop = StopRequest()
    assert rig.worker(summary, name="w1").run().copied == 50


LOCKED = {
    "status": 403,
    "body": "<Error><Code>AccessDenied</Code><RequestId>1</RequestId></Error>",
    "headers": {"x-amz-request-id": "1"},
}


def put_three_folders(rig: EngineRig, names: tuple[str, str, str], *, tens: int = 2) -> None:
    for name, count in zip(names, (10 * tens, 15 * tens, 10 * tens), strict=True):
        for index in range(count):
            rig.put(f"{name}/{index:03d}")


def work_with(rig: EngineRig, workers: int) -> None:
    """Run some workers at a time, and raise the error of any of them."""
    rig.open()
    summary = rig.list()
    errors: list[BaseException] = []

    def run(name: str) -> None:
        try:
            rig.worker(summary, name=name).run()
        except Exception as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f"w{index}",)) for index in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    if errors:
        raise errors[0]


@pytest.mark.parametrize(
    ("workers", "names", "tens"),
    [(1, ("a", "locked", "z"), 10), (4, ("m", "a-locked", "z"), 10), (1, ("m", "a-locked", "z"), 2)],
)
def test_only_the_objects_of_a_locked_folder_fail(
    rig: EngineRig, workers: int, names: tuple[str, str, str], tens: int
) -> None:
    put_three_folders(rig, names, tens=tens)
    rig.edge.faults.replace([fault("GET /[^/]*locked/", "status", **LOCKED)])
    work_with(rig, workers)
    check_that_only_that_folder_failed(rig, "SourceForbidden", tens=tens)


def check_that_only_that_folder_failed(rig: EngineRig, code: str, *, tens: int = 2) -> None:
    report = rig.reconcile()
    assert (report.matched, report.failed, report.missing) == (20 * tens, 15 * tens, 0)
    (reason,) = report.unfinished_reasons
    assert (reason.reason, reason.count) == (code, 15 * tens), "one advice for all of them"
    assert reason.advice


KMS = {**LOCKED, "body": "<Error><Code>KMS.DisabledException</Code></Error>"}


FIREWALL = {"status": 403, "body": "<html>Request blocked.</html>", "headers": {"Server": "CloudFront"}}


@pytest.mark.parametrize(("answer", "code"), [(KMS, "SourceEncrypted"), (FIREWALL, "EdgeBlocked")])
def test_only_the_objects_of_a_folder_with_another_key_or_a_firewall_rule_fail(
    rig: EngineRig, answer: dict, code: str
) -> None:
    put_three_folders(rig, ("m", "a-locked", "z"))
    rig.edge.faults.replace([fault("GET /[^/]*locked/", "status", **answer)])
    work_with(rig, 1)
    check_that_only_that_folder_failed(rig, code)


def test_a_firewall_that_blocks_everything_ends_the_worker(rig: EngineRig) -> None:
    for index in range(40):
        rig.put(f"{index:03d}")
    rig.edge.faults.replace([fault("GET", "status", **FIREWALL)])
    with pytest.raises(EdgeBlocked, match="web ACL"):
        work_with(rig, 1)
    rig.edge.faults.replace([])
    rig.stop = StopRequest()
    assert rig.reconcile().failed == 0


def refuse(monkeypatch, is_refused: Callable[[str], bool]) -> None:
    """Let Cloud Storage refuse objects by their names: these stand in bodies, where no fault plan looks."""
    put = GcsSink.put

    def refusing(self, name, *arguments, **keywords):
        if is_refused(name):
            raise DestinationForbidden(f"{name} is locked", stage=Stage.UPLOAD, http_status=403)
        return (yield from put(self, name, *arguments, **keywords))

    monkeypatch.setattr(GcsSink, "put", refusing)


def test_only_the_objects_of_a_locked_folder_of_the_destination_fail(rig: EngineRig, monkeypatch) -> None:
    put_three_folders(rig, ("m", "a-locked", "z"))
    refuse(monkeypatch, lambda name: "locked/" in name)
    work_with(rig, 1)
    check_that_only_that_folder_failed(rig, "DestinationForbidden")
    assert not [blob.name for blob in rig.storage.list_blobs(DESTINATION) if "control" in blob.name]


def test_a_destination_that_refuses_everything_ends_the_worker(rig: EngineRig, monkeypatch) -> None:
    for index in range(40):
        rig.put(f"{index:03d}")
    refuse(monkeypatch, lambda name: not name.startswith(STATE_PREFIX) or "/control/" in name)
    with pytest.raises(CredentialsRejected, match=r"roles/storage.objectUser"):
        work_with(rig, 1)
    rig.stop = StopRequest()
    assert rig.reconcile().failed == 0


def test_a_permission_that_is_revoked_during_a_run_ends_the_worker_soon(rig: EngineRig) -> None:
    for index in range(100):
        rig.put(f"{index:03d}")
    rig.edge.faults.replace([fault("GET", "status", after=50, **LOCKED)])
    with pytest.raises(CredentialsRejected, match="s3:GetObject"):
        work_with(rig, 1)
    rig.stop = StopRequest()  # the next task's
    report = rig.reconcile()
    assert (report.matched, report.failed) == (50, 0), (
        "no failure of a single object is on record, since none is its cause"
    )
    assert "CredentialsRejected" in report.reasons[0].message
