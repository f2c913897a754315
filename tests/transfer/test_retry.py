"""How often and how long a step is retried."""

from __future__ import annotations

import threading

import pytest

from transfer.backends.http.loop import complete
from transfer.config import RetryPolicy
from transfer.errors import (
    RetriesExhausted,
    SourceUnavailable,
    Stage,
    Stopped,
    Throttled,
    TransferError,
)
from transfer.retry import Retrier
from transfer.steps import Pause, Step


def down() -> Step[None]:
    raise SourceUnavailable("down", stage=Stage.DOWNLOAD)
    yield  # a step is a generator


def pauses_of(step: Step[None]) -> tuple[list[float], Exception]:
    """What a step that never succeeds waits for, and what it raises in the end."""
    waits: list[float] = []
    try:
        wait = next(step)
        while True:
            assert isinstance(wait, Pause)
            waits.append(wait.seconds)
            wait = step.send(None)
    except TransferError as error:
        return waits, error


def test_retries_end_with_the_last_error() -> None:
    retrier = Retrier(RetryPolicy(attempts=4, base_s=1, cap_s=3), jitter=lambda: 1.0)
    waits, error = pauses_of(retrier.call(down))
    assert waits == [2, 3, 3]
    assert isinstance(error, RetriesExhausted)
    assert error.code == "SourceUnavailable"
    assert error.message == "down (SourceUnavailable, after 4 attempts)"
    assert retrier.attempts == 4


def test_retry_after_is_honoured_and_the_total_is_bounded() -> None:
    def throttled() -> Step[None]:
        raise Throttled("slow down", stage=Stage.UPLOAD, retry_after_s=50)
        yield

    retrier = Retrier(RetryPolicy(total_s=60), clock=iter([0.0, 0.0, 50.0]).__next__, jitter=lambda: 0.0)
    waits, error = pauses_of(retrier.call(throttled))
    assert waits == [50]
    assert isinstance(error, RetriesExhausted)


def test_a_stop_cuts_the_wait_short() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        complete(Retrier(RetryPolicy(base_s=60)).call(down), stop)
