"""One contract, two servers: what is true of Google's emulator has to be true of ours, seen by Google's clients.

The official emulator 0.8.20 ignores filters, backoff and the lower bound of ack deadlines, so those are in the other
test_pubsub modules, on ours only.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.protobuf import field_mask_pb2
from google.pubsub_v1 import PublisherClient as RawPublisher
from google.pubsub_v1 import types

from localcloud.pubsub import PubSubServer
from needs import missing
from official_pubsub import official_pubsub, why_unavailable
from transfer.backends.pubsub.topics import LESSER_RETENTION_S, RETENTION_S, create_subscription
from transfer.errors import QueueRefused

TIMEOUT_S = 20
_serial = itertools.count(1)


@pytest.fixture(scope="module", params=["ours", "official"])
def address(request, tmp_path_factory):
    if request.param == "ours":
        server = PubSubServer(tmp_path_factory.mktemp("pubsub"))
        server.start()
        yield server.url
        server.stop()
        return
    if reason := why_unavailable():
        missing(reason, is_optional=True)
    with official_pubsub() as url:
        yield url


@pytest.fixture
def pubsub(address, monkeypatch):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
    with pubsub_v1.PublisherClient() as publisher, pubsub_v1.SubscriberClient() as subscriber:
        yield Scene(publisher, subscriber)


class Scene:
    """A topic and a subscription of a test's own."""

    def __init__(self, publisher, subscriber):
        self.publisher, self.subscriber = publisher, subscriber
        number = next(_serial)
        self.project = f"projects/p{number}"
        self.topic = f"{self.project}/topics/work"
        self.subscription = f"{self.project}/subscriptions/workers"
        publisher.create_topic(name=self.topic)
        subscriber.create_subscription(name=self.subscription, topic=self.topic)

    def publish(self, *bodies, **attributes):
        messages = [types.PubsubMessage(data=body, attributes=attributes) for body in bodies]
        return list(RawPublisher.publish(self.publisher, topic=self.topic, messages=messages).message_ids)

    def pull(self, count=100, **options):
        request = {"subscription": self.subscription, "max_messages": count, **options}
        return list(self.subscriber.pull(request=request, timeout=TIMEOUT_S).received_messages)

    def pull_now(self):
        return self.pull(return_immediately=True)

    def ack(self, *received):
        self.subscriber.acknowledge(subscription=self.subscription, ack_ids=[item.ack_id for item in received])

    def modify(self, seconds, *received):
        self.subscriber.modify_ack_deadline(
            subscription=self.subscription,
            ack_ids=[item.ack_id for item in received],
            ack_deadline_seconds=seconds,
        )


def bodies(received):
    return sorted(item.message.data for item in received)


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


def test_a_deleted_topic_leaves_its_subscription_behind(pubsub):
    pubsub.publish(b"kept")
    pubsub.publisher.delete_topic(topic=pubsub.topic)
    assert pubsub.subscriber.get_subscription(subscription=pubsub.subscription).topic == "_deleted-topic_"
    assert bodies(pubsub.pull()) == [b"kept"]
    with pytest.raises(exceptions.NotFound):
        pubsub.publish(b"lost")


def test_topics_and_subscriptions_are_listed(pubsub):
    assert [topic.name for topic in pubsub.publisher.list_topics(project=pubsub.project)] == [pubsub.topic]
    listed = pubsub.subscriber.list_subscriptions(project=pubsub.project)
    assert [item.name for item in listed] == [pubsub.subscription]
    assert list(pubsub.publisher.list_topic_subscriptions(topic=pubsub.topic)) == [pubsub.subscription]
    pubsub.subscriber.delete_subscription(subscription=pubsub.subscription)
    assert list(pubsub.publisher.list_topic_subscriptions(topic=pubsub.topic)) == []


def test_the_default_settings_of_a_subscription(pubsub):
    settings = pubsub.subscriber.get_subscription(subscription=pubsub.subscription)
    assert settings.ack_deadline_seconds == 10
    assert settings.message_retention_duration.total_seconds() == 7 * 86_400


def test_updating_a_subscription_changes_the_masked_fields_only(pubsub):
    settings = pubsub.subscriber.update_subscription(
        subscription=types.Subscription(name=pubsub.subscription, ack_deadline_seconds=33, retain_acked_messages=True),
        update_mask=field_mask_pb2.FieldMask(paths=["ack_deadline_seconds"]),
    )
    assert (settings.ack_deadline_seconds, settings.retain_acked_messages) == (33, False)


@pytest.mark.parametrize("paths", [["filter"], ["no_such_field"], []])
def test_an_impossible_update_is_refused(pubsub, paths):
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.subscriber.update_subscription(
            subscription=types.Subscription(name=pubsub.subscription, filter="attributes:x"),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )


def test_what_exists_cannot_be_created_again(pubsub):
    with pytest.raises(exceptions.AlreadyExists):
        pubsub.publisher.create_topic(name=pubsub.topic)
    with pytest.raises(exceptions.AlreadyExists):
        pubsub.subscriber.create_subscription(name=pubsub.subscription, topic=pubsub.topic)


def test_what_does_not_exist_is_not_found(pubsub):
    missing_topic = f"{pubsub.project}/topics/missing"
    missing = f"{pubsub.project}/subscriptions/missing"
    calls: list[tuple[Callable[..., object], dict[str, Any]]] = [
        (pubsub.publisher.get_topic, {"topic": missing_topic}),
        (pubsub.publisher.delete_topic, {"topic": missing_topic}),
        (pubsub.subscriber.create_subscription, {"name": missing, "topic": missing_topic}),
        (pubsub.subscriber.get_subscription, {"subscription": missing}),
        (pubsub.subscriber.delete_subscription, {"subscription": missing}),
        (pubsub.subscriber.acknowledge, {"subscription": missing, "ack_ids": ["x"]}),
        (pubsub.subscriber.pull, {"subscription": missing, "max_messages": 1}),
    ]
    for call, arguments in calls:
        with pytest.raises(exceptions.NotFound):
            call(**arguments)


@pytest.mark.parametrize("name", ["ab", "1abc", "googabc", "a" * 256, "a b c"])
def test_a_bad_name_is_refused(pubsub, name):
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.publisher.create_topic(name=f"projects/p/topics/{name}")


def test_bad_requests_are_refused(pubsub):
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.publish(b"")
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.publish()
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.publish(*[b"x"] * 1001)
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.pull(0)
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.subscriber.acknowledge(subscription=pubsub.subscription, ack_ids=["not an ack id"])
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.subscriber.acknowledge(subscription=pubsub.subscription, ack_ids=[])


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


def test_a_runs_subscription_is_taken_whatever_the_server_keeps_at_most(pubsub) -> None:
    """Pub/Sub keeps messages for 31 days, and Google's emulator for 7 at most."""
    name = f"{pubsub.project}/subscriptions/run"
    create_subscription(pubsub.subscriber, name, topic=pubsub.topic, run_id="r", ack_deadline_s=30)
    found = pubsub.subscriber.get_subscription(subscription=name)
    assert found.message_retention_duration.total_seconds() in (RETENTION_S, LESSER_RETENTION_S)
    assert found.ack_deadline_seconds == 30


def test_what_is_wrong_with_a_runs_subscription_otherwise_is_said(pubsub) -> None:
    with pytest.raises(QueueRefused):
        create_subscription(
            pubsub.subscriber, f"{pubsub.project}/subscriptions/x", topic=pubsub.topic, run_id="r", ack_deadline_s=700
        )
