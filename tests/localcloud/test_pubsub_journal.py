"""What the broker keeps over a restart, and a model that walks through leases and restarts."""

from __future__ import annotations

import shutil
import tempfile

import pytest
from google.pubsub_v1 import types
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from localcloud.grpc_control import RefusedError
from pubsub_bench import DEAD, GRAVEYARD, SUBSCRIPTION, TOPIC, Bench, ids


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_message_survives_a_restart_until_it_is_acknowledged(bench):
    first, second = bench.publish(b"a", b"b")
    taken = bench.take()
    assert ids(taken) == [first, second]
    bench.broker.acknowledge(SUBSCRIPTION, [taken[0].ack_id])
    bench.restart()
    assert ids(bench.take()) == [second]


def test_updates_deletions_and_seeks_survive_a_restart(bench):
    bench.publish(b"a")
    changed = types.Subscription.pb()(name=SUBSCRIPTION, ack_deadline_seconds=77)
    bench.broker.update_subscription(changed, ["ack_deadline_seconds"])
    bench.broker.delete_topic(TOPIC)
    bench.broker.delete_subscription(GRAVEYARD)
    later = types.PubsubMessage.pb()(publish_time={"seconds": int(bench.clock.now_s) + 1}).publish_time
    bench.broker.seek(SUBSCRIPTION, later)
    for _ in range(2):  # once from the journal as written, once from its compaction
        bench.restart()
        assert set(bench.broker.store.topics) == {DEAD}
        kept = bench.broker.queue(SUBSCRIPTION).backlog.settings
        assert (kept.ack_deadline_seconds, kept.topic) == (77, "_deleted-topic_")
        with pytest.raises(RefusedError):
            bench.broker.queue(GRAVEYARD)
        assert bench.take() == []


def test_a_torn_record_at_the_end_is_dropped(bench):
    [kept] = bench.publish(b"kept")
    whole = bench.path.stat().st_size
    bench.publish(b"torn")
    bench.broker.store.close()
    with bench.path.open("r+b") as file:
        file.truncate(whole + 9)
    bench.open()
    assert ids(bench.take()) == [kept]
    [fresh] = bench.publish(b"fresh")
    bench.restart()
    assert ids(bench.take()) == [kept, fresh]


def test_a_restart_rewrites_the_journal_without_what_is_done(bench):
    for _ in range(50):
        bench.publish(b"x" * 1000)
    bench.broker.acknowledge(SUBSCRIPTION, [delivery.ack_id for delivery in bench.take()])
    bench.restart()
    assert bench.path.stat().st_size < 2_000


class Walk(RuleBasedStateMachine):
    """Whatever happens, the broker owes exactly what was published and not acknowledged in time."""

    def __init__(self):
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.bench = Bench(self.directory, filter='attributes.run = "mine"')
        self.owed = set()
        self.held = {}

    @rule(count=st.integers(1, 5))
    def publish(self, count):
        self.owed.update(self.bench.publish(*[b"x"] * count, run="mine"))
        self.bench.publish(*[b"x"] * count, run="theirs")

    @rule(count=st.integers(1, 6))
    def pull(self, count):
        for delivery in self.bench.take(count):
            message_id = str(delivery.message.id)
            assert message_id in self.owed
            assert message_id not in {held[0] for held in self.held.values()}
            self.held[delivery.ack_id] = (message_id, self.bench.clock.now_s + 10)

    @rule(data=st.data())
    def acknowledge(self, data):
        if self.held:
            ack_id = data.draw(st.sampled_from(sorted(self.held)))
            self.bench.broker.acknowledge(SUBSCRIPTION, [ack_id])
            self.owed.discard(self.held.pop(ack_id)[0])

    @rule(data=st.data(), seconds=st.sampled_from([0, 3, 30]))
    def modify(self, data, seconds):
        if self.held:
            ack_id = data.draw(st.sampled_from(sorted(self.held)))
            self.bench.broker.modify_ack_deadline(SUBSCRIPTION, [ack_id], seconds)
            message_id, _ = self.held.pop(ack_id)
            if seconds:
                self.held[ack_id] = (message_id, self.bench.clock.now_s + seconds)

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds):
        self.bench.advance(seconds)
        self.held = {key: held for key, held in self.held.items() if held[1] > self.bench.clock.now_s}

    @rule()
    def restart(self):
        self.bench.clock.now_s += 1
        self.bench.restart()
        self.held = {}

    @invariant()
    def owes_what_the_model_owes(self):
        queue = self.bench.broker.queue(SUBSCRIPTION)
        assert {str(number) for number in queue.backlog.unacked} == self.owed
        assert set(queue.leases) == set(self.held)
        assert len(queue.ready) + len(queue.leases) == len(self.owed)

    def teardown(self):
        self.bench.broker.store.close()
        shutil.rmtree(self.directory)


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
