"""The broker by itself under a clock of our own: leases, retention, restarts, and a model that walks through them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from google.pubsub_v1 import types
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from localcloud.grpc_control import RefusedError
from localcloud.pubsub.broker import Broker, Chaos
from localcloud.pubsub.journal import Journal
from localcloud.pubsub.store import Store

TOPIC = "projects/p/topics/work"
DEAD = "projects/p/topics/dead"
SUBSCRIPTION = "projects/p/subscriptions/workers"
GRAVEYARD = "projects/p/subscriptions/graveyard"


class Clock:
    def __init__(self):
        self.now_s = 1_700_000_000.0

    def __call__(self):
        return self.now_s


class Bench:
    """A broker on a journal, its clock, and a subscription."""

    def __init__(self, directory, **subscription):
        self.path = Path(directory) / "journal"
        self.clock = Clock()
        self.open()
        for name in (TOPIC, DEAD):
            self.broker.create_topic(types.Topic.pb()(name=name))
        raw = types.Subscription.pb()
        self.broker.create_subscription(raw(name=SUBSCRIPTION, topic=TOPIC, **subscription))
        self.broker.create_subscription(raw(name=GRAVEYARD, topic=DEAD))

    def open(self, chaos=None):
        self.broker = Broker(Store(Journal(self.path)), clock=self.clock, chaos=chaos)

    def restart(self):
        self.broker.store.close()
        self.open()

    def publish(self, *bodies, **attributes):
        request = types.PublishRequest.pb()(topic=TOPIC)
        for body in bodies:
            request.messages.add(data=body, attributes=attributes)
        return self.broker.publish(request)

    def take(self, count=100, name=SUBSCRIPTION):
        return self.broker.take(name, count)

    def advance(self, seconds):
        self.clock.now_s += seconds
        self.broker.tick()

    def nack(self, delivery):
        self.broker.modify_ack_deadline(SUBSCRIPTION, [delivery.ack_id], 0)


def ids(deliveries):
    return [str(delivery.message.id) for delivery in deliveries]


def body(delivery):
    return types.PubsubMessage.deserialize(delivery.message.data)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_lease_ends_at_its_deadline_and_not_before(bench):
    bench.publish(b"a")
    [first] = bench.take()
    first_id = first.ack_id
    bench.advance(9.9)
    assert bench.take() == []
    bench.advance(0.2)
    [second] = bench.take()
    assert (second.attempts, second.ack_id != first_id) == (2, True)
    bench.broker.acknowledge(SUBSCRIPTION, [first_id])  # too late: ignored
    bench.advance(11)
    assert len(bench.take()) == 1


def test_an_extended_lease_lasts_longer_and_a_shortened_one_does_not(bench):
    bench.publish(b"a", b"b")
    longer, shorter = bench.take()
    bench.broker.modify_ack_deadline(SUBSCRIPTION, [longer.ack_id], 60)
    bench.broker.modify_ack_deadline(SUBSCRIPTION, [shorter.ack_id], 2)
    bench.advance(3)
    assert bench.take() == [shorter]
    bench.advance(30)
    assert longer not in bench.take()
    bench.advance(30)
    assert longer in bench.take()


def test_a_message_is_dead_lettered_after_its_attempts(tmp_path):
    bench = Bench(tmp_path, dead_letter_policy={"dead_letter_topic": DEAD, "max_delivery_attempts": 5})
    [message_id] = bench.publish(b"poison", run="r1")
    for attempt in range(1, 6):
        [delivery] = bench.take()
        assert delivery.attempts == attempt
        bench.nack(delivery)
    assert bench.take() == []
    [letter] = bench.take(name=GRAVEYARD)
    message = body(letter)
    assert (message.data, message.attributes["run"]) == (b"poison", "r1")
    assert message.message_id != message_id
    assert message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert message.attributes["CloudPubSubDeadLetterSourceSubscription"] == "workers"
    bench.restart()
    assert bench.take() == []
    assert len(bench.take(name=GRAVEYARD)) == 1


def test_a_message_stays_when_the_dead_letter_topic_is_gone(tmp_path):
    bench = Bench(tmp_path, dead_letter_policy={"dead_letter_topic": DEAD, "max_delivery_attempts": 5})
    bench.broker.delete_topic(DEAD)
    bench.publish(b"a")
    for _ in range(7):
        bench.nack(bench.take()[0])
    assert len(bench.take()) == 1


def test_backoff_doubles_up_to_its_maximum(tmp_path):
    policy = {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 4}}
    bench = Bench(tmp_path, retry_policy=policy)
    bench.publish(b"a")
    for backoff_s in (1, 2, 4, 4):
        bench.nack(bench.take()[0])
        bench.advance(backoff_s - 0.1)
        assert bench.take() == []
        bench.advance(0.2)
        assert len(bench.broker.queue(SUBSCRIPTION).ready) == 1


def test_messages_older_than_the_retention_are_dropped(tmp_path):
    bench = Bench(tmp_path, message_retention_duration={"seconds": 600})
    bench.publish(b"old")
    bench.advance(500)
    [young] = bench.publish(b"young")
    bench.advance(150)
    assert ids(bench.take()) == [young]


DAY_S = 86_400


def test_a_subscription_that_nobody_uses_expires_and_one_that_is_pulled_does_not(tmp_path):
    bench = Bench(tmp_path)  # 31 days, the default
    bench.broker.create_subscription(
        types.Subscription.pb()(
            name=f"{SUBSCRIPTION}-brief",
            topic=TOPIC,
            message_retention_duration={"seconds": 600},
            expiration_policy={"ttl": {"seconds": DAY_S}},
        )
    )
    bench.broker.create_subscription(
        types.Subscription.pb()(name=f"{SUBSCRIPTION}-eternal", topic=TOPIC, expiration_policy={})
    )
    for _ in range(3):
        bench.advance(DAY_S - 1)
        bench.publish(b"what is only published to is not used")
        bench.take(name=f"{SUBSCRIPTION}-brief")
    bench.advance(DAY_S)
    assert set(bench.broker.store.backlogs) == {SUBSCRIPTION, GRAVEYARD, f"{SUBSCRIPTION}-eternal"}
    bench.take()
    bench.advance(30 * DAY_S)
    assert set(bench.broker.store.backlogs) == {SUBSCRIPTION, f"{SUBSCRIPTION}-eternal"}
    bench.restart()
    with pytest.raises(RefusedError):
        bench.take(name=GRAVEYARD)


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        pytest.param({"expiration_policy": {"ttl": {"seconds": DAY_S}}}, "retention", id="shorter-than-7-days"),
        pytest.param(
            {
                "expiration_policy": {"ttl": {"seconds": DAY_S - 1}},
                "message_retention_duration": {"seconds": 600},
            },
            "at least 86400",
            id="less-than-a-day",
        ),
        pytest.param({"message_retention_duration": {"seconds": 599}}, "retention", id="retention-too-short"),
        pytest.param({"message_retention_duration": {"seconds": 31 * DAY_S + 1}}, "retention", id="retention-too-long"),
        pytest.param({"labels": {"Created-By": "x"}}, "label", id="label-in-capitals"),
        pytest.param({"labels": {"1by": "x"}}, "label", id="label-begins-with-a-digit"),
        pytest.param({"labels": {"by": "x" * 64}}, "label", id="label-value-too-long"),
        pytest.param({"labels": {f"n{number}": "" for number in range(65)}}, "labels", id="too-many-labels"),
    ],
)
def test_settings_that_the_service_does_not_take_are_refused(tmp_path, settings, refused):
    with pytest.raises(RefusedError, match=refused):
        Bench(tmp_path, **settings)


def test_a_pull_stays_under_the_response_limit_but_never_starves(bench):
    bench.publish(*[b"x" * 1_500_000] * 5)
    bench.publish(b"y" * 9_000_000)
    assert [len(bench.take()) for _ in range(4)] == [2, 2, 1, 1]


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


def test_chaos_duplicates_deliveries_and_the_seed_repeats_it(tmp_path):
    runs = []
    for name in ("one", "two"):
        bench = Bench(tmp_path / name)
        bench.broker.set_chaos(Chaos(duplicate_probability=0.3, reorder=True, seed=7))
        bench.publish(*[b"%d" % number for number in range(100)])
        runs.append([body(delivery).data for delivery in bench.take(1000)])
    assert runs[0] == runs[1]
    assert len(runs[0]) > 110
    assert len(set(runs[0])) == 100
    assert runs[0] != sorted(runs[0], key=int)


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
