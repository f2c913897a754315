"""The processes of a seed's tasks, and the signals that are sent to them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from multiprocessing.process import BaseProcess

from engine_chaos.history import Blow, History
from engine_chaos.scenario import Deed, Way


class Processes:
    """All processes of one seed, by task."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._by_task: dict[str, list[tuple[str, BaseProcess]]] = {}
        self.zombies: set[int] = set()
        """The ids of stopped processes whose tasks are tried again, as if they had died."""

    def add(self, task: str, run: str, process: BaseProcess) -> None:
        """A process has been started for a task of a run."""
        self._by_task.setdefault(task, []).append((run, process))

    def is_running(self, task: str) -> bool:
        """Whether a process of a task is alive."""
        return any(_is_alive(process) for _, process in self._by_task.get(task, ()))

    def blow(self, deed: Deed) -> None:
        """Send one process of a task the signal of a deed, if one is alive."""
        alive = [(run, process) for run, process in self._by_task.get(deed.on, ()) if _is_alive(process)]
        if not alive:
            return
        run, process = alive[deed.index % len(alive)]
        assert process.pid is not None
        self._history.blows.append(Blow(at=time.monotonic(), way=deed.what, task=deed.on, run=run))
        number = {Way.KILL: signal.SIGKILL, Way.TERM: signal.SIGTERM}.get(Way(deed.what), signal.SIGSTOP)
        _signal(process.pid, number)
        if number is signal.SIGSTOP:
            if deed.what == Way.ZOMBIE:
                self.zombies.add(process.pid)
            timer = threading.Timer(deed.seconds, _signal, [process.pid, signal.SIGCONT])
            timer.daemon = True
            timer.start()
        if deed.what == Way.TERM:  # Airflow waits for 5 s
            timer = threading.Timer(8.0, _signal, [process.pid, signal.SIGKILL])
            timer.daemon = True
            timer.start()


def _is_alive(process: BaseProcess) -> bool:
    # Process.is_alive may be called from one thread only.
    assert process.pid is not None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
