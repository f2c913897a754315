"""What only our Pub/Sub server does: filters as subscriptions see them, faults and chaos on request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from localcloud.pubsub import PubSubServer

TOPIC, SUBSCRIPTION = "projects/p/topics/topic", "projects/p/subscriptions/subscription"


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[PubSubServer]:
    running = PubSubServer(tmp_path)
    running.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", running.url)
    yield running
    running.stop()


def control(server: PubSubServer, method: str, document: object = None) -> dict:
    with grpc.insecure_channel(server.url) as channel:
        body = b"" if document is None else json.dumps(document).encode()
        call: Any = channel.unary_unary(f"/localcloud.Control/{method}")
        return json.loads(call(body, timeout=10))


def put(server: PubSubServer, *faults: dict) -> None:
    control(server, "Faults", {"faults": list(faults)})


def ready() -> tuple[pubsub_v1.PublisherClient, pubsub_v1.SubscriberClient]:
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    publisher.create_topic(name=TOPIC)
    subscriber.create_subscription(request={"name": SUBSCRIPTION, "topic": TOPIC, "filter": 'attributes.run = "mine"'})
    return publisher, subscriber


def pull(subscriber: pubsub_v1.SubscriberClient, wait_s: float = 2.0) -> list[bytes]:
    try:
        found = subscriber.pull(subscription=SUBSCRIPTION, max_messages=100, timeout=wait_s, retry=None)
    except exceptions.DeadlineExceeded:
        return []
    return [item.message.data for item in found.received_messages]


def test_a_filter_keeps_other_runs_out(server: PubSubServer) -> None:
    publisher, subscriber = ready()
    for run in ("mine", "theirs"):
        publisher.publish(TOPIC, run.encode(), run=run).result(timeout=10)
    publisher.publish(TOPIC, b"nobody's").result(timeout=10)
    assert pull(subscriber) == [b"mine"]
    with pytest.raises(exceptions.InvalidArgument):
        subscriber.create_subscription(
            request={"name": f"{SUBSCRIPTION}-2", "topic": TOPIC, "filter": "attributes.run ="}
        )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, exceptions.PermissionDenied),
        (404, exceptions.NotFound),
        (429, exceptions.ResourceExhausted),
        (500, exceptions.InternalServerError),
        (503, exceptions.ServiceUnavailable),
    ],
)
def test_a_status_fault_is_the_real_error(server: PubSubServer, status: int, error: type[Exception]) -> None:
    _, subscriber = ready()
    put(server, {"match": "GetSubscription .*/subscription$", "action": "status", "status": status, "times": 1})
    with pytest.raises(error):
        subscriber.get_subscription(subscription=SUBSCRIPTION, retry=None)
    assert control(server, "Faults")["faults"][0]["hits"] == 1
    subscriber.get_subscription(subscription=SUBSCRIPTION, retry=None)


def test_a_lost_answer_has_done_its_work(server: PubSubServer) -> None:
    publisher, subscriber = ready()
    put(server, {"match": "^Publish ", "action": "lose_answer", "times": 1})
    publisher.publish(TOPIC, b"once or twice", run="mine").result(timeout=20)
    assert set(pull(subscriber)) == {b"once or twice"}
    assert control(server, "Requests")["Publish UNAVAILABLE"] == 1


def test_chaos_delivers_twice(server: PubSubServer) -> None:
    publisher, subscriber = ready()
    control(server, "Chaos", {"duplicate_probability": 1.0, "seed": 1})
    publisher.publish(TOPIC, b"again", run="mine").result(timeout=10)
    assert Counter(pull(subscriber) + pull(subscriber))[b"again"] >= 2


def test_a_bad_plan_is_refused_and_other_addresses_too(server: PubSubServer) -> None:
    with pytest.raises(grpc.RpcError, match="action"):
        put(server, {"match": "x", "action": "explode"})
    with pytest.raises(ValueError, match="loopback"):
        PubSubServer(None, host="0.0.0.0")


def test_a_restart_loses_nothing(tmp_path, monkeypatch) -> None:
    first = PubSubServer(tmp_path)
    first.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", first.url)
    publisher, _ = ready()
    publisher.publish(TOPIC, b"kept", run="mine").result(timeout=10)
    first.stop()
    again = PubSubServer(tmp_path)
    again.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", again.url)
    try:
        assert pull(pubsub_v1.SubscriberClient()) == [b"kept"]
    finally:
        again.stop()
