"""The methods of google.pubsub.v1.Publisher and Subscriber over the broker.

Not served, and so UNIMPLEMENTED: snapshots, schemas, push delivery, detaching. Accepted without effect: message
ordering, exactly-once delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import google.pubsub_v1.types as pubsub_types
import grpc
from google.iam.v1 import iam_policy_pb2
from google.protobuf.empty_pb2 import Empty

from localcloud.faults import Fault
from localcloud.grpc_control import GrpcServer, break_answer
from localcloud.pubsub.broker import MAX_PULL_MESSAGES, Broker
from localcloud.pubsub.errors import invalid, unimplemented
from localcloud.pubsub.leases import Delivery, Stream
from localcloud.pubsub.rules import MAX_ACK_DEADLINE_S, MIN_ACK_DEADLINE_S

PULL_WAIT_S = 5.0
"""How long a pull of an empty subscription waits before it answers with nothing."""
TICK_S = 0.05
MAX_PAGE = 1_000
_CALLS = {"pubsub.topics.publish": "Publish", "pubsub.topics.attachSubscription": "CreateSubscription"}
"""Which call a permission on a topic is for."""


class PubSubService:
    """Handlers to be run on one event loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def register(self, server: GrpcServer) -> None:
        """Add both services and the broker's clock to the server."""
        raw = _raw_type
        topic, subscription = raw("Topic"), raw("Subscription")
        publisher = {
            "CreateTopic": (self.create_topic, topic, topic),
            "GetTopic": (self.get_topic, raw("GetTopicRequest"), topic),
            "UpdateTopic": (self.update_topic, raw("UpdateTopicRequest"), topic),
            "ListTopics": (self.list_topics, raw("ListTopicsRequest"), raw("ListTopicsResponse")),
            "DeleteTopic": (self.delete_topic, raw("DeleteTopicRequest"), Empty),
            "Publish": (self.publish, raw("PublishRequest"), raw("PublishResponse")),
            "ListTopicSubscriptions": (
                self.list_topic_subscriptions,
                raw("ListTopicSubscriptionsRequest"),
                raw("ListTopicSubscriptionsResponse"),
            ),
        }
        subscriber = {
            "CreateSubscription": (self.create_subscription, subscription, subscription),
            "GetSubscription": (self.get_subscription, raw("GetSubscriptionRequest"), subscription),
            "UpdateSubscription": (self.update_subscription, raw("UpdateSubscriptionRequest"), subscription),
            "ListSubscriptions": (
                self.list_subscriptions,
                raw("ListSubscriptionsRequest"),
                raw("ListSubscriptionsResponse"),
            ),
            "DeleteSubscription": (self.delete_subscription, raw("DeleteSubscriptionRequest"), Empty),
            "Pull": (self.pull, raw("PullRequest"), raw("PullResponse")),
            "Acknowledge": (self.acknowledge, raw("AcknowledgeRequest"), Empty),
            "ModifyAckDeadline": (self.modify_ack_deadline, raw("ModifyAckDeadlineRequest"), Empty),
            "Seek": (self.seek, raw("SeekRequest"), raw("SeekResponse")),
        }
        streaming = {
            "StreamingPull": (self.streaming_pull, raw("StreamingPullRequest"), raw("StreamingPullResponse")),
        }
        self._faults = server.faults
        permissions = (
            self.test_iam_permissions,
            iam_policy_pb2.TestIamPermissionsRequest,
            iam_policy_pb2.TestIamPermissionsResponse,
        )
        server.add_service("google.pubsub.v1.Publisher", publisher)
        server.add_service("google.iam.v1.IAMPolicy", {"TestIamPermissions": permissions})
        server.add_service("google.pubsub.v1.Subscriber", subscriber, streaming)
        server.add_background(self._tick)

    async def _tick(self) -> None:
        while True:
            self._broker.tick()
            await asyncio.sleep(TICK_S)

    async def create_topic(self, request: Any, _: Any) -> Any:
        """See Broker.create_topic."""
        return self._broker.create_topic(request)

    async def get_topic(self, request: Any, _: Any) -> Any:
        """NOT_FOUND without it."""
        return self._broker.topic(request.topic)

    async def update_topic(self, request: Any, _: Any) -> Any:
        """See Broker.update_topic."""
        return self._broker.update_topic(request.topic, request.update_mask.paths)

    async def list_topics(self, request: Any, _: Any) -> Any:
        """By name, paged."""
        topics = self._broker.store.topics
        names, token = _page([name for name in topics if name.startswith(f"{request.project}/topics/")], request)
        return _raw_type("ListTopicsResponse")(topics=[topics[name] for name in names], next_page_token=token)

    async def delete_topic(self, request: Any, _: Any) -> Any:
        """See Broker.delete_topic."""
        self._broker.delete_topic(request.topic)
        return Empty()

    async def publish(self, request: Any, _: Any) -> Any:
        """See Broker.publish."""
        return _raw_type("PublishResponse")(message_ids=self._broker.publish(request))

    async def list_topic_subscriptions(self, request: Any, _: Any) -> Any:
        """By name, paged."""
        self._broker.topic(request.topic)
        names, token = _page(self._broker.store.subscriptions_of(request.topic), request)
        return _raw_type("ListTopicSubscriptionsResponse")(subscriptions=names, next_page_token=token)

    async def test_iam_permissions(self, request: Any, _: Any) -> Any:
        """Those asked about, of a topic that is there, but for calls that the fault plan refuses with 403."""
        is_there = request.resource in self._broker.store.topics
        granted = [name for name in request.permissions if is_there and not self._is_refused(name, request.resource)]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)

    def _is_refused(self, permission: str, resource: str) -> bool:
        fault = self._faults.decide(f"{_CALLS.get(permission, permission)} {resource}")
        return fault is not None and fault.action == "status" and fault.status == 403

    async def create_subscription(self, request: Any, _: Any) -> Any:
        """See Broker.create_subscription."""
        return self._broker.create_subscription(request)

    async def get_subscription(self, request: Any, _: Any) -> Any:
        """NOT_FOUND without it."""
        return self._broker.queue(request.subscription).backlog.settings

    async def update_subscription(self, request: Any, _: Any) -> Any:
        """See Broker.update_subscription."""
        return self._broker.update_subscription(request.subscription, request.update_mask.paths)

    async def list_subscriptions(self, request: Any, _: Any) -> Any:
        """By name, paged."""
        backlogs = self._broker.store.backlogs
        mine = [name for name in backlogs if name.startswith(f"{request.project}/subscriptions/")]
        names, token = _page(mine, request)
        settings = [backlogs[name].settings for name in names]
        return _raw_type("ListSubscriptionsResponse")(subscriptions=settings, next_page_token=token)

    async def delete_subscription(self, request: Any, _: Any) -> Any:
        """See Broker.delete_subscription."""
        self._broker.delete_subscription(request.subscription)
        return Empty()

    async def pull(self, request: Any, _: Any) -> Any:
        """Waits up to `PULL_WAIT_S` for a first message unless `return_immediately` is set."""
        if request.max_messages <= 0:
            raise invalid("No max_messages specified")
        loop = asyncio.get_running_loop()
        until_s = loop.time() + (0.0 if request.return_immediately else PULL_WAIT_S)
        while True:
            deliveries = self._broker.take(request.subscription, request.max_messages)
            left_s = until_s - loop.time()
            if deliveries or left_s <= 0:
                return self._fill(_raw_type("PullResponse")(), request.subscription, deliveries)
            wake = self._broker.queue(request.subscription).wake
            wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), left_s)

    def _fill(self, response: Any, subscription: str, deliveries: list[Delivery]) -> Any:
        counts = self._broker.queue(subscription).backlog.settings.HasField("dead_letter_policy")
        for delivery in deliveries:
            received = response.received_messages.add()
            received.ack_id = delivery.ack_id
            received.message.ParseFromString(delivery.message.data)
            if counts:
                received.delivery_attempt = delivery.attempts
        return response

    async def acknowledge(self, request: Any, _: Any) -> Any:
        """See Broker.acknowledge."""
        self._broker.acknowledge(request.subscription, request.ack_ids)
        return Empty()

    async def modify_ack_deadline(self, request: Any, _: Any) -> Any:
        """See Broker.modify_ack_deadline."""
        self._broker.modify_ack_deadline(request.subscription, request.ack_ids, request.ack_deadline_seconds)
        return Empty()

    async def seek(self, request: Any, _: Any) -> Any:
        """To a time only."""
        if not request.HasField("time"):
            raise unimplemented("snapshots are not part of the local cloud")
        self._broker.seek(request.subscription, request.time)
        return _raw_type("SeekResponse")()

    async def streaming_pull(self, first: Any, context: Any, fault: Fault | None) -> None:
        """Messages as they come, as many outstanding as the first request allows, until the client ends it."""
        if first is grpc.aio.EOF:
            return
        name = first.subscription
        if not MIN_ACK_DEADLINE_S <= first.stream_ack_deadline_seconds <= MAX_ACK_DEADLINE_S:
            raise invalid(f"Invalid stream ack deadline given ({first.stream_ack_deadline_seconds} s).")
        stream = Stream(first.stream_ack_deadline_seconds, first.max_outstanding_messages, first.max_outstanding_bytes)
        wake = self._broker.queue(name).wake
        self._settle(name, stream, first)
        reader = asyncio.ensure_future(self._read_stream(name, stream, context))
        reader.add_done_callback(lambda _: wake.set())
        queue = self._broker.queue(name)
        queue.streams += 1
        try:
            while not reader.done():
                deliveries = self._broker.take(name, MAX_PULL_MESSAGES, stream)
                if not deliveries:
                    wake.clear()
                    await wake.wait()
                    continue
                break_answer(fault)
                await context.write(self._fill(_raw_type("StreamingPullResponse")(), name, deliveries))
            await reader
        finally:
            queue.streams -= 1
            reader.cancel()

    async def _read_stream(self, name: str, stream: Stream, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            self._settle(name, stream, request)

    def _settle(self, name: str, stream: Stream, request: Any) -> None:
        """Do what a request on the stream says about earlier messages."""
        if request.ack_ids:
            self._broker.acknowledge(name, request.ack_ids)
        pairs = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=False)
        for ack_id, seconds in pairs:
            self._broker.modify_ack_deadline(name, [ack_id], seconds)
        if MIN_ACK_DEADLINE_S <= request.stream_ack_deadline_seconds <= MAX_ACK_DEADLINE_S:
            stream.ack_deadline_s = request.stream_ack_deadline_seconds


def _raw_type(name: str) -> Any:
    """The protobuf class behind one of the client library's wrappers."""
    return getattr(pubsub_types, name).pb()


def _page(names: list[str], request: Any) -> tuple[list[str], str]:
    size = min(request.page_size or MAX_PAGE, MAX_PAGE)
    rest = sorted(name for name in names if name > request.page_token)
    return rest[:size], rest[size - 1] if len(rest) > size else ""
