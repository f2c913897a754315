"""How an operator hears SIGTERM: Airflow calls `on_kill` in the main thread, and 5 s later SIGKILL ends the process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transfer.errors import Stopped
from transfer.stopping import StopRequest

BREAK_OFF_S = 4.0
"""After SIGTERM: by then whatever looks at the stop request has ended in order."""
AGAIN_S = 0.3
"""One that is caught on its way ends one wait only, so it comes again."""

_is_working = False


class StopsOnKill:
    """Mixed into an operator whose work is safe to break off anywhere, as every task's has to be: SIGKILL does so, too."""

    @property
    def stop(self) -> StopRequest:
        """Set once Airflow asks the task to stop, however early that is."""
        found: StopRequest = self.__dict__.setdefault("_stop_request", StopRequest())
        return found

    def on_kill(self) -> None:
        """End in order what hears of it; what does not, is broken off before Airflow kills it."""
        # By another thread: the one that this interrupts may hold the event's lock.
        threading.Thread(target=self.stop.set, daemon=True).start()
        if _is_working and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, _break_off)
            signal.setitimer(signal.ITIMER_REAL, BREAK_OFF_S, AGAIN_S)


@contextmanager
def may_be_broken_off() -> Iterator[None]:
    """While this is open, `on_kill` raises Stopped in the main thread when BREAK_OFF_S are over."""
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
