"""A topic and a subscription of a test's own, on our Pub/Sub server and on Google's emulator."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as RawPublisher
from google.pubsub_v1 import types

TIMEOUT_S = 20
_serial = itertools.count(1)


class Scene:
    """A topic and a subscription of a test's own."""

    def __init__(self, publisher: pubsub_v1.PublisherClient, subscriber: pubsub_v1.SubscriberClient) -> None:
        self.publisher, self.subscriber = publisher, subscriber
        number = next(_serial)
        self.project = f"projects/p{number}"
        self.topic = f"{self.project}/topics/work"
        self.subscription = f"{self.project}/subscriptions/workers"
        publisher.create_topic(name=self.topic)
        subscriber.create_subscription(name=self.subscription, topic=self.topic)

    def publish(self, *bodies: bytes, **attributes: str) -> list[str]:
        messages = [types.PubsubMessage(data=body, attributes=attributes) for body in bodies]
        return list(RawPublisher.publish(self.publisher, topic=self.topic, messages=messages).message_ids)

    def pull(self, count: int = 100, **options: object) -> list[types.ReceivedMessage]:
        request = {"subscription": self.subscription, "max_messages": count, **options}
        return list(self.subscriber.pull(request=request, timeout=TIMEOUT_S).received_messages)

    def pull_now(self) -> list[types.ReceivedMessage]:
        return self.pull(return_immediately=True)

    def ack(self, *received: types.ReceivedMessage) -> None:
        self.subscriber.acknowledge(subscription=self.subscription, ack_ids=[item.ack_id for item in received])

    def modify(self, seconds: int, *received: types.ReceivedMessage) -> None:
        self.subscriber.modify_ack_deadline(
            subscription=self.subscription,
            ack_ids=[item.ack_id for item in received],
            ack_deadline_seconds=seconds,
        )


def bodies(received: Iterable[types.ReceivedMessage]) -> list[bytes]:
    return sorted(item.message.data for item in received)
