"""A broker of Pub/Sub by itself, under a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.pubsub_v1 import types

from localcloud.pubsub.broker import Broker
from localcloud.pubsub.journal import Journal
from localcloud.pubsub.leases import Delivery
from localcloud.pubsub.store import Store

TOPIC = "projects/p/topics/work"
DEAD = "projects/p/topics/dead"
SUBSCRIPTION = "projects/p/subscriptions/workers"
GRAVEYARD = "projects/p/subscriptions/graveyard"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """A broker on a journal, its clock, and a subscription."""

    def __init__(self, directory: str | Path, **subscription: Any) -> None:
        self.path = Path(directory) / "journal"
        self.clock = Clock()
        self.open()
        for name in (TOPIC, DEAD):
            self.broker.create_topic(types.Topic.pb()(name=name))
        raw = types.Subscription.pb()
        self.broker.create_subscription(raw(name=SUBSCRIPTION, topic=TOPIC, **subscription))
        self.broker.create_subscription(raw(name=GRAVEYARD, topic=DEAD))

    def open(self) -> None:
        self.broker = Broker(Store(Journal(self.path)), clock=self.clock)

    def restart(self) -> None:
        self.broker.store.close()
        self.open()

    def publish(self, *bodies: bytes, **attributes: str) -> list[str]:
        request = types.PublishRequest.pb()(topic=TOPIC)
        for body in bodies:
            request.messages.add(data=body, attributes=attributes)
        return self.broker.publish(request)

    def take(self, count: int = 100, name: str = SUBSCRIPTION) -> list[Delivery]:
        return self.broker.take(name, count)

    def advance(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.broker.tick()

    def nack(self, delivery: Delivery) -> None:
        self.broker.modify_ack_deadline(SUBSCRIPTION, [delivery.ack_id], 0)


def ids(deliveries: Iterable[Delivery]) -> list[str]:
    return [str(delivery.message.id) for delivery in deliveries]


def body(delivery: Delivery) -> types.PubsubMessage:
    return types.PubsubMessage.deserialize(delivery.message.data)
