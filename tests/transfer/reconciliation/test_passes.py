"""What one pass leaves, the next one moves: republishing, reasons that are kept, replays, without Airflow."""

from __future__ import annotations

import csv
import io
import json

import pytest

from engine_rig import DESTINATION, ERROR_TOPIC, PROJECT, SOURCE, STATE_PREFIX, EngineRig, engine_rig, fault
from memory_state import MemoryState
from transfer.backends.gcs.state import GcsState
from transfer.backends.pubsub.topics import PubSubQueue
from transfer.config import Overwrite
from transfer.errors import RunUnknown, SignatureRejected, SinkUnavailable, Stage
from transfer.model import TransferFailure
from transfer.reconciliation.failures import FailureTable, drain_failures, load_failures
from transfer.reconciliation.passes import round_name
from transfer.reconciliation.report import FailuresFile, ReconciliationReport
from transfer.reconciliation.verdicts import Pass, Verdict
from transfer.records.messages import decode_request, encode_failure
from transfer.records.run_record import RunRecord
from transfer.records.shards import read_shards
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


def first_pass(rig: EngineRig, keys, faults, **listing) -> tuple[ReconciliationReport, object]:
    for key in keys:
        rig.put(key)
    rig.open()
    rig.edge.faults.replace(faults)
    rig.worker(rig.list(**listing)).run()
    rig.edge.faults.replace([])
    return rig.one_pass(Pass.FIRST)


def finish(rig: EngineRig, published, *, attempt: int = 1) -> ReconciliationReport:
    """The retries, and the final word."""
    rig.worker(published, name="r0", listing=round_name("1", attempt, Pass.FIRST)).run()
    return rig.reconcile(attempt=attempt)


def outcomes(report: ReconciliationReport) -> dict[str, tuple[str, ...]]:
    return {reason.reason: reason.samples for reason in report.reasons}


def test_what_a_second_try_helps_arrives_and_the_rest_keeps_its_reason(rig: EngineRig) -> None:
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
    assert all(reason.message for reason in final.reasons)  # drained by the first pass, acked there, and not lost
    assert rig.report() == final
    rows = {row["key"]: row for row in csv.DictReader(io.StringIO(rig.state().read("failures.csv").decode()))}
    assert set(rows) == {"gone", ".well-known/acme-challenge/x"}
    assert (rows["gone"]["reason"], rows["gone"]["http_status"], rows["gone"]["stage"]) == (
        "SourceNotFound",
        "404",
        "download",
    )


def test_a_republished_message_says_which_attempt_it_is_and_keeps_what_was_listed(rig: EngineRig) -> None:
    rig.put("cold", b"x", StorageClass="STANDARD_IA")
    _, published = first_pass(rig, [], [fault("/cold", "status", **DOWN)])
    (received,) = rig.subscriber.pull(subscription=rig.subscription, max_messages=5).received_messages
    request = decode_request(received.message.data, received.message.attributes)
    assert (request.attempt, request.listing, request.number) == (2, "1.001", 0)
    (item,) = request.objects
    assert (item.key, item.storage_class, item.replaces_generation) == ("cold", "STANDARD_IA", 0)
    assert item.last_modified_s > 1_600_000_000
    assert published.messages == 1


def test_what_no_worker_ever_took_is_published_again(rig: EngineRig) -> None:
    for index in range(70):
        rig.put(f"{index:02d}")
    rig.open()
    rig.list()
    report, published = rig.one_pass(Pass.FIRST)
    assert (report.missing, published.objects) == (70, 70)
    assert finish(rig, published).is_green


def test_what_a_fatal_error_kept_back_is_not_tried_again_and_says_why(rig: EngineRig) -> None:
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


def test_a_manifest_that_is_gone_proves_nothing(rig: EngineRig) -> None:
    first_pass(rig, ["a", "b"], [fault("/b", "status", **GONE)])
    for entry in list(rig.state().entries("manifest/")):
        rig.state().delete(entry.name)
    with pytest.raises(RunUnknown, match=r"2 objects were listed, and the manifest .* names 0"):
        rig.one_pass(Pass.REPLAY, attempt=2, is_reopened=True)
    assert rig.report().listed == 2


def test_a_run_without_failures_is_final_at_once(rig: EngineRig) -> None:
    report, published = first_pass(rig, ["a", "b"], [])
    assert (report.is_green, report.is_final, published.objects) == (True, True, 0)
    assert rig.state().read("failures.csv").decode().splitlines() == [",".join(FailuresFile.COLUMNS)]


def test_somebody_elses_object_survives_the_second_try_and_a_replay_asked_for_overwrites_it(rig: EngineRig) -> None:
    rig.put("k", b"ours")
    rig.open()
    rig.list()  # and no worker takes it
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


def test_a_replay_publishes_exactly_what_is_unfinished(rig: EngineRig) -> None:
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


def test_another_run_moves_only_what_an_earlier_one_left(rig: EngineRig) -> None:
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


# The failures of a run


class Breaking(PubSubQueue):
    """A subscription whose acknowledge is refused."""

    def ack(self, ack_ids) -> None:
        raise SinkUnavailable("down", stage=Stage.SETTLE)


def test_failures_are_on_record_before_they_are_acked(rig: EngineRig) -> None:
    first_pass(rig, [f"gone-{index}" for index in range(5)], [fault("/gone", "status", **GONE)])
    # As it was before that pass: the failures in the topic again, and none on record.
    for entry in list(rig.state().entries("failures/")):
        rig.state().delete(entry.name)
    for index in range(5):
        body, attributes = encode_failure(failure(f"gone-{index}", "SourceNotFound"), run_id=rig.run_id)
        rig.publisher.publish(ERROR_TOPIC, body, **attributes).result(timeout=10)

    queue = Breaking(rig.subscriber, rig.error_subscription, ack_deadline_s=10)
    with FailureTable() as table, pytest.raises(SinkUnavailable):
        load_failures(rig.state(), table, ["1"])
        drain_failures(queue, rig.state(), table, run_id=rig.run_id, listing="1", reader="1.002")
    with FailureTable() as table:  # the next try, with nothing but the state
        load_failures(rig.state(), table, ["1"])
        told = {item.key for item in table.sorted() if item.message == "said"}
        assert len(told) == 5


