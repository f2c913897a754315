"""Stops an operator's work: on SIGTERM, Airflow calls `on_kill` in the main thread, and sends SIGKILL 5 s later."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transfer.errors import Stopped
from transfer.stopping import StopRequest

BREAK_OFF_S = 4.0
"""The task is interrupted this many seconds after SIGTERM; code that checks the stop request has ended normally by then."""
AGAIN_S = 0.3
"""Seconds between interruptions, which are repeated because code that catches one may wait again."""

_is_working = False


class StopsOnKill:
    """Mixin for an operator whose work may be interrupted anywhere, which every task has to tolerate because of SIGKILL."""

    @property
    def stop(self) -> StopRequest:
        """The stop request, which is set once Airflow asks the task to stop."""
        found: StopRequest = self.__dict__.setdefault("_stop_request", StopRequest())
        return found

    def on_kill(self) -> None:
        """Ask the work to end normally, and interrupt it before Airflow kills the process."""
        # In another thread, because the interrupted main thread may hold the event's lock.
        threading.Thread(target=self.stop.set, daemon=True).start()
        if _is_working and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, _break_off)
            signal.setitimer(signal.ITIMER_REAL, BREAK_OFF_S, AGAIN_S)


@contextmanager
def may_be_broken_off() -> Iterator[None]:
    """Inside this context, `on_kill` raises Stopped in the main thread after BREAK_OFF_S."""
    global _is_working
    _is_working = True
    try:
        yield
    finally:
        _is_working = False
        if signal.getsignal(signal.SIGALRM) is _break_off:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _break_off(signum: int, frame: Any) -> None:
    if _is_working:
        raise Stopped
