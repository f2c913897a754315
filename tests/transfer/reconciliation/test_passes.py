"""Passes over a run, without Airflow: objects are published again, reasons are kept, and replays copy what is unfinished."""

from __future__ import annotations

import csv
import io
import json

import pytest

from engine_rig import DESTINATION, PROJECT, STATE_PREFIX, EngineRig, engine_rig, fault
from memory_state import MemoryState
from transfer.backends.gcs.state import GcsState
from transfer.config import Overwrite
from transfer.errors import RunUnknown, SignatureRejected
from transfer.reconciliation.passes import Republished, round_name
from transfer.reconciliation.report import FailuresFile, ReconciliationReport, read_report
from transfer.reconciliation.verdicts import Pass
from transfer.records.messages import decode_request
from transfer.records.run_record import RunRecord
from transfer.sources.replay import unfinished_objects
from transfer.stopping import StopRequest

DOWN = {"status": 503}
GONE = {"status": 404, "body": "<Error><Code>NoSuchKey</Code></Error>"}


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    monkeypatch.setattr("transfer.reconciliation.failures.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def first_pass(rig: EngineRig, keys, faults, **listing) -> tuple[ReconciliationReport, Republished]:
    for key in keys:
        rig.put(key)
    rig.open()
    rig.edge.faults.replace(faults)
    rig.worker(rig.list(**listing)).run()
    rig.edge.faults.replace([])
    return rig.one_pass(Pass.FIRST)


def finish(rig: EngineRig, published, *, attempt: int = 1) -> ReconciliationReport:
    """The retries, and the final pass."""
    rig.worker(published, name="r0", listing=round_name("1", attempt, Pass.FIRST)).run()
    return rig.reconcile(attempt=attempt)


def outcomes(report: ReconciliationReport) -> dict[str, tuple[str, ...]]:
    return {reason.reason: reason.samples for reason in report.reasons}


def test_a_retry_copies_what_it_can_and_the_rest_keeps_its_reason(rig: EngineRig) -> None:
    keys = ["fine-1", "fine-2", "down", "gone", ".well-known/acme-challenge/x"]
    report, published = first_pass(
        rig, keys, [fault("/down", "status", **DOWN), fault("/gone", "status", **GONE)], overwrite=Overwrite.CHANGED
    )
    assert (report.matched, report.failed, report.republished, report.is_final) == (2, 3, 1, False)
    assert (published.objects, published.messages) == (1, 1)
    lists_before = rig.s3_lists()

    final = finish(rig, published)

    assert rig.s3_lists() == lists_before
    assert rig.names() == ["down", "fine-1", "fine-2"]
    assert (final.listed, final.matched, final.failed, final.missing, final.is_final) == (5, 3, 2, 0, True)
    assert outcomes(final) == {"SourceNotFound": ("gone",), "InvalidName": (".well-known/acme-challenge/x",)}
    assert all(reason.message for reason in final.reasons)  # the first pass read and acked them, and kept them
    assert rig.report() == final
    rows = {row["key"]: row for row in csv.DictReader(io.StringIO(rig.state().read("failures.csv").decode()))}
    assert set(rows) == {"gone", ".well-known/acme-challenge/x"}
    assert (rows["gone"]["reason"], rows["gone"]["http_status"], rows["gone"]["stage"]) == (
        "SourceNotFound",
        "404",
        "download",
    )


def test_a_republished_message_has_its_attempt_and_the_objects_as_listed(rig: EngineRig) -> None:
    rig.put("cold", b"x", StorageClass="STANDARD_IA")
    _, published = first_pass(rig, [], [fault("/cold", "status", **DOWN)])
    (received,) = rig.subscriber.pull(subscription=rig.subscription, max_messages=5).received_messages
    request = decode_request(received.message.data, received.message.attributes)
    assert (request.attempt, request.listing, request.number) == (2, "1.001", 0)
    (item,) = request.objects
    assert (item.key, item.storage_class, item.replaces_generation) == ("cold", "STANDARD_IA", 0)
    assert item.last_modified_s > 1_600_000_000
    assert published.messages == 1


def test_messages_that_no_worker_took_are_published_again(rig: EngineRig) -> None:
    for index in range(70):
        rig.put(f"{index:02d}")
    rig.open()
    rig.list()
    report, published = rig.one_pass(Pass.FIRST)
    assert (report.missing, published.objects) == (70, 70)
    assert finish(rig, published).is_green


def test_objects_that_a_fatal_error_held_up_are_not_retried_and_say_why(rig: EngineRig) -> None:
    rig.put("a")
    rig.open()
    summary = rig.list()
    rig.edge.faults.replace([fault("GET", "status", status=403, body="<Error><Code>InvalidKey</Code></Error>")])
    with pytest.raises(SignatureRejected):
        rig.worker(summary).run()
    rig.stop = StopRequest()  # the next task's
    report, published = rig.one_pass(Pass.FIRST)
    assert (report.missing, report.is_final, published.objects) == (1, True, 0)
    assert report.reasons[0].message.startswith("SignatureRejected: ")
    assert "Signature=" not in report.reasons[0].message


def test_without_its_manifest_a_run_cannot_be_verified(rig: EngineRig) -> None:
    first_pass(rig, ["a", "b"], [fault("/b", "status", **GONE)])
    for entry in list(rig.state().entries("manifest/")):
        rig.state().delete(entry.name)
    with pytest.raises(RunUnknown, match=r"2 objects were listed, but the manifest .* names 0"):
        rig.one_pass(Pass.REPLAY, attempt=2, is_reopened=True)
    assert rig.report().listed == 2


def test_a_run_without_failures_is_final_at_once(rig: EngineRig) -> None:
    report, published = first_pass(rig, ["a", "b"], [])
    assert (report.is_green, report.is_final, published.objects) == (True, True, 0)
    assert rig.state().read("failures.csv").decode().splitlines() == [",".join(FailuresFile.COLUMNS)]


def test_an_object_that_somebody_else_wrote_survives_the_retry_and_only_a_replay_overwrites_it(rig: EngineRig) -> None:
    rig.put("k", b"ours")
    rig.open()
    rig.list()  # but no worker takes it
    rig.storage.bucket(DESTINATION).blob("k").upload_from_string(b"theirs")

    report, published = rig.one_pass(Pass.FIRST)
    assert (report.differing, published.objects) == (1, 1)
    final = finish(rig, published)
    assert outcomes(final) == {"DestinationConflict": ("k",)}
    assert rig.stored("k") == b"theirs"

    _, published = rig.one_pass(Pass.REPLAY, attempt=2, may_replace=False, is_reopened=True)
    assert not finish(rig, published, attempt=2).is_green
    assert rig.stored("k") == b"theirs"
    _, published = rig.one_pass(Pass.REPLAY, attempt=3, is_reopened=True)
    assert finish(rig, published, attempt=3).is_green
    assert rig.stored("k") == b"ours"


def test_a_replay_publishes_exactly_the_unfinished_objects(rig: EngineRig) -> None:
    keys = [f"fine-{index}" for index in range(20)]
    rig.put("gone")
    rig.put("refused")
    refused = fault("/refused", "status", status=403, body="<Error><Code>Whatever</Code></Error>")
    report, _ = first_pass(rig, keys, [fault("/gone", "status", **GONE), refused])
    assert (report.failed, report.republished) == (2, 0)
    gets_before, lists_before = rig.edge.requests()["GET object 200"], rig.s3_lists()

    report, published = rig.one_pass(Pass.REPLAY, attempt=2, is_reopened=True)
    assert (report.republished, published.objects) == (2, 2)
    assert finish(rig, published, attempt=2).is_green
    assert rig.edge.requests()["GET object 200"] - gets_before == 2
    assert rig.s3_lists() == lists_before


def test_another_run_copies_only_what_an_earlier_run_left(rig: EngineRig) -> None:
    first_pass(rig, ["a", "b", "c"], [fault("/b", "status", **GONE)])
    here = RunRecord(run_id="run-1", source_bucket="s", source_prefix="", destination_bucket="d", destination_prefix="")
    here.write(rig.state())
    assert [item.key for item in unfinished_objects(rig.state(), run="run-1", now=here)] == ["b"]

    elsewhere = RunRecord(
        run_id="run-2", source_bucket="s", source_prefix="x/", destination_bucket="d", destination_prefix=""
    )
    with pytest.raises(RunUnknown, match="same buckets and prefixes"):
        unfinished_objects(rig.state(), run="run-1", now=elsewhere)
    with pytest.raises(RunUnknown, match=r"'run-0'.*no records"):
        unfinished_objects(MemoryState(), run="run-0", now=here)


def test_the_report_comes_back_from_its_record(rig: EngineRig) -> None:
    report, _ = first_pass(rig, ["gone"], [fault("/gone", "status", **GONE)])
    assert read_report(rig.state()) == report
    document = json.loads(rig.state().read("report.json"))
    assert document["listed"] == document["failed"] == 1


def test_a_record_is_replaced_and_removed(rig: EngineRig) -> None:
    """Cloud Storage does what the tests' MemoryState does."""
    one, other = rig.state(), rig.state()
    for state, body in ((one, b"1"), (one, b"2"), (other, b"3"), (one, b"4")):
        state.write("r", body, content_type="text/plain", metadata={"n": body.decode()})
        assert other.read("r") == body
    assert [(entry.name, entry.metadata) for entry in one.entries("r")] == [("r", {"n": "4"})]
    one.delete("r")
    one.delete("r")
    assert list(other.entries("")) == []
    one.write("r", b"5", content_type="text/plain")
    assert other.read("r") == b"5"
    root = GcsState(rig.gcs_client(), rig.retrier(), rig.stop, prefix=STATE_PREFIX)
    assert [entry.name for entry in root.entries("")] == [f"{rig.run_id}/r"]


DAY_S = 24 * 3600


def test_messages_outlast_a_run_of_weeks_and_subscriptions_expire_in_the_end(rig: EngineRig) -> None:
    """For example with a full pool over the holidays; and subscriptions of a run that was killed before its teardown expire."""
    rig.put("a")
    rig.open()
    summary = rig.list()
    assert rig.pubsub is not None
    rig.pubsub.set_ahead(30 * DAY_S)
    rig.worker(summary).run()
    assert rig.reconcile().matched == 1
    rig.pubsub.set_ahead(62 * DAY_S)
    assert not list(rig.subscriber.list_subscriptions(project=f"projects/{PROJECT}"))
