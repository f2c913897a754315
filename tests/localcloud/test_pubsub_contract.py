"""One contract, two servers: what is true of Google's emulator has to be true of ours, seen by Google's clients.

The official emulator 0.8.20 ignores filters, backoff and the lower bound of ack deadlines, so those are in the other
test_pubsub modules, on ours only.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

from google.cloud import pubsub_v1
from google.pubsub_v1 import types

from pubsub_scene import TIMEOUT_S, bodies


def test_a_published_message_arrives_with_its_id_time_and_attributes(pubsub):
    [message_id] = pubsub.publish(b"hello", run="r1")
    [received] = pubsub.pull()
    assert received.message.data == b"hello"
    assert received.message.message_id == message_id
    assert dict(received.message.attributes) == {"run": "r1"}
    assert abs(received.message.publish_time.timestamp() - time.time()) < 60
    assert received.delivery_attempt == 0


def test_an_acknowledged_message_does_not_come_back(pubsub):
    pubsub.publish(b"a", b"b")
    pubsub.ack(*pubsub.pull())
    assert pubsub.pull_now() == []


def test_a_leased_message_is_not_given_to_a_second_puller(pubsub):
    pubsub.publish(b"a")
    assert len(pubsub.pull()) == 1
    assert pubsub.pull_now() == []


def test_a_nacked_message_comes_back_at_once(pubsub):
    pubsub.publish(b"a")
    [first] = pubsub.pull()
    pubsub.modify(0, first)
    [second] = pubsub.pull()
    assert second.message.message_id == first.message.message_id


def test_an_expired_lease_brings_the_message_back(pubsub):
    pubsub.publish(b"a", b"b")
    received = pubsub.pull()
    assert len(received) == 2
    pubsub.modify(1, received[0])
    pubsub.modify(60, received[1])
    [again] = pubsub.pull()
    assert again.message.message_id == received[0].message.message_id


def test_pull_waits_for_a_message(pubsub):
    timer = threading.Timer(0.5, pubsub.publish, [b"late"])
    timer.start()
    assert bodies(pubsub.pull()) == [b"late"]
    timer.join()


def test_a_pull_gives_at_most_what_was_asked_for(pubsub):
    pubsub.publish(*[b"%d" % number for number in range(10)])
    assert len(pubsub.pull(3)) <= 3


def test_a_subscription_gets_only_what_is_published_after_its_creation(pubsub):
    pubsub.publish(b"before")
    later = f"{pubsub.project}/subscriptions/later"
    pubsub.subscriber.create_subscription(name=later, topic=pubsub.topic)
    pubsub.publish(b"after")
    answer = pubsub.subscriber.pull(subscription=later, max_messages=10, timeout=TIMEOUT_S)
    assert bodies(answer.received_messages) == [b"after"]


def test_every_subscription_gets_its_own_copy(pubsub):
    second = f"{pubsub.project}/subscriptions/second"
    pubsub.subscriber.create_subscription(name=second, topic=pubsub.topic)
    pubsub.publish(b"a")
    pubsub.ack(*pubsub.pull())
    answer = pubsub.subscriber.pull(subscription=second, max_messages=10, timeout=TIMEOUT_S)
    assert bodies(answer.received_messages) == [b"a"]


def test_a_seek_to_now_acknowledges_everything(pubsub):
    pubsub.publish(b"old")
    time.sleep(0.05)
    pubsub.subscriber.seek(request={"subscription": pubsub.subscription, "time": _now_plus(1)})
    assert pubsub.pull_now() == []


def test_a_seek_back_revives_acknowledged_messages_that_were_retained(pubsub):
    name = f"{pubsub.project}/subscriptions/keeper"
    settings = {"name": name, "topic": pubsub.topic, "retain_acked_messages": True}
    pubsub.subscriber.create_subscription(request=settings)
    pubsub.publish(b"a")
    answer = pubsub.subscriber.pull(subscription=name, max_messages=1, timeout=TIMEOUT_S)
    pubsub.subscriber.acknowledge(subscription=name, ack_ids=[answer.received_messages[0].ack_id])
    pubsub.subscriber.seek(request={"subscription": name, "time": _now_plus(-60)})
    answer = pubsub.subscriber.pull(subscription=name, max_messages=1, timeout=TIMEOUT_S)
    assert bodies(answer.received_messages) == [b"a"]


def _now_plus(seconds):
    return types.PubsubMessage.pb()(publish_time={"seconds": int(time.time()) + seconds}).publish_time


def test_the_batching_publisher_and_the_streaming_subscriber_pass_every_message_once(pubsub):
    total = 3_000
    seen: Counter[bytes] = Counter()
    done = threading.Event()

    def receive(message):
        seen[message.data] += 1
        message.ack()
        if len(seen) == total:
            done.set()

    flow = pubsub_v1.types.FlowControl(max_messages=100)
    streaming = pubsub.subscriber.subscribe(pubsub.subscription, receive, flow_control=flow)
    futures = [pubsub.publisher.publish(pubsub.topic, b"%d" % number, run="r") for number in range(total)]
    assert len({future.result(TIMEOUT_S) for future in futures}) == total
    assert done.wait(TIMEOUT_S)
    streaming.cancel()
    streaming.result(TIMEOUT_S)
    assert sum(seen.values()) == total


def test_the_streaming_subscriber_holds_no_more_than_its_flow_control_allows(pubsub):
    holding = 0
    most = 0
    finished = 0
    lock = threading.Lock()
    done = threading.Event()

    def receive(message):
        nonlocal holding, most, finished
        with lock:
            holding += 1
            most = max(most, holding)
        time.sleep(0.02)
        with lock:
            holding -= 1
            finished += 1
            if finished == 30:
                done.set()
        message.ack()

    pubsub.publish(*[b"%d" % number for number in range(30)])
    flow = pubsub_v1.types.FlowControl(max_messages=4)
    streaming = pubsub.subscriber.subscribe(pubsub.subscription, receive, flow_control=flow)
    assert done.wait(TIMEOUT_S)
    streaming.cancel()
    streaming.result(TIMEOUT_S)
    assert most <= 4


def test_a_message_nacked_by_the_streaming_subscriber_comes_back(pubsub):
    times = 0
    done = threading.Event()

    def receive(message):
        nonlocal times
        times += 1
        if times == 1:
            message.nack()
        else:
            message.ack()
            done.set()

    streaming = pubsub.subscriber.subscribe(pubsub.subscription, receive)
    pubsub.publish(b"a")
    assert done.wait(TIMEOUT_S)
    streaming.cancel()
    streaming.result(TIMEOUT_S)
