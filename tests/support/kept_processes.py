"""Processes that are started again when they end, as `restart: unless-stopped` of a compose file has it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from demo import leash

FIRST_DELAY_S, MOST_DELAY_S, STEADY_S = 0.1, 60.0, 10.0
"""Docker waits 100 ms before it starts a container again, twice as long each time, and forgets that once the container
has run for 10 s (docs.docker.com/reference/cli/docker/container/run, "Restart policies")."""
POLL_S = 0.1

Process = subprocess.Popen[bytes]


@dataclass(slots=True)
class _Kept:
    launch: Callable[[], Process]
    process: Process
    started_s: float = field(default_factory=time.monotonic)
    delay_s: float = FIRST_DELAY_S
    due_s: float | None = None
    """When it is started again, if it has ended."""


class KeptProcesses:
    """Starts processes on leashes (demo/leash.py), and again whenever one ends that nobody has stopped.

    None of them outlives this process, or the end of the `with` block.
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.restarts: list[tuple[str, int]] = []
        """Each process that ended without being stopped: its name and exit status."""

    def __enter__(self) -> KeptProcesses:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.stop(*self._kept)

    def start(self, name: str, launch: Callable[[], Process]) -> None:
        """Start a process, and keep it up."""
        with self._lock:
            self._kept[name] = _Kept(launch, launch())

    def stop(self, *names: str) -> None:
        """End these processes, all at once, with everything that they have started."""
        with self._lock:
            ending = [self._kept.pop(name).process for name in names]
        leash.let_go(*ending)

    def kill(self, name: str) -> None:
        """SIGKILL a process and everything that it has started, as the end of a container does."""
        leash.signal_session(self.session(name), signal.SIGKILL)

    def session(self, name: str) -> int:
        """The session that a process and its children are in."""
        return leash.session_of(self._kept[name].process)

    def _watch(self) -> None:
        while not self._ending.wait(POLL_S):
            with self._lock:
                for name, kept in self._kept.items():
                    self._attend(name, kept)

    def _attend(self, name: str, kept: _Kept) -> None:
        now_s = time.monotonic()
        if kept.due_s is not None:
            if now_s >= kept.due_s:
                kept.process, kept.started_s, kept.due_s = kept.launch(), now_s, None
        elif (status := kept.process.poll()) is not None:
            self.restarts.append((name, status))
            was_steady = now_s - kept.started_s > STEADY_S
            kept.delay_s = FIRST_DELAY_S if was_steady else min(2 * kept.delay_s, MOST_DELAY_S)
            kept.due_s = now_s + kept.delay_s
            assert kept.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                kept.process.stdin.close()
