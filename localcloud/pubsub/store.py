"""What must survive a restart: topics, subscriptions, and the messages each subscription still owes.

Every change is one journal record whose payload is an API message, applied by the same method when it happens and
when the journal is replayed. Leases and delivery counts are not kept: after a restart every unacknowledged message is
ready again with its first attempt ahead of it, which at-least-once delivery allows.

Not thread-safe: it lives on the server's event loop.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import google.pubsub_v1.types as pubsub_types

from localcloud.pubsub.filters import Predicate, compile_filter
from localcloud.pubsub.journal import Journal, Record

DELETED_TOPIC = "_deleted-topic_"
BACKLOG_CHUNK = 500

# The generated protobuf classes carry no types that mypy sees: `Any` stands for one of their messages.
Topic = pubsub_types.Topic.pb()
Subscription = pubsub_types.Subscription.pb()
PublishRequest = pubsub_types.PublishRequest.pb()
AcknowledgeRequest = pubsub_types.AcknowledgeRequest.pb()
SeekRequest = pubsub_types.SeekRequest.pb()


class Kind(enum.IntEnum):
    """The kinds of journal record, by the API message each one carries."""

    TOPIC = 1  # Topic, new or updated
    TOPIC_GONE = 2  # Topic
    SUBSCRIPTION = 3  # Subscription, new or updated
    SUBSCRIPTION_GONE = 4  # Subscription
    PUBLISH = 5  # PublishRequest with message ids and publish times
    ACK = 6  # AcknowledgeRequest whose ack ids are message ids
    SEEK = 7  # SeekRequest
    BACKLOG = 8  # PublishRequest whose topic is a subscription: unacknowledged messages kept by a compaction
    RETAINED = 9  # the same for acknowledged ones


class Message(NamedTuple):
    """A published message; `data` is the serialized PubsubMessage."""

    id: int
    data: bytes
    published_s: float


@dataclass(slots=True)
class Backlog:
    """A subscription's settings and its messages by id, oldest first."""

    settings: Any
    matches: Predicate | None
    unacked: dict[int, Message] = field(default_factory=dict)
    retained: dict[int, Message] = field(default_factory=dict)
    """Acknowledged, but kept for a seek."""

    def drop_older_than(self, time_s: float) -> None:
        """Forget messages published before this time."""
        for messages in (self.unacked, self.retained):
            for message in list(itertools.takewhile(lambda message: message.published_s < time_s, messages.values())):
                del messages[message.id]


