"""A worker keeps its pace, shares work with others, and gives its messages back when it ends."""

from __future__ import annotations

import os
import threading
import time

import pytest

from engine_rig import SOURCE, TOPIC, EngineRig, fault
from transfer.accounting.pacing import Pacer
from transfer.copying.whole import ObjectCopier
from transfer.errors import RunClosed, Stopped
from transfer.model import ObjectMeta, TransferOutcome, TransferRequest
from transfer.records.messages import encode_request
from transfer.steps import Step
from transfer.stopping import StopRequest


class Crawl(Pacer):
    """Slowed down to one lane before it began, and stays so."""

    def __init__(self, *arguments, **keywords) -> None:
        super().__init__(*arguments, **keywords)
        self._limit = 1

    def succeeded(self) -> None:
        """Nothing grows back."""


@pytest.mark.parametrize(("pacer", "lanes"), [(Pacer, range(2, 5)), (Crawl, range(1, 2))])
def test_no_more_lanes_work_than_the_pacer_lets_in(rig: EngineRig, monkeypatch, pacer, lanes: range) -> None:
    at_work: set[str] = set()
    most = 0
    copy = ObjectCopier.copy

    def watched(self: ObjectCopier, item: ObjectMeta) -> Step[TransferOutcome]:
        nonlocal most
        at_work.add(item.key)
        most = max(most, len(at_work))
        outcome = yield from copy(self, item)
        at_work.discard(item.key)
        return outcome

    monkeypatch.setattr(ObjectCopier, "copy", watched)
    monkeypatch.setattr("transfer.worker.drain.Pacer", pacer)
    for index in range(40):
        rig.put(f"{index}")
    stats, report = rig.copy_all()
    assert most in lanes
    assert (stats.copied, report.is_green) == (40, True), "places are given back, or the work would not end"
    assert (stats.lanes, stats.threads) == (lanes[-1], 4)


def test_two_workers_share_the_work_and_both_end(rig: EngineRig) -> None:
    for index in range(60):
        rig.put(f"{index}")
    rig.open()
    summary = rig.list()
    workers = [rig.worker(summary, name=f"w{index}") for index in range(2)]
    results: list = []
    threads = [threading.Thread(target=lambda worker=worker: results.append(worker.run())) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sum(stats.copied for stats in results) == 60
    assert rig.reconcile().is_green


def test_a_stopped_worker_gives_everything_back_within_five_seconds(rig: EngineRig) -> None:
    rig.put("large", os.urandom(4 * 1024 * 1024))
    for index in range(40):
        rig.put(f"small-{index}")
    rig.edge.faults.replace([fault("GET", "stall", seconds=30, at_byte=1)])
    rig.open()
    summary = rig.list()
    worker = rig.worker(summary)
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except Stopped as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(1.0)
    stopped_at_s = time.monotonic()
    rig.stop.set()
    thread.join(timeout=20)
    assert time.monotonic() - stopped_at_s < 5
    assert outcome

    rig.edge.faults.replace([])
    rig.stop = StopRequest()
    stats = rig.worker(summary, name="w1").run()
    assert stats.copied == 41
    assert rig.reconcile().is_green


def test_messages_of_a_killed_worker_are_delivered_again_when_their_leases_end(rig: EngineRig) -> None:
    for index in range(20):
        rig.put(f"{index}")
    rig.open(ack_deadline_s=10)
    summary = rig.list()
    held = rig.subscriber.pull(subscription=rig.subscription, max_messages=5).received_messages
    assert held  # and never acked: this is what SIGKILL leaves
    stats = rig.worker(summary).run()
    assert stats.copied == 20
    assert rig.reconcile().is_green


def test_a_message_delivered_again_finds_its_objects_copied(rig: EngineRig) -> None:
    rig.put("a")
    rig.put("b")
    rig.open()
    summary = rig.list()
    rig.worker(summary).run()
    for number, key in enumerate(("a", "b")):
        head = rig.client.head_object(Bucket=SOURCE, Key=key)
        item = ObjectMeta(key=key, size_bytes=7, etag=head["ETag"].strip('"'), last_modified_s=0)
        body, attributes = encode_request(
            TransferRequest(run_id=rig.run_id, listing="1", number=number, objects=(item,))
        )
        rig.publisher.publish(TOPIC, body, **attributes).result(timeout=10)
    stats = rig.worker(summary, name="w1").run()
    assert (stats.copied, stats.skipped, stats.failed) == (0, 2, 0)


def test_a_closed_run_ends_its_workers(rig: EngineRig) -> None:
    rig.put("a")
    rig.open()
    summary = rig.list()
    rig.subscriber.delete_subscription(subscription=rig.subscription)
    with pytest.raises(RunClosed):
        rig.worker(summary).run()
