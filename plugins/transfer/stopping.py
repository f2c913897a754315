"""A stop request, and what it leaves time for.

Airflow sends a task SIGTERM, and 5 s later SIGKILL. What is done in between is what spares the next try work:

    at once            nothing new is begun; lanes, listings, questions and pulls end
    for RECORDS_S      the records of what was done are still written
    for QUEUE_S        messages are still acknowledged or given back

Whatever waits for a server that may stall waits here, and looks for the request POLL_S apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Protocol, TypeVar

from transfer.errors import Stopped

POLL_S = 0.25
RECORDS_S = 3.0
QUEUE_S = 3.5
T = TypeVar("T")


class Stop(Protocol):
    """What tells that it is time to stop: a `threading.Event`, or a `Grace`."""

    def is_set(self) -> bool:
        """Whether it is time."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it, so many seconds at most; whether it is time."""


class StopRequest(threading.Event):
    """An event that knows when it was set. Not to be set in a signal handler: what it interrupts may hold its lock."""

    at_s: float | None = None

    def end(self) -> None:
        """Let everything end, as on a request, but in its own time: nobody is about to kill it."""
        super().set()

    def set(self) -> None:
        """Ask to stop."""
        if self.at_s is None:
            self.at_s = time.monotonic()
        super().set()


class Grace:
    """So many seconds after a stop request; of an event of another kind, after it was first seen. Thread-safe."""

    def __init__(self, stop: Stop, seconds: float) -> None:
        self._stop = stop
        self._seconds = seconds
        self._seen_at_s: float | None = None

    def is_set(self) -> bool:
        """Whether the time is over."""
        if not self._stop.is_set():
            return False
        now_s = time.monotonic()
        if isinstance(self._stop, StopRequest):
            return self._stop.at_s is not None and now_s - self._stop.at_s >= self._seconds
        if self._seen_at_s is None:
            self._seen_at_s = now_s
        return now_s - self._seen_at_s >= self._seconds

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over, so many seconds at most; whether it is."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left_s = POLL_S if end is None else min(POLL_S, end - time.monotonic())
            if left_s <= 0:
                return False
            if self._stop.is_set():
                time.sleep(left_s)
            else:
                self._stop.wait(left_s)
        return True


NEVER: Stop = threading.Event()
"""Of what nobody stops. Not to be set."""


def result_of(future: Future[T], stop: Stop, *, timeout_s: float | None = None) -> T:
    """What a future comes to. Raises Stopped when it is time to stop, and TimeoutError."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while not future.done():
        if stop.is_set():
            raise Stopped
        left_s = POLL_S if end is None else min(POLL_S, end - time.monotonic())
        if left_s <= 0:
            raise TimeoutError
        wait([future], timeout=left_s)
    return future.result()


def aside(call: Callable[[], T], stop: Stop) -> T:
    """What a call that nothing can break off comes to, made by a thread of its own.

    Raises Stopped when it is time to stop; the call is then left to itself, and what it comes to is nobody's.
    """
    if stop.is_set():
        raise Stopped
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - the thread's outermost frame: raised where it is waited for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return result_of(future, stop)