class Store:
    """Topics and subscriptions by full name, backed by a journal."""

    def __init__(self, journal: Journal) -> None:
        self.topics: dict[str, Any] = {}
        self.backlogs: dict[str, Backlog] = {}
        self.last_message_id = 0
        self._subscribers: dict[str, list[Backlog]] = {}
        self._journal = journal
        self._appliers: dict[int, tuple[Any, Callable[[Any], object]]] = {
            Kind.TOPIC: (Topic, self._put_topic),
            Kind.TOPIC_GONE: (Topic, self._drop_topic),
            Kind.SUBSCRIPTION: (Subscription, self._put_subscription),
            Kind.SUBSCRIPTION_GONE: (Subscription, self._drop_subscription),
            Kind.PUBLISH: (PublishRequest, self._publish),
            Kind.ACK: (AcknowledgeRequest, self._ack),
            Kind.SEEK: (SeekRequest, self._seek),
            Kind.BACKLOG: (PublishRequest, self._restore_unacked),
            Kind.RETAINED: (PublishRequest, self._restore_retained),
        }
        for kind, payload in journal.replay():
            message_type, apply = self._appliers[kind]
            apply(message_type.FromString(payload))
        journal.rewrite(self._snapshot())

    def record(self, kind: Kind, request: Any) -> Any:
        """Write one change down, then make it. Returns what the change returns: for PUBLISH, see `_publish`."""
        self._journal.append(kind, request.SerializeToString())
        return self._appliers[kind][1](request)

    def subscriptions_of(self, topic: str) -> list[str]:
        """The names of a topic's subscriptions."""
        return [backlog.settings.name for backlog in self._subscribers.get(topic, ())]

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _put_topic(self, topic: Any) -> None:
        self.topics[topic.name] = topic
        self._subscribers.setdefault(topic.name, [])

    def _drop_topic(self, topic: Any) -> None:
        del self.topics[topic.name]
        for backlog in self._subscribers.pop(topic.name):
            backlog.settings.topic = DELETED_TOPIC

    def _put_subscription(self, settings: Any) -> None:
        if settings.name in self.backlogs:
            self.backlogs[settings.name].settings = settings
            return
        backlog = Backlog(settings, compile_filter(settings.filter) if settings.filter else None)
        self.backlogs[settings.name] = backlog
        if settings.topic != DELETED_TOPIC:
            self._subscribers[settings.topic].append(backlog)

    def _drop_subscription(self, settings: Any) -> None:
        backlog = self.backlogs.pop(settings.name)
        if backlog.settings.topic != DELETED_TOPIC:
            self._subscribers[backlog.settings.topic].remove(backlog)

    def _publish(self, request: Any) -> list[tuple[str, list[Message]]]:
        """The messages each subscription got."""
        messages = self._messages(request)
        delivered = []
        for backlog in self._subscribers[request.topic]:
            matched = messages
            if backlog.matches is not None:
                pairs = zip(request.messages, messages, strict=True)
                matched = [message for source, message in pairs if backlog.matches(source.attributes)]
            backlog.unacked.update((message.id, message) for message in matched)
            delivered.append((backlog.settings.name, matched))
        return delivered

    def _messages(self, request: Any) -> list[Message]:
        messages = []
        for source in request.messages:
            stamp = source.publish_time
            number = int(source.message_id)
            messages.append(Message(number, source.SerializeToString(), stamp.seconds + stamp.nanos / 1e9))
        self.last_message_id = max([self.last_message_id, *(message.id for message in messages)])
        return messages

    def _ack(self, request: Any) -> None:
        backlog = self.backlogs[request.subscription]
        keep = self._keeps_acked(backlog)
        for text in request.ack_ids:
            message = backlog.unacked.pop(int(text), None)
            if keep and message is not None:
                backlog.retained[message.id] = message

    def _seek(self, request: Any) -> None:
        backlog = self.backlogs[request.subscription]
        time_s = request.time.seconds + request.time.nanos / 1e9
        both = sorted({**backlog.retained, **backlog.unacked}.items())
        keep = self._keeps_acked(backlog)
        backlog.unacked = {number: message for number, message in both if message.published_s >= time_s}
        backlog.retained = {number: message for number, message in both if keep and message.published_s < time_s}

    def _keeps_acked(self, backlog: Backlog) -> bool:
        topic = self.topics.get(backlog.settings.topic)
        on_topic = topic is not None and topic.HasField("message_retention_duration")
        return bool(backlog.settings.retain_acked_messages) or on_topic

    def _restore_unacked(self, request: Any) -> None:
        self.backlogs[request.topic].unacked.update((message.id, message) for message in self._messages(request))

    def _restore_retained(self, request: Any) -> None:
        self.backlogs[request.topic].retained.update((message.id, message) for message in self._messages(request))

    def _snapshot(self) -> Iterator[Record]:
        for topic in self.topics.values():
            yield Kind.TOPIC, topic.SerializeToString()
        for backlog in self.backlogs.values():
            yield Kind.SUBSCRIPTION, backlog.settings.SerializeToString()
            for kind, messages in ((Kind.BACKLOG, backlog.unacked), (Kind.RETAINED, backlog.retained)):
                for chunk in _chunks(messages.values()):
                    request = PublishRequest(topic=backlog.settings.name)
                    for message in chunk:
                        request.messages.add().ParseFromString(message.data)
                    yield kind, request.SerializeToString()


def _chunks(messages: Iterable[Message]) -> Iterator[list[Message]]:
    chunk: list[Message] = []
    for message in messages:
        chunk.append(message)
        if len(chunk) == BACKLOG_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
