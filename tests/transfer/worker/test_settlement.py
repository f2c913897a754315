"""Outcomes are stored before their messages are acknowledged, and nothing is lost when storing them fails."""

from __future__ import annotations

import pytest

from memory_queue import MemoryFailures, MemoryQueue
from memory_state import MemoryState
from refused_objects import copied, refused
from transfer.accounting.traffic import TrafficMeter, WorkerTraffic
from transfer.errors import SinkUnavailable, Stage
from transfer.records.ledger import Ledger, ledger_traffic
from transfer.records.shards import read_shards
from transfer.worker.leases import LeaseKeeper
from transfer.worker.settlement import MAX_GROUP_MESSAGES, Settlement


class Rig:
    """A settlement on a queue, an error topic and a state store in memory."""

    def __init__(self) -> None:
        self.queue, self.failures, self.state = MemoryQueue(), MemoryFailures(), MemoryState()
        self.ledger = Ledger(self.state, listing="1", worker="w0-1")
        self.leases = LeaseKeeper(self.queue)
        self.settled: list[int] = []
        self.traffic = TrafficMeter()
        self.settlement = Settlement(
            self.queue,
            self.failures,
            self.ledger,
            self.leases,
            traffic=self.traffic,
            on_settled=self.settled.extend,
        )

    def recorded(self) -> list[str]:
        return [line["key"] for line in read_shards(self.state, "ledger/")]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_commit_publishes_records_and_acknowledges(rig: Rig) -> None:
    rig.leases.hold(["one", "two", "three"])
    rig.settlement.add("one", [copied("a"), refused("b")], number=0)
    rig.settlement.add("two", [], number=None)
    assert rig.settlement.has_pending
    rig.settlement.commit()
    assert [failure.key for failure in rig.failures.published] == ["b"]
    assert rig.recorded() == ["a", "b"]
    assert rig.queue.acknowledged == ["one", "two"]
    assert (rig.leases.held(), rig.settled) == (["three"], [0])
    assert not rig.settlement.has_pending
    assert rig.ledger.settled() == {0}


def test_nothing_is_acknowledged_whose_outcome_could_not_be_stored(rig: Rig, monkeypatch) -> None:
    def refuse(outcomes, settled, *, traffic) -> None:
        raise SinkUnavailable("no", stage=Stage.SETTLE)

    rig.settlement.add("one", [copied("a")], number=0)
    with monkeypatch.context() as patch:
        patch.setattr(rig.ledger, "write", refuse)
        with pytest.raises(SinkUnavailable):
            rig.settlement.commit()
    assert rig.queue.acknowledged == []
    rig.settlement.commit()
    assert (rig.recorded(), rig.queue.acknowledged) == (["a"], ["one"])


def test_a_full_group_is_due_and_each_group_is_stored_alone(rig: Rig) -> None:
    for number in range(MAX_GROUP_MESSAGES + 1):
        assert rig.settlement.is_due.is_set() == (number >= MAX_GROUP_MESSAGES)
        rig.settlement.add(f"{number}", [copied(f"{number}")], number=number)
    rig.settlement.commit()
    assert not rig.settlement.is_due.is_set()
    assert len(rig.state.records) == 2
    assert len(rig.queue.acknowledged) == MAX_GROUP_MESSAGES + 1


def test_messages_with_a_failure_stay_unsettled_after_a_fatal_error_and_their_successes_are_recorded(rig: Rig) -> None:
    rig.settlement.add("one", [copied("a")], number=0)
    rig.settlement.add("two", [copied("b"), refused("c")], number=1)
    outcomes = rig.settlement.begin("three")
    outcomes.append(copied("d"))
    rig.settlement.commit_successes()
    assert (rig.recorded(), rig.queue.acknowledged) == (["a"], ["one"])
    rig.settlement.write_unsettled()
    assert sorted(rig.recorded()) == ["a", "b", "d"]
    assert rig.failures.published == []
    assert rig.ledger.settled() == {0}


def test_each_shard_counts_the_traffic_since_the_one_before_it(rig: Rig, monkeypatch) -> None:
    edge, gcs = rig.traffic.edge(), rig.traffic.gcs()
    edge.requests, edge.received_bytes, gcs.requests = 1, 10, 2
    rig.settlement.add("one", [copied("a")], number=0)
    with monkeypatch.context() as patch:
        patch.setattr(rig.ledger, "write", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rig.settlement.commit()
    rig.settlement.commit()
    edge.requests, edge.received_bytes = 4, 5_000_000_000  # of an object that this attempt did not finish
    rig.settlement.write_unsettled()
    rig.settlement.write_unsettled()
    assert len(list(rig.state.entries("ledger/"))) == 2
    assert ledger_traffic(rig.state, ["1"]) == WorkerTraffic(edge_requests=4, edge_bytes=5_000_000_000, gcs_requests=2)
    Ledger(rig.state, listing="1", worker="w1-1").write([copied("b")], [1])  # as earlier versions wrote it
    assert ledger_traffic(rig.state, ["1"]) is None
