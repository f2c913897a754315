"""Deliveries: who holds which message until when, on top of the store.

At least once, in rough publish order. A lease that runs out or is given back (deadline 0) puts the message back in
the queue, after the retry policy's backoff if there is one, or on the dead-letter topic once the policy's attempts are
used up. An ack id is good until its lease ends; a later one is ignored, the strictest thing the service may do.

Not thread-safe: it lives on the server's event loop, and `tick` has to be called every few hundredths of a second.
"""

from __future__ import annotations

import heapq
import itertools
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from localcloud.pubsub import rules
from localcloud.pubsub.errors import already_exists, invalid, not_found
from localcloud.pubsub.leases import Delivery, Queue, Stream
from localcloud.pubsub.store import AcknowledgeRequest, Kind, PublishRequest, SeekRequest, Store

MAX_PULL_MESSAGES = 1_000
MAX_PULL_BYTES = 3_500_000
"""Less than the 4 MiB a Python client takes from an emulator, framing included."""
SERVICES_ACK_ID_BYTES = 200
"""About what one of the service's own takes; those given here are shorter."""
REORDER_WINDOW = 100
RETENTION_CHECK_S = 1.0

_ACK_ID = re.compile(r"[0-9a-f]+-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Chaos:
    """What at-least-once delivery allows and a quiet server never shows. The same seed makes the same draws."""

    duplicate_probability: float = 0.0
    """Of a delivery being followed by a second one of the same message."""
    reorder: bool = False
    """Draw each message from the first `REORDER_WINDOW` waiting ones."""
    seed: int = 0


class Broker:
    """Topics, subscriptions and leases. Its methods raise RefusedError; times are `clock` seconds since the epoch."""

    def __init__(self, store: Store, *, chaos: Chaos | None = None, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.ahead_s = 0.0
        self._clock: Callable[[], float] = lambda: clock() + self.ahead_s
        self._serial = itertools.count(1)
        self._epoch = f"{int(self._clock() * 1e6):x}"  # ack ids of an earlier run mean nothing
        self._retention_due_s = 0.0
        self._queues = {name: Queue(backlog, used_s=self._clock()) for name, backlog in store.backlogs.items()}
        for queue in self._queues.values():
            queue.ready.extend(map(Delivery, queue.backlog.unacked.values()))
        self.set_chaos(chaos or Chaos())

    def set_chaos(self, chaos: Chaos) -> None:
        """Replace the chaos, and restart its random draws."""
        self.chaos = chaos
        self._random = random.Random(chaos.seed)

    def set_ahead(self, seconds: float) -> None:
        """Set its clock so far ahead of the one it was given: leases, messages and subscriptions age."""
        self.ahead_s = seconds
        self._retention_due_s = 0.0
        self.tick()

    def topic(self, name: str) -> Any:
        """The topic. NOT_FOUND without it."""
        if name not in self.store.topics:
            raise not_found(name)
        return self.store.topics[name]

    def queue(self, name: str) -> Queue:
        """The subscription. NOT_FOUND without it."""
        if name not in self._queues:
            raise not_found(name)
        return self._queues[name]

    def _used(self, name: str) -> Queue:
        """The subscription, which somebody consumes from or changes at this moment. NOT_FOUND without it."""
        queue = self.queue(name)
        queue.used_s = self._clock()
        return queue

    def create_topic(self, topic: Any) -> Any:
        """ALREADY_EXISTS, or INVALID_ARGUMENT for its name or retention."""
        rules.check_topic(topic)
        if topic.name in self.store.topics:
            raise already_exists(topic.name)
        self.store.record(Kind.TOPIC, topic)
        return topic

    def update_topic(self, new: Any, paths: Iterable[str]) -> Any:
        """Change the masked fields."""
        topic = rules.merge(self.topic(new.name), new, paths)
        rules.check_topic(topic)
        self.store.record(Kind.TOPIC, topic)
        return topic

    def delete_topic(self, name: str) -> None:
        """Its subscriptions live on, on the topic `_deleted-topic_`."""
        self.store.record(Kind.TOPIC_GONE, self.topic(name))

    def create_subscription(self, settings: Any) -> Any:
        """NOT_FOUND without the topic, ALREADY_EXISTS, or INVALID_ARGUMENT."""
        rules.check_subscription(settings)
        if settings.name in self._queues:
            raise already_exists(settings.name)
        self.topic(settings.topic)
        self._check_dead_letter_topic(settings)
        self.store.record(Kind.SUBSCRIPTION, settings)
        self._queues[settings.name] = Queue(self.store.backlogs[settings.name], used_s=self._clock())
        return settings

    def update_subscription(self, new: Any, paths: Iterable[str]) -> Any:
        """Change the masked fields; the filter, the topic and ordering cannot be changed."""
        settings = rules.merge(self._used(new.name).backlog.settings, new, paths)
        rules.check_subscription(settings)
        self._check_dead_letter_topic(settings)
        self.store.record(Kind.SUBSCRIPTION, settings)
        return settings

    def _check_dead_letter_topic(self, settings: Any) -> None:
        if settings.HasField("dead_letter_policy"):
            self.topic(settings.dead_letter_policy.dead_letter_topic)

    def delete_subscription(self, name: str) -> None:
        """Delete the subscription with its messages; clients that wait on it are woken, and get NOT_FOUND."""
        queue = self.queue(name)
        self.store.record(Kind.SUBSCRIPTION_GONE, queue.backlog.settings)
        del self._queues[name]
        queue.wake.set()

    def publish(self, request: Any) -> list[str]:
        """The ids given to the messages of a PublishRequest, which is changed."""
        self.topic(request.topic)
        rules.check_publish(request.messages, request.ByteSize())
        return self._publish(request)

    def _publish(self, request: Any) -> list[str]:
        now_s = self._clock()
        first = max(self.store.last_message_id + 1, int(now_s * 1e6))  # never an id of an earlier run again
        seconds = int(now_s)
        for number, message in enumerate(request.messages, first):
            message.message_id = str(number)
            message.publish_time.seconds = seconds
            message.publish_time.nanos = int((now_s - seconds) * 1e9)
        for name, messages in self.store.record(Kind.PUBLISH, request):
            if messages:
                queue = self._queues[name]
                queue.ready.extend(map(Delivery, messages))
                queue.wake.set()
        return [str(number) for number in range(first, first + len(request.messages))]

    def take(self, name: str, max_messages: int, stream: Stream | None = None) -> list[Delivery]:
        """Lease up to `max_messages` waiting messages, `MAX_PULL_BYTES` in all but at least one."""
        queue = self._used(name)
        now_s = self._clock()
        deadline_s = now_s + (stream.ack_deadline_s if stream else queue.backlog.settings.ack_deadline_seconds)
        taken: list[Delivery] = []
        size_bytes = 0
        while queue.ready and len(taken) < min(max_messages, MAX_PULL_MESSAGES):
            if stream is not None and not stream.has_room():
                break
            delivery = self._next(queue)
            if delivery.message.id not in queue.backlog.unacked and not delivery.is_duplicate:
                continue  # retention or a seek has taken it away
            size_bytes += len(delivery.message.data)
            if taken and size_bytes > MAX_PULL_BYTES:
                queue.ready.appendleft(delivery)
                break
            self._lease(queue, delivery, deadline_s, stream)
            taken.append(delivery)
        return taken

    def _next(self, queue: Queue) -> Delivery:
        if self.chaos.reorder:
            index = self._random.randrange(min(len(queue.ready), REORDER_WINDOW))
            queue.ready[0], queue.ready[index] = queue.ready[index], queue.ready[0]
        return queue.ready.popleft()

    def _lease(self, queue: Queue, delivery: Delivery, deadline_s: float, stream: Stream | None) -> None:
        delivery.attempts += 1
        delivery.ack_id = f"{self._epoch}-{next(self._serial):x}"
        delivery.deadline_s = deadline_s
        delivery.stream = stream
        if stream is not None:
            stream.messages += 1
            stream.bytes += len(delivery.message.data)
        queue.leases[delivery.ack_id] = delivery
        heapq.heappush(queue.expiries, (deadline_s, delivery.ack_id))
        chaos = self.chaos
        if chaos.duplicate_probability and self._random.random() < chaos.duplicate_probability:
            queue.ready.append(Delivery(delivery.message, delivery.attempts, is_duplicate=True))

    def acknowledge(self, name: str, ack_ids: Iterable[str]) -> None:
        """The messages are done with. Ids of leases that ended are ignored; INVALID_ARGUMENT for what is no ack id."""
        queue = self._used(name)
        deliveries = filter(None, map(queue.end_lease, _checked(ack_ids)))
        done = [str(delivery.message.id) for delivery in deliveries]
        if done:
            self.store.record(Kind.ACK, AcknowledgeRequest(subscription=name, ack_ids=done))

    def modify_ack_deadline(self, name: str, ack_ids: Iterable[str], seconds: int) -> None:
        """Let the leases end `seconds` (0–600) from now; 0 gives the messages back at once."""
        if not 0 <= seconds <= rules.MAX_ACK_DEADLINE_S:
            raise invalid(f"Invalid ack deadline given (ack_deadline_seconds={seconds}).")
        queue = self._used(name)
        deadline_s = self._clock() + seconds
        for ack_id in _checked(ack_ids):
            if seconds == 0:
                self._give_back(queue, queue.end_lease(ack_id))
            elif (delivery := queue.leases.get(ack_id)) is not None:
                delivery.deadline_s = deadline_s
                heapq.heappush(queue.expiries, (deadline_s, ack_id))

    def seek(self, name: str, timestamp: Any) -> None:
        """Everything published before the time is acknowledged, everything kept since is not; leases end."""
        queue = self._used(name)
        self.store.record(Kind.SEEK, SeekRequest(subscription=name, time=timestamp))
        for ack_id in list(queue.leases):
            queue.end_lease(ack_id)
        queue.delayed.clear()
        queue.ready = deque(map(Delivery, queue.backlog.unacked.values()))
        queue.wake.set()

    def tick(self) -> None:
        """End the leases that have run out and the backoffs that are over; drop what is too old or long unused."""
        now_s = self._clock()
        for name, queue in list(self._queues.items()):
            policy = queue.backlog.settings.expiration_policy
            if queue.streams:
                queue.used_s = now_s
            elif policy.HasField("ttl") and now_s - queue.used_s >= policy.ttl.seconds:
                self.delete_subscription(name)
        for queue in list(self._queues.values()):
            while queue.expiries and queue.expiries[0][0] <= now_s:
                _, ack_id = heapq.heappop(queue.expiries)
                delivery = queue.leases.get(ack_id)
                if delivery is not None and delivery.deadline_s <= now_s:
                    self._give_back(queue, queue.end_lease(ack_id))
            while queue.delayed and queue.delayed[0][0] <= now_s:
                queue.ready.append(heapq.heappop(queue.delayed)[2])
                queue.wake.set()
        if now_s >= self._retention_due_s:
            self._retention_due_s = now_s + RETENTION_CHECK_S
            for backlog in self.store.backlogs.values():
                backlog.drop_older_than(now_s - backlog.settings.message_retention_duration.seconds)

    def _give_back(self, queue: Queue, delivery: Delivery | None) -> None:
        if delivery is None or delivery.is_duplicate or delivery.message.id not in queue.backlog.unacked:
            return
        settings = queue.backlog.settings
        if self._dead_letter(settings, delivery):
            return
        if settings.HasField("retry_policy"):
            policy = settings.retry_policy
            shortest_s = policy.minimum_backoff.seconds + policy.minimum_backoff.nanos / 1e9
            longest_s = policy.maximum_backoff.seconds + policy.maximum_backoff.nanos / 1e9
            ready_s = self._clock() + min(longest_s, shortest_s * 2 ** min(delivery.attempts - 1, 30))
            heapq.heappush(queue.delayed, (ready_s, next(self._serial), delivery))
        else:
            queue.ready.append(delivery)
            queue.wake.set()

    def _dead_letter(self, settings: Any, delivery: Delivery) -> bool:
        policy = settings.dead_letter_policy
        if not settings.HasField("dead_letter_policy") or delivery.attempts < policy.max_delivery_attempts:
            return False
        if policy.dead_letter_topic not in self.store.topics:
            return False  # as in the service, it stays where it is
        request = PublishRequest(topic=policy.dead_letter_topic)
        letter = request.messages.add()
        letter.ParseFromString(delivery.message.data)
        _, project, _, subscription = settings.name.split("/")
        letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = str(delivery.attempts)
        letter.attributes["CloudPubSubDeadLetterSourceSubscription"] = subscription
        letter.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = project
        letter.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = letter.publish_time.ToJsonString()
        self._publish(request)
        done = AcknowledgeRequest(subscription=settings.name, ack_ids=[str(delivery.message.id)])
        self.store.record(Kind.ACK, done)
        return True


def _checked(ack_ids: Iterable[str]) -> list[str]:
    ack_ids = list(ack_ids)
    if not ack_ids:
        raise invalid("No ack ids specified.")
    if len(ack_ids) * SERVICES_ACK_ID_BYTES > rules.MAX_ACK_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {rules.MAX_ACK_BYTES} bytes.")
    for ack_id in ack_ids:
        if not _ACK_ID.fullmatch(ack_id):
            raise invalid(f"You have passed an invalid ack ID to the service (ack_id={ack_id}).")
    return ack_ids
