"""Publishes to the two topics and pulls from a run's subscription, over google-cloud-pubsub.

Pulls are unary, and leases are our own; publishing keeps a bounded number of futures. The client library retries publishing,
pulling and acknowledging.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

from google.api_core import exceptions as google_exceptions
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.publisher import exceptions as publisher_exceptions

from transfer.backends.pubsub.answers import passes, pubsub_error
from transfer.errors import Stage, Stopped
from transfer.event_log import EventLog
from transfer.model import TransferFailure, TransferRequest
from transfer.ports import Delivery
from transfer.records.messages import RUN, billed_bytes, encode_failure, encode_request
from transfer.stopping import NEVER, QUEUE_S, RECORDS_S, Grace, Stop, call_in_thread, result_of

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S = 120.0
QUESTION_TIMEOUT_S = 20.0
MAX_OUTSTANDING = 5_000
MAX_OUTSTANDING_BYTES = 32 * 1024 * 1024
"""Less than the client's own flow control permits: that blocks where no stop request can interrupt it."""
MAX_PULL = 1_000
"""The most messages of one pull."""
MAX_ACK_IDS = 1_000
"""The most ack ids of one request: the service accepts 512 KiB ("Quotas and limits"), and an id has some 200 bytes."""
RETENTION_S = 31 * 24 * 3600
"""How long messages are kept: the most that Pub/Sub accepts (pubsub.proto, Subscription.message_retention_duration)."""
LESSER_RETENTION_S = 7 * 24 * 3600
"""The retention that every server accepts: the former maximum, and still that of Google's emulator."""
EXPIRATION_S = 31 * 24 * 3600
"""After how long without a pull a subscription is deleted. Pub/Sub refuses less than the retention ("Subscription properties"),
and the error topic's subscription is not pulled before all transfers have ended."""
LABELS = {"created-by": "edgehaul"}


