"""The failures of a run: read from the ledger and the error topic, and stored before they are acked."""

from __future__ import annotations

import pytest

from engine_rig import ERROR_TOPIC, SOURCE, EngineRig, engine_rig, fault
from transfer.backends.pubsub.topics import PubSubQueue
from transfer.errors import SinkUnavailable, Stage
from transfer.model import TransferFailure
from transfer.reconciliation.failures import FailureRecords, FailureTable, drain_failures, load_failures
from transfer.reconciliation.verdicts import Pass
from transfer.records.messages import encode_failure
from transfer.records.shards import read_shards

GONE = {"status": 404, "body": "<Error><Code>NoSuchKey</Code></Error>"}


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    monkeypatch.setattr("transfer.reconciliation.failures.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def failure(key: str, code: str, message: str = "404") -> TransferFailure:
    return TransferFailure(key=key, stage=Stage.DOWNLOAD, error_code=code, http_status=404, attempts=1, message=message)


class Breaking(PubSubQueue):
    """A subscription that refuses acknowledgements."""

    def ack(self, ack_ids) -> None:
        raise SinkUnavailable("down", stage=Stage.SETTLE)


def test_failures_are_on_record_before_they_are_acked(rig: EngineRig) -> None:
    for index in range(5):
        rig.put(f"gone-{index}")
    rig.open()
    rig.edge.faults.replace([fault("/gone", "status", **GONE)])
    rig.worker(rig.list()).run()
    rig.one_pass(Pass.FIRST)
    # As before that pass: the failures are in the topic again, and not on record.
    for entry in list(rig.state().entries("failures/")):
        rig.state().delete(entry.name)
    for index in range(5):
        body, attributes = encode_failure(failure(f"gone-{index}", "SourceNotFound"), run_id=rig.run_id)
        rig.publisher.publish(ERROR_TOPIC, body, **attributes).result(timeout=10)

    queue = Breaking(rig.subscriber, rig.error_subscription, ack_deadline_s=10)
    with FailureTable() as table, pytest.raises(SinkUnavailable):
        load_failures(rig.state(), table, ["1"])
        drain_failures(queue, table, FailureRecords(rig.state(), listing="1", reader="1.002"), run_id=rig.run_id)
    with FailureTable() as table:  # the next attempt, which has only the records
        load_failures(rig.state(), table, ["1"])
        assert len([item for item in table.sorted() if item.message == "404"]) == 5


def test_a_failure_whose_message_never_arrives_keeps_its_reason(rig: EngineRig, monkeypatch) -> None:
    monkeypatch.setattr("transfer.reconciliation.failures.PATIENCE_S", 1.0)
    rig.put("gone")
    rig.open()
    rig.edge.faults.replace([fault("/gone", "status", **GONE)])
    rig.worker(rig.list()).run()
    rig.subscriber.seek(request={"subscription": rig.error_subscription, "time": {"seconds": 4_000_000_000}})
    report, published = rig.one_pass(Pass.FIRST)
    assert (report.failed, published.objects) == (1, 0)
    assert [(reason.reason, reason.samples) for reason in report.reasons] == [("SourceNotFound", ("gone",))]
    assert next(iter(read_shards(rig.state(), "failures/1-")))["error_code"] == "SourceNotFound"


def test_the_message_of_an_earlier_attempt_does_not_replace_a_later_reason() -> None:
    with FailureTable() as table:
        table.expect(failure("k", "SourceUnavailable", ""))
        table.report(failure("k", "SourceUnavailable", "first"))
        table.expect(failure("k", "SourceNotFound", ""))
        table.report(failure("k", "SourceUnavailable", "a second delivery"))
        assert table.has_unreported()
        table.report(failure("k", "SourceNotFound", "second"))
        assert not table.has_unreported()
        assert [(item.error_code, item.message) for item in table.sorted()] == [("SourceNotFound", "second")]


def test_failures_of_another_run_are_ignored(rig: EngineRig) -> None:
    """A server that does not filter subscriptions delivers them nevertheless."""
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
        drain_failures(queue, table, FailureRecords(rig.state(), listing="1", reader="1.001"), run_id=rig.run_id)
        assert len(list(table.sorted())) == 1


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
