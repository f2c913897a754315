"""A message that kills its workers stops doing so, and takes nothing with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deadly_worker import DEADLY
from engine_rig import EngineRig, engine_rig, fault
from memory_state import MemoryState
from transfer.errors import Stopped
from transfer.reconciliation.passes import round_name
from transfer.reconciliation.verdicts import Pass
from transfer.records.in_flight import RING, InFlightMessages, fatal_error_of

REPOSITORY = Path(__file__).resolve().parents[3]


def notes(state: MemoryState, slot: str = "transfer-0", attempt: int = 1) -> InFlightMessages:
    begun = InFlightMessages(state, listing="1-a-1", slot=slot, attempt=attempt)
    begun.open()
    return begun


def test_what_a_dead_worker_had_in_hand_is_suspect_and_what_it_settled_is_not() -> None:
    state = MemoryState()
    first = notes(state)
    first.begin([0, 1, 2])
    first.settled([0])
    first.begin([3])
    for number in range(100, 100 + 2 * RING):  # a long one stays in hand while many others come and go
        first.settled([number - 1])
        first.begin([number])
    again = notes(state, attempt=2)
    assert {1, 2, 3} <= again.suspects
    assert 0 not in again.suspects
    assert len(state.records) <= RING + 2


def test_a_worker_that_lives_or_ended_in_order_accuses_nothing() -> None:
    state = MemoryState()
    living, ended = notes(state, "transfer-0"), notes(state, "transfer-1")
    living.begin([1])
    living.start_alone(2)
    ended.begin([3])
    ended.start_alone(4)
    ended.close()
    again = notes(state, "transfer-1", attempt=2)
    assert again.suspects == frozenset()
    assert not again.is_poison(2)
    assert not again.is_poison(4)


def test_only_what_a_worker_died_of_alone_is_poison() -> None:
    state = MemoryState()
    first = notes(state)
    first.begin([1, 2, 3])
    second = notes(state, attempt=2)
    assert not any(map(second.is_poison, (1, 2, 3)))
    second.start_alone(2)
    third = notes(state, attempt=3)
    assert [number for number in (1, 2, 3) if third.is_poison(number)] == [2]
    other_listing = InFlightMessages(state, listing="1-a-1.001", slot="transfer-0", attempt=3)
    other_listing.open()
    assert other_listing.suspects == frozenset()


def test_the_error_that_ended_a_worker_is_on_record() -> None:
    state = MemoryState()
    notes(state, "transfer-0").close()
    assert fatal_error_of(state, "1-a-1") == ""
    notes(state, "transfer-1").close(fatal="BucketMissing: gone")
    assert fatal_error_of(state, "1-a-1") == "BucketMissing: gone"


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def test_a_worker_that_is_stopped_accuses_nothing(rig: EngineRig) -> None:
    for index in range(40):
        rig.put(f"{index}")
    rig.edge.faults.replace([fault("GET", "stall", seconds=30, at_byte=1)])
    rig.open()
    worker = rig.worker(rig.list())
    threading.Timer(1.0, rig.stop.set).start()
    with pytest.raises(Stopped):
        worker.run()
    numbers = [rig.state().read(entry.name) for entry in rig.state().entries("begun/1-w0-1-0")]
    assert numbers and all(numbers)  # they were in hand
    again = InFlightMessages(rig.state(), listing="1", slot="w0", attempt=2)
    again.open()
    assert again.suspects == frozenset()


def work(rig: EngineRig, listing: str, messages: int, attempt: int) -> int:
    """One try of one worker; its exit status. What an earlier one held comes again at once, as it would in 10 s."""
    rig.subscriber.seek(request={"subscription": rig.subscription, "time": {"seconds": 1}})
    told = {
        "edge": rig.edge.url,
        "gcs": rig.gcs.url,
        "run_id": rig.run_id,
        "listing": listing,
        "messages": messages,
        "slot": "transfer-0",
        "attempt": attempt,
    }
    path = os.pathsep.join(str(REPOSITORY / part) for part in ("plugins", ".", "tests/support"))
    command = [sys.executable, str(REPOSITORY / "tests/support/deadly_worker.py"), json.dumps(told)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, timeout=120, check=False).returncode


def test_a_message_that_kills_its_workers_is_given_up_and_nothing_else_is(rig: EngineRig) -> None:
    """Both passes: first its neighbours in the message fail with it, then it alone is tried, and fails alone."""
    for index in range(300):
        rig.put(f"{index:03d}")
    rig.put(f"296-{DEADLY}")
    rig.open(ack_deadline_s=10)
    summary = rig.list()
    assert [work(rig, "1", summary.counts.messages, attempt) for attempt in (1, 2, 3)] == [
        -signal.SIGKILL,
        -signal.SIGKILL,
        0,
    ]

    report, published = rig.one_pass(Pass.FIRST)
    assert report.matched + report.failed == report.listed == 301
    (reason,) = report.reasons
    assert (reason.reason, report.missing, published.objects) == ("PoisonMessage", 0, report.failed)
    assert 1 < report.failed == published.messages < 20  # its message, each object in one of its own now

    retry = round_name("1", 1, Pass.FIRST)
    statuses = [work(rig, retry, published.messages, attempt) for attempt in (1, 2, 3)]
    assert statuses == [-signal.SIGKILL, -signal.SIGKILL, 0]
    final = rig.reconcile()
    assert (final.matched, final.failed, final.missing) == (300, 1, 0)
    assert [(item.reason, item.samples) for item in final.reasons] == [("PoisonMessage", (f"296-{DEADLY}",))]
