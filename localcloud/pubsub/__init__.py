"""A Pub/Sub that runs on loopback: topics, filtered subscriptions, leases, dead letters, and a journal."""

from localcloud.pubsub.broker import Chaos
from localcloud.pubsub.server import PubSubServer

__all__ = ["Chaos", "PubSubServer"]
