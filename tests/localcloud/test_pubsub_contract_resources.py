"""Topics, subscriptions, their settings and what is refused: the same of two servers, ours and Google's emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.protobuf import field_mask_pb2
from google.pubsub_v1 import types

from pubsub_scene import bodies
from transfer.backends.pubsub.topics import LESSER_RETENTION_S, RETENTION_S, create_subscription
from transfer.errors import QueueRefused


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
