"""The broker by itself under a clock of our own: leases, retention, restarts, and a model that walks through them."""

from __future__ import annotations

import pytest
from google.pubsub_v1 import types

from localcloud.grpc_control import RefusedError
from localcloud.pubsub.broker import Chaos
from pubsub_bench import DEAD, GRAVEYARD, SUBSCRIPTION, TOPIC, Bench, body, ids


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
