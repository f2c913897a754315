"""What every queue of requests, every publisher of requests and every sink of failures does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from counting_publisher import CountingPublisher
from engine_rig import ERROR_TOPIC, TOPIC, EngineRig
from million import ErrorTopic
from transfer.backends.pubsub.topics import PubSubFailures, PubSubRequests
from transfer.errors import Stage
from transfer.event_log import NoEventLog
from transfer.model import ObjectMeta, TransferFailure, TransferRequest
from transfer.ports import Delivery, RequestPublisher, RequestQueue
from transfer.records.messages import decode_failure, decode_request

COUNT = 25


def request_of(rig: EngineRig, number: int, objects: int = 2) -> TransferRequest:
    items = [
        ObjectMeta(key=f"k/{number}/{index}-ü\u2028", size_bytes=index, etag="e", last_modified_s=1)
        for index in range(objects)
    ]
    return TransferRequest(run_id=rig.run_id, listing="1", number=number, objects=tuple(items))


def drained(queue: RequestQueue, *, wait_s: float = 0.5) -> list[Delivery]:
    """All that the queue delivers, until a pull brings nothing."""
    found: list[Delivery] = []
    while batch := queue.pull(100, wait_s):
        found += batch
    return found


# Queues


def pubsub_queue(rig: EngineRig) -> RequestQueue:
    rig.open()
    publisher = PubSubRequests(rig.publisher, TOPIC, NoEventLog())
    for number in range(COUNT):
        publisher.publish(request_of(rig, number))
    publisher.flush()
    return rig.queue(rig.subscription)


def error_topic(rig: EngineRig) -> RequestQueue:
    return ErrorTopic(10 * COUNT)


@pytest.fixture(params=[pubsub_queue, error_topic], ids=["pubsub", "error topic in memory"])
def queue(request: pytest.FixtureRequest, rig: EngineRig) -> RequestQueue:
    """With COUNT messages in it."""
    return request.param(rig)


def bodies(deliveries: Sequence[Delivery]) -> set[bytes]:
    return {delivery.body for delivery in deliveries}


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.ack_id for delivery in deliveries]


def test_every_message_is_delivered_and_none_after_its_ack(queue: RequestQueue) -> None:
    found = drained(queue)
    assert len(bodies(found)) == len(found) == COUNT
    assert all(delivery.attributes for delivery in found)
    queue.ack(ids(found))
    assert drained(queue) == []


def test_no_more_than_asked_for_come_at_once(queue: RequestQueue) -> None:
    assert 0 < len(queue.pull(3, 2.0)) <= 3


def test_what_is_given_back_comes_again(queue: RequestQueue) -> None:
    first = drained(queue)
    queue.ack(ids(first[:10]))
    queue.extend(ids(first[10:]), 0)
    again = drained(queue)
    assert bodies(again) == bodies(first[10:])
    queue.ack(ids(again))
    assert drained(queue) == []


def test_what_is_kept_does_not_come_again_meanwhile(queue: RequestQueue) -> None:
    first = drained(queue)
    queue.extend(ids(first), queue.ack_deadline_s)
    assert drained(queue) == []
    queue.ack(ids(first))


def test_an_empty_queue_answers_in_time_and_nothing_can_be_settled(queue: RequestQueue) -> None:
    queue.ack(ids(drained(queue)))
    queue.ack([])
    queue.extend([], 10)
    began = time.monotonic()
    assert list(queue.pull(10, 0.3)) == []
    assert time.monotonic() - began < 3


# Publishers


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """A publisher, and how many objects have been stored through it."""

    publisher: RequestPublisher
    stored: Callable[[], int]


def pubsub_publisher(rig: EngineRig) -> Publishing:
    rig.open()
    queue, found = rig.queue(rig.subscription), []

    def stored() -> int:
        for delivery in drained(queue):
            found.append(decode_request(delivery.body, delivery.attributes))
        return sum(len(request.objects) for request in found)

    return Publishing(publisher=PubSubRequests(rig.publisher, TOPIC, NoEventLog()), stored=stored)


def counting_publisher(rig: EngineRig) -> Publishing:
    publisher = CountingPublisher()
    return Publishing(publisher=publisher, stored=lambda: publisher.objects)


@pytest.fixture(params=[pubsub_publisher, counting_publisher], ids=["pubsub", "counting"])
def publishing(request: pytest.FixtureRequest, rig: EngineRig) -> Publishing:
    return request.param(rig)


def test_after_a_flush_everything_is_stored_once(publishing: Publishing, rig: EngineRig) -> None:
    publishing.publisher.flush()
    for number in range(COUNT):
        publishing.publisher.publish(request_of(rig, number))
    publishing.publisher.flush()
    publishing.publisher.flush()
    assert publishing.stored() == 2 * COUNT
    publishing.publisher.publish(request_of(rig, COUNT, objects=100))
    publishing.publisher.flush()
    assert publishing.stored() == 2 * COUNT + 100


# Failures


def test_failures_are_stored_when_publishing_returns(rig: EngineRig) -> None:
    rig.open()
    sink = PubSubFailures(rig.publisher, ERROR_TOPIC, run_id=rig.run_id)
    failures = [
        TransferFailure(
            key=f"k/{number}", stage=Stage.UPLOAD, error_code="X", http_status=None, attempts=1, message="m ü"
        )
        for number in range(COUNT)
    ]
    sink.publish([])
    sink.publish(iter(failures))
    found = [decode_failure(delivery.body) for delivery in drained(rig.queue(rig.error_subscription))]
    assert sorted(found, key=lambda failure: int(failure.key[2:])) == failures
