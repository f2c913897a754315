"""How an operator stops: on SIGTERM Airflow calls `on_kill` in the main thread, and 5 s later sends SIGKILL."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transfer.errors import Stopped
from transfer.stopping import StopRequest

BREAK_OFF_S = 4.0
"""Seconds after SIGTERM when the task is interrupted; code that looks at the stop request has ended in order by then."""
AGAIN_S = 0.3
"""Seconds between interruptions: one that is caught ends a single wait only, so it is repeated."""

_is_working = False


class StopsOnKill:
    """Mixin for an operator whose work may be interrupted anywhere, as any task must expect, since SIGKILL does so too."""

    @property
    def stop(self) -> StopRequest:
        """Set once Airflow asks the task to stop, however early that is."""
        found: StopRequest = self.__dict__.setdefault("_stop_request", StopRequest())
        return found

    def on_kill(self) -> None:
        """Ask the work to end in order; interrupt it before Airflow kills the process."""
        # In another thread: the one that this interrupts may hold the event's lock.
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