def failure(key: str, code: str, message: str = "said") -> TransferFailure:
    return TransferFailure(key=key, stage=Stage.DOWNLOAD, error_code=code, http_status=404, attempts=1, message=message)


def test_a_failure_whose_message_never_comes_keeps_its_reason(rig: EngineRig, monkeypatch) -> None:
    monkeypatch.setattr("transfer.reconciliation.failures.PATIENCE_S", 1.0)
    rig.put("gone")
    rig.open()
    rig.edge.faults.replace([fault("/gone", "status", **GONE)])
    rig.worker(rig.list()).run()
    rig.subscriber.seek(request={"subscription": rig.error_subscription, "time": {"seconds": 4_000_000_000}})
    report, published = rig.one_pass(Pass.FIRST)
    assert (report.failed, outcomes(report), published.objects) == (1, {"SourceNotFound": ("gone",)}, 0)
    assert next(iter(read_shards(rig.state(), "failures/1-")))["error_code"] == "SourceNotFound"


def test_the_words_of_an_earlier_try_do_not_replace_a_later_reason() -> None:
    with FailureTable() as table:
        table.expect(failure("k", "SourceUnavailable", ""))
        table.tell(failure("k", "SourceUnavailable", "first"))
        table.expect(failure("k", "SourceNotFound", ""))
        table.tell(failure("k", "SourceUnavailable", "a second delivery"))
        assert table.has_unreported()
        table.tell(failure("k", "SourceNotFound", "second"))
        assert not table.has_unreported()
        assert [(item.error_code, item.message) for item in table.sorted()] == [("SourceNotFound", "second")]


def test_failures_of_another_run_are_left_out(rig: EngineRig) -> None:
    """A server that does not filter subscriptions delivers them all the same."""
    body, _ = encode_failure(failure("k", "SourceNotFound"), run_id="x")
    rig.open()
    everything = "projects/test-project/subscriptions/unfiltered"
    rig.subscriber.create_subscription(name=everything, topic=ERROR_TOPIC)
    for run in ("another", rig.run_id):
        rig.publisher.publish(ERROR_TOPIC, body, run=run).result(timeout=10)
    rig.publisher.publish(ERROR_TOPIC, b"garbage", run=rig.run_id).result(timeout=10)
    queue = PubSubQueue(rig.subscriber, everything, ack_deadline_s=10)
    with FailureTable() as table:
        table.expect(failure("k", "SourceNotFound", ""))
        drain_failures(queue, rig.state(), table, run_id=rig.run_id, listing="1", reader="1.001")
        assert len(list(table.sorted())) == 1


def test_failures_csv_goes_on_in_further_files_and_leaves_none_behind(monkeypatch) -> None:
    monkeypatch.setattr("transfer.records.csv_file.MAX_ROWS", 2)
    state = MemoryState()
    rows = FailuresFile(state)
    for key in ("a,b", 'quo"te', "line\nbreak", "\ud800", "e"):
        rows.add(key, Verdict.FAILED, failure(key, "InvalidName"))
    rows.close()
    names = [entry.name for entry in state.entries("failures")]
    assert names == ["failures-2.csv", "failures-3.csv", "failures.csv"]
    found = []
    for name in ("failures.csv", "failures-2.csv", "failures-3.csv"):
        text = state.read(name).decode("utf-8", "surrogatepass")
        found += [row["key"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert found == ["a,b", 'quo"te', "line\nbreak", "\ud800", "e"]
    FailuresFile(state).close()
    assert [entry.name for entry in state.entries("failures")] == ["failures.csv"]


def test_the_report_comes_back_from_its_record(rig: EngineRig) -> None:
    report, _ = first_pass(rig, ["gone"], [fault("/gone", "status", **GONE)])
    assert ReconciliationReport.decode(rig.state().read("report.json")) == report
    document = json.loads(rig.state().read("report.json"))
    assert document["listed"] == document["failed"] == 1


def test_a_record_is_replaced_and_removed(rig: EngineRig) -> None:
    """What MemoryState is believed to do, Cloud Storage does."""
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


def test_a_run_of_weeks_finds_its_messages_and_its_subscriptions_expire_in_the_end(rig: EngineRig) -> None:
    """A pool that is full over the holidays; and what a run leaves that was killed before its teardown."""
    rig.put("a")
    rig.open()
    summary = rig.list()
    rig.pubsub.set_ahead(30 * DAY_S)
    rig.worker(summary).run()
    assert rig.reconcile().matched == 1
    rig.pubsub.set_ahead(62 * DAY_S)
    assert not list(rig.subscriber.list_subscriptions(project=f"projects/{PROJECT}"))


def test_a_pass_without_the_error_subscription_takes_the_failures_from_the_ledger(
    rig: EngineRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.put("a")
    rig.put("b")
    rig.open()
    summary = rig.list()
    rig.client.delete_object(Bucket=SOURCE, Key="b")
    rig.worker(summary).run()
    rig.subscriber.delete_subscription(subscription=rig.error_subscription)
    report = rig.reconcile()
    assert (report.matched, report.failed) == (1, 1)
    assert [(reason.reason, reason.message) for reason in report.unfinished_reasons] == [("SourceNotFound", "")]
    assert "without their messages" in caplog.text
