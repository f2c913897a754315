"""A worker that ends on an error: its crash and its successes are on record, and its messages are plain text."""

from __future__ import annotations

import pytest

from engine_rig import EngineRig, fault
from transfer.errors import (
    Stage,
    UnexpectedError,
)
from transfer.records.in_flight import InFlightMessages, crash_of
from transfer.records.ledger import Ledger
from transfer.records.shards import read_shards

SECRET = "https://d1.net/a?Policy=eyJT&Signature=AbC~_-x&Key-Pair-Id=K2"


class Broken(Ledger):
    def write(self, outcomes, settled, *, traffic=None) -> None:
        raise TypeError(f"unexpected {SECRET}\nERROR a line of its own")


def test_the_error_of_a_crashed_worker_is_on_record(rig: EngineRig) -> None:
    for index in range(5):
        rig.put(f"{index}")
    rig.open()
    worker = rig.worker(rig.list())
    worker._ledger = worker._settlement._ledger = Broken(rig.state(), listing="1", worker="w0-1")
    with pytest.raises(TypeError):
        worker.run()
    words = crash_of(rig.state(), "1")
    assert "TypeError: unexpected" in words
    assert "AbC" not in words and "\n" not in words
    another = InFlightMessages(rig.state(), listing="1", slot="w1", attempt=1)
    another.open()
    assert another.suspects, "also for another worker, and before the dead one is tried again"


def test_successes_are_on_record_when_a_worker_ends_on_an_error(rig: EngineRig) -> None:
    """In messages that failed in part, and in those that were not finished."""
    for index in range(150):
        rig.put(f"{index:03d}")
    rig.open()
    worker = rig.worker(rig.list())
    rig.edge.faults.replace(
        [fault("GET", "status", after=100, status=403, body="<Error><Code>InvalidKey</Code></Error>")]
    )
    with pytest.raises(Exception, match="InvalidKey"):
        worker.run()
    rows = {line["key"] for line in read_shards(rig.state(), "ledger/") if line["outcome"] == "copied"}
    assert rows <= set(rig.names())
    assert len(rows) > 75
    assert len(rig.names()) - len(rows) <= 4, "only the objects in flight when the worker ended"


def test_the_message_of_an_error_is_plain_text_without_secrets() -> None:
    error = UnexpectedError(f"a{SECRET} b\r\n\x1b[31mERROR \u202e {'x' * 10_000} end", stage=Stage.DOWNLOAD)
    assert error.message == str(error)
    assert error.message.isprintable() and len(error.message) <= 2_000
    assert "AbC" not in error.message and error.message.endswith(" end")
    assert UnexpectedError(error.message, stage=Stage.DOWNLOAD).message == error.message
