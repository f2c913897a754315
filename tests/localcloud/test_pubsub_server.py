"""Our Pub/Sub server where Google's emulator 0.8.20 cannot serve as the measure: limits, wording, leases, its process.

Faults, chaos and filters are in test_pubsub_faults.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as RawPublisher
from google.pubsub_v1 import types

from localcloud.faults import Fault
from localcloud.pubsub import PubSubServer
from transfer.backends.pubsub.topics import PubSubQueue

TOPIC = "projects/p/topics/work"
SUBSCRIPTION = "projects/p/subscriptions/workers"
TIMEOUT_S = 20


@pytest.fixture
def server(tmp_path):
    server = PubSubServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clients(server, monkeypatch):
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.url)
    with pubsub_v1.PublisherClient() as publisher, pubsub_v1.SubscriberClient() as subscriber:
        publisher.create_topic(name=TOPIC)
        yield publisher, subscriber


def create(subscriber, **settings):
    settings = {"name": SUBSCRIPTION, "topic": TOPIC} | settings
    return subscriber.create_subscription(request=settings)


def publish(publisher, *bodies, retry=None, **attributes):
    messages = [types.PubsubMessage(data=body, attributes=attributes) for body in bodies]
    return RawPublisher.publish(publisher, topic=TOPIC, messages=messages, retry=retry).message_ids


def pull(subscriber, **options):
    request = {"subscription": SUBSCRIPTION, "max_messages": 1000, "return_immediately": True} | options
    return list(subscriber.pull(request=request, timeout=TIMEOUT_S, retry=None).received_messages)


def control(url, method, document=None):
    with grpc.insecure_channel(url) as channel:
        call: Any = channel.unary_unary(f"/localcloud.Control/{method}")
        return json.loads(call(b"" if document is None else json.dumps(document).encode(), timeout=TIMEOUT_S))


def bodies(received):
    return [item.message.data for item in received]


@pytest.mark.parametrize(
    "settings",
    [
        {"filter": "bogus"},
        {"filter": "attributes:" + "x" * 256},
        {"ack_deadline_seconds": 9},
        {"ack_deadline_seconds": 601},
        {"dead_letter_policy": {"dead_letter_topic": TOPIC, "max_delivery_attempts": 4}},
        {"dead_letter_policy": {"dead_letter_topic": TOPIC, "max_delivery_attempts": 101}},
        {"retry_policy": {"minimum_backoff": {"seconds": 601}}},
        {"message_retention_duration": {"seconds": 599}},
    ],
)
def test_bad_settings_are_refused(clients, settings):
    with pytest.raises(exceptions.InvalidArgument):
        create(clients[1], **settings)


def test_limits_of_a_publish(clients):
    publisher, _ = clients
    publish(publisher, b"x" * 9_900_000)
    for bodies_, attributes in [
        ([b"x" * 5_000_000] * 2, {}),
        ([b"x"], {"googx": ""}),
        ([b"x"], {"k" * 257: ""}),
        ([b"x"], {"k": "v" * 1025}),
        ([b"x"], {f"k{number}": "" for number in range(101)}),
    ]:
        with pytest.raises(exceptions.InvalidArgument):
            publish(publisher, *bodies_, **attributes)


def test_a_request_settles_no_more_than_its_size_allows(clients):
    _, subscriber = clients
    create(subscriber)
    many = [f"1-{number:x}" for number in range(3_000)]
    PubSubQueue(subscriber, SUBSCRIPTION, ack_deadline_s=10).ack(many)
    with pytest.raises(exceptions.InvalidArgument, match="size exceeds"):
        subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=many)


def test_refusals_use_the_words_of_the_service(clients):
    publisher, _ = clients
    with pytest.raises(exceptions.AlreadyExists, match=r"Resource already exists in the project \(resource=work\)\."):
        publisher.create_topic(name=TOPIC)
    with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=missing\)\."):
        publisher.get_topic(topic="projects/p/topics/missing")


def test_topics_are_listed_in_pages(clients):
    publisher, _ = clients
    names = [f"projects/many/topics/t{number:02}" for number in range(7)]
    for name in reversed(names):
        publisher.create_topic(name=name)
    pager = publisher.list_topics(request={"project": "projects/many", "page_size": 3})
    assert [[topic.name for topic in page.topics] for page in pager.pages] == [names[:3], names[3:6], names[6:]]


def test_the_delivery_attempt_is_told_under_a_dead_letter_policy_only(clients):
    publisher, subscriber = clients
    create(subscriber, dead_letter_policy={"dead_letter_topic": TOPIC})
    publish(publisher, b"a")
    for attempt in (1, 2):
        [received] = pull(subscriber)
        assert received.delivery_attempt == attempt
        subscriber.modify_ack_deadline(subscription=SUBSCRIPTION, ack_ids=[received.ack_id], ack_deadline_seconds=0)


def test_a_pull_of_much_fits_the_client(clients):
    publisher, subscriber = clients
    create(subscriber)
    for _ in range(10):
        publish(publisher, *[b"x" * 10_000] * 100)
    received = 0
    while batch := pull(subscriber):
        received += len(batch)
    assert received == 1_000


def test_the_streaming_subscriber_keeps_its_lease_past_the_ack_deadline(clients):
    publisher, subscriber = clients
    create(subscriber)
    deliveries = 0
    done = threading.Event()

    def receive(message):
        nonlocal deliveries
        deliveries += 1
        time.sleep(11)  # the deadline is 10 s
        message.ack()
        done.set()

    flow = pubsub_v1.types.FlowControl(max_duration_per_lease_extension=10)
    streaming = subscriber.subscribe(SUBSCRIPTION, receive, flow_control=flow)
    publish(publisher, b"slow")
    assert done.wait(TIMEOUT_S)
    streaming.cancel()
    streaming.result(TIMEOUT_S)
    assert deliveries == 1


def test_a_lost_pull_holds_its_messages_until_the_lease_ends(clients, server):
    publisher, subscriber = clients
    create(subscriber)
    publish(publisher, b"a")
    server.faults.replace([Fault(match="^Pull ", action="lose_answer", times=1)])
    with pytest.raises(exceptions.ServiceUnavailable):
        pull(subscriber)
    assert pull(subscriber) == []


def test_a_delay_fault_delays(clients, server):
    server.faults.replace([Fault(match="^GetTopic ", action="delay", seconds=0.3)])
    began_s = time.monotonic()
    clients[0].get_topic(topic=TOPIC)
    assert time.monotonic() - began_s >= 0.3


def test_the_streaming_subscriber_reconnects_after_a_broken_stream(clients, server):
    publisher, subscriber = clients
    create(subscriber)
    server.faults.replace([Fault(match="^StreamingPull ", action="status", status=503, times=1)])
    done = threading.Event()

    def receive(message):
        message.ack()
        done.set()

    streaming = subscriber.subscribe(SUBSCRIPTION, receive)
    until_s = time.monotonic() + TIMEOUT_S
    # The client at times opens two streams after a break, and does not read the first: it keeps what it was given.
    while not done.is_set() and time.monotonic() < until_s:
        publish(publisher, b"a")
        done.wait(0.2)
    assert done.is_set()
    streaming.cancel()
    streaming.result(TIMEOUT_S)
    assert server.requests()["StreamingPull UNAVAILABLE"] == 1


def test_what_waits_on_a_deleted_subscription_learns_of_it(clients):
    _, subscriber = clients
    create(subscriber)
    timer = threading.Timer(0.3, subscriber.delete_subscription, kwargs={"subscription": SUBSCRIPTION})
    timer.start()
    with pytest.raises(exceptions.NotFound):
        pull(subscriber, return_immediately=False)
    timer.join()


def test_two_servers_run_side_by_side_and_their_threads_end():
    before = set(threading.enumerate())
    servers = [PubSubServer(None) for _ in range(2)]
    for server in servers:
        server.start()
    for server in servers:
        assert control(server.url, "Requests") == {}
    for server in servers:
        server.stop()
    assert "grpc-loop" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_a_taken_port_is_an_error(server):
    with pytest.raises(RuntimeError):
        PubSubServer(None, port=int(server.url.rpartition(":")[2]))


def test_the_program_prints_its_address_and_keeps_what_it_was_sent_through_a_kill(tmp_path, monkeypatch):
    def start():
        command = [sys.executable, "-m", "localcloud.pubsub", "--data", str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["service"] == "pubsub"
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", ready["url"])
        return process

    process = start()
    with pubsub_v1.PublisherClient() as publisher, pubsub_v1.SubscriberClient() as subscriber:
        publisher.create_topic(name=TOPIC)
        create(subscriber)
        publish(publisher, b"kept")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    process = start()
    with pubsub_v1.SubscriberClient() as subscriber:
        assert bodies(pull(subscriber)) == [b"kept"]
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0
