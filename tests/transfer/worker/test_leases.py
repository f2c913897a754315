"""Leases are extended while messages are held, and given back at the end."""

from __future__ import annotations

import logging
import time

from memory_queue import MemoryQueue
from transfer.worker.leases import MAX_IDS_PER_REQUEST, LeaseKeeper


def test_held_messages_are_extended_until_they_are_released() -> None:
    queue = MemoryQueue(ack_deadline_s=1)
    with LeaseKeeper(queue) as leases:
        leases.hold(["a", "b"])
        wait_for(lambda: queue.extended)
        leases.release(["a"])
        wait_for(lambda: (("b",), 1) in queue.extended)
    assert queue.extended[0] == (("a", "b"), 1)
    count = len(queue.extended)
    time.sleep(0.5)
    assert len(queue.extended) == count, "nothing is extended after the end"


def test_a_lease_that_could_not_be_extended_is_tried_again(caplog) -> None:
    queue = MemoryQueue(ack_deadline_s=1)
    queue.is_down = True
    with LeaseKeeper(queue) as leases:
        leases.hold(["a"])
        wait_for(lambda: any("could not be extended" in line for line in caplog.messages))
        queue.is_down = False
        wait_for(lambda: queue.extended)


def test_held_messages_are_given_back_in_requests_of_a_limited_size() -> None:
    queue = MemoryQueue()
    leases = LeaseKeeper(queue)
    leases.hold(f"{number}" for number in range(MAX_IDS_PER_REQUEST + 1))
    leases.give_back(leases.held())
    assert [len(ids) for ids, seconds in queue.extended if seconds == 0] == [MAX_IDS_PER_REQUEST, 1]
    assert leases.held() == []


def test_messages_that_cannot_be_given_back_raise_nothing(caplog) -> None:
    caplog.set_level(logging.INFO)
    queue = MemoryQueue()
    queue.is_down = True
    leases = LeaseKeeper(queue)
    leases.hold(["a"])
    leases.give_back(leases.held())
    assert any("delivered again when their leases end" in line for line in caplog.messages)


def wait_for(is_so, timeout_s: float = 10) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
