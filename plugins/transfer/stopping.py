"""Stop requests, and the time that remains after them.

Airflow sends a task SIGTERM, and SIGKILL 5 s later. The task uses the time in between to save work for its next attempt:

    at once            no new work is started; lanes, listings, lookups and pulls end
    for RECORDS_S      records of the finished work are still written
    for QUEUE_S        messages are still acknowledged or given back

Code that waits for a server uses these functions, which check for a stop request every POLL_S.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Protocol, TypeVar

from transfer.errors import Stopped

POLL_S = 0.25
"""The time between two checks for a stop request, in seconds."""
RECORDS_S = 3.0
"""The time after a stop request in which records are still written, in seconds."""
QUEUE_S = 3.5
"""The time after a stop request in which messages are still acknowledged or given back, in seconds."""
T = TypeVar("T")


class Stop(Protocol):
    """A stop signal: a `threading.Event` (for example a `StopRequest`) or a `Grace`."""

    def is_set(self) -> bool:
        """Whether it is time to stop."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the signal, at most `timeout` seconds, and return whether it is time to stop."""


class StopRequest(threading.Event):
    """A stop request that remembers when it was made.

    Do not set it in a signal handler: the interrupted code may hold its lock.
    """

    at_s: float | None = None
    """When the stop was requested (`time.monotonic`); None before that and after `end` alone."""

    def end(self) -> None:
        """End all work as `set` does, but without a time limit, because the process will not be killed."""
        super().set()

    def set(self) -> None:
        """Request a stop."""
        if self.at_s is None:
            self.at_s = time.monotonic()
        super().set()


class Grace:
    """A stop signal that is set `seconds` after a stop request. Thread-safe.

    For an event other than a `StopRequest`, the time counts from the first call that finds it set.
    """

    def __init__(self, stop: Stop, seconds: float) -> None:
        self._stop = stop
        self._seconds = seconds
        self._seen_at_s: float | None = None

    def is_set(self) -> bool:
        """Whether the grace period is over."""
        if not self._stop.is_set():
            return False
        now_s = time.monotonic()
        if isinstance(self._stop, StopRequest):
            return self._stop.at_s is not None and now_s - self._stop.at_s >= self._seconds
        if self._seen_at_s is None:
            self._seen_at_s = now_s
        return now_s - self._seen_at_s >= self._seconds

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the grace period, at most `timeout` seconds, and return whether it is over."""
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
"""The stop signal of work that is never stopped. Do not set it."""


def result_of(future: Future[T], stop: Stop, *, timeout_s: float | None = None) -> T:
    """Wait for the result of a future. Raises its exception, Stopped when it is time to stop, or TimeoutError."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while not future.done():
        if stop.is_set():
            raise Stopped
        left_s = POLL_S if end is None else min(POLL_S, end - time.monotonic())
        if left_s <= 0:
            raise TimeoutError
        wait([future], timeout=left_s)
    return future.result()


def call_in_thread(call: Callable[[], T], stop: Stop) -> T:
    """Run a blocking call that cannot be interrupted in a separate thread, and return its result.

    Raises Stopped when it is time to stop; the call then continues in its thread, and its result is discarded.
    """
    if stop.is_set():
        raise Stopped
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - the outermost frame of the thread; the caller raises it
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="call-in-thread", daemon=True).start()
    return result_of(future, stop)