class PubSubQueue:
    """A `RequestQueue` over one subscription. Thread-safe, as the client is. Its methods raise Stopped after a stop request."""

    def __init__(self, client: SubscriberClient, subscription: str, *, ack_deadline_s: int, stop: Stop = NEVER) -> None:
        self.ack_deadline_s = ack_deadline_s
        self._client = client
        self._subscription = subscription
        self._stop = stop
        self._end = Grace(stop, QUEUE_S)

    def pull(self, max_messages: int, wait_s: float) -> Sequence[Delivery]:
        """Pull up to `max_messages` (MAX_PULL at most), or none after about `wait_s`.

        A pull in flight is not abandoned on a stop request: the messages that it got would not be given back.
        """
        if self._stop.is_set():
            raise Stopped
        end_s = time.monotonic() + wait_s
        try:
            answer = self._client.pull(
                subscription=self._subscription,
                max_messages=min(max_messages, MAX_PULL),
                timeout=wait_s,
                retry=Retry(predicate=passes, initial=0.1, maximum=1.0, timeout=wait_s),
            )
        except (google_exceptions.DeadlineExceeded, google_exceptions.RetryError):
            return ()  # no messages now; the caller pulls again until it has waited long enough
        except (google_exceptions.GoogleAPIError, GoogleAuthError) as error:
            raise pubsub_error(error, self._subscription, Stage.MESSAGE) from error
        if not answer.received_messages:  # an empty answer may come at once, and the caller would pull again at once
            self._stop.wait(max(0.0, end_s - time.monotonic()))
        return [
            Delivery(ack_id=item.ack_id, body=item.message.data, attributes=dict(item.message.attributes))
            for item in answer.received_messages
        ]

    def ack(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge messages, so that they are not delivered again."""
        self._settle(ack_ids, lambda some: self._client.acknowledge(subscription=self._subscription, ack_ids=some))

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Set the ack deadline of messages to `seconds` from now; 0 gives them back."""
        self._settle(
            ack_ids,
            lambda some: self._client.modify_ack_deadline(
                subscription=self._subscription, ack_ids=some, ack_deadline_seconds=seconds, timeout=5.0
            ),
        )

    def _settle(self, ack_ids: Sequence[str], request: Callable[[Sequence[str]], object]) -> None:
        try:
            for start in range(0, len(ack_ids), MAX_ACK_IDS):
                call_in_thread(partial(request, ack_ids[start : start + MAX_ACK_IDS]), self._end)
        except (google_exceptions.GoogleAPIError, GoogleAuthError) as error:
            raise pubsub_error(error, self._subscription, Stage.SETTLE) from error


class _Publisher:
    """Publishes with a bounded number of futures outstanding."""

    def __init__(self, client: PublisherClient, topic: str, stage: Stage, stop: Stop) -> None:
        self._client = client
        self._topic = topic
        self._stage = stage
        self._stop = stop
        self._outstanding: deque[tuple[Future[Any], int]] = deque()
        self._outstanding_bytes = 0

    def send(self, body: bytes, attributes: dict[str, str]) -> None:
        """Hand one message over; waits for the oldest one when too many are in flight."""
        try:
            future = self._client.publish(self._topic, body, **attributes)
        except (google_exceptions.GoogleAPIError, GoogleAuthError, publisher_exceptions.MessageTooLargeError) as error:
            raise pubsub_error(error, self._topic, self._stage) from error
        self._outstanding.append((future, len(body)))
        self._outstanding_bytes += len(body)
        # A future keeps its batch in memory, so finished ones are dropped at once.
        while self._outstanding and (self._is_too_much() or self._outstanding[0][0].done()):
            self._await_oldest()

    def flush(self) -> None:
        """Wait until Pub/Sub has stored all messages handed over."""
        while self._outstanding:
            self._await_oldest()

    def _is_too_much(self) -> bool:
        return len(self._outstanding) > MAX_OUTSTANDING or self._outstanding_bytes > MAX_OUTSTANDING_BYTES

    def _await_oldest(self) -> None:
        future, size_bytes = self._outstanding.popleft()
        self._outstanding_bytes -= size_bytes
        try:
            result_of(future, self._stop, timeout_s=PUBLISH_TIMEOUT_S)
        except (google_exceptions.GoogleAPIError, GoogleAuthError, FutureTimeoutError) as error:
            raise pubsub_error(error, self._topic, self._stage) from error


class PubSubRequests:
    """A `RequestPublisher` to the request topic. Not thread-safe."""

    def __init__(self, client: PublisherClient, topic: str, events: EventLog, *, stop: Stop = NEVER) -> None:
        self._publisher = _Publisher(client, topic, Stage.LIST, stop)
        self._topic = topic
        self._events = events

    def publish(self, request: TransferRequest) -> int:
        """Hand a request over; it is certain to be stored only after `flush`. Returns the bytes that are billed for it."""
        body, attributes = encode_request(request)
        self._publisher.send(body, attributes)
        self._events.message_published(self._topic, len(request.objects), request.size_bytes)
        return billed_bytes(body, attributes)

    def flush(self) -> None:
        """Wait until Pub/Sub has stored all requests handed over."""
        self._publisher.flush()


class PubSubFailures:
    """A `FailureSink` to the error topic. Thread-safe."""

    def __init__(self, client: PublisherClient, topic: str, *, run_id: str, stop: Stop = NEVER) -> None:
        self._client = client
        self._end = Grace(stop, RECORDS_S)
        self._topic = topic
        self._run_id = run_id

    def publish(self, failures: Iterable[TransferFailure]) -> None:
        """Publish failures, and return when Pub/Sub has stored them all."""
        publisher = _Publisher(self._client, self._topic, Stage.SETTLE, self._end)
        for failure in failures:
            publisher.send(*encode_failure(failure, run_id=self._run_id))
        publisher.flush()


def ensure_topic(client: PublisherClient, topic: str) -> None:
    """Create the topic unless it exists. Without the permission to create topics, nothing is done."""
    try:
        client.create_topic(name=topic)
    except google_exceptions.AlreadyExists:
        return
    except google_exceptions.PermissionDenied:
        return  # publishing will show whether the topic exists
    except (google_exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise pubsub_error(error, topic, Stage.LIST) from error


def granted_permissions(client: PublisherClient, topic: str, permissions: Sequence[str]) -> Sequence[str] | None:
    """The permissions among these that we have on the topic; None where the server cannot say, as an emulator."""
    try:
        answer = client.test_iam_permissions(
            request={"resource": topic, "permissions": list(permissions)}, timeout=QUESTION_TIMEOUT_S
        )
    except google_exceptions.MethodNotImplemented:
        return None
    except google_exceptions.NotFound:
        return ()
    except (google_exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise pubsub_error(error, topic, Stage.MESSAGE) from error
    return list(answer.permissions)


def topic_exists(client: PublisherClient, topic: str) -> bool | None:
    """Whether the topic exists; None when we lack the permission to ask."""
    try:
        client.get_topic(topic=topic, timeout=QUESTION_TIMEOUT_S)
    except google_exceptions.NotFound:
        return False
    except google_exceptions.PermissionDenied:
        return None
    except (google_exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise pubsub_error(error, topic, Stage.MESSAGE) from error
    return True


def create_subscription(
    client: SubscriberClient, subscription: str, *, topic: str, run_id: str, ack_deadline_s: int
) -> None:
    """Create a subscription that receives one run's messages only, and expires when it is not used for EXPIRATION_S."""
    request = {
        "name": subscription,
        "topic": topic,
        "ack_deadline_seconds": ack_deadline_s,
        "message_retention_duration": {"seconds": RETENTION_S},
        "expiration_policy": {"ttl": {"seconds": EXPIRATION_S}},
        "filter": run_filter(run_id),
        "labels": LABELS,
    }
    try:
        try:
            client.create_subscription(request=request)
        except google_exceptions.InvalidArgument as error:
            lesser = {**request, "message_retention_duration": {"seconds": LESSER_RETENTION_S}}
            client.create_subscription(request=lesser)  # a request that is invalid otherwise is refused again
            log.warning("messages are kept for only 7 days, since this Pub/Sub refused more: %s", error.message)
    except (google_exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise pubsub_error(error, topic, Stage.LIST) from error


def run_filter(run_id: str) -> str:
    """The filter of a subscription that receives one run's messages only."""
    return f'attributes.{RUN} = "{run_id}"'


def delete_subscription(client: SubscriberClient, subscription: str) -> None:
    """Delete a subscription; an absent one is no error."""
    try:
        client.delete_subscription(subscription=subscription)
    except google_exceptions.NotFound:
        return
    except (google_exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise pubsub_error(error, subscription, Stage.SETTLE) from error
