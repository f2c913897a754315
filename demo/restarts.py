"""When a process that has ended is started again."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_WAIT_S = 1.0
MAX_WAIT_S = 60.0
STEADY_S = 300.0
"""A process that has run for so long begins with the first wait again."""


class Restarts:
    """Notes the starts of processes by name. The wait for the next start doubles while a process keeps ending.

    `clock` is a monotonic clock in seconds. For use from one thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_at_s: dict[str, float] = {}
        self._waits_s: dict[str, float] = {}
        self._starts: dict[str, int] = {}

    def started(self, name: str) -> None:
        """Note that the process starts now."""
        now_s = self._clock()
        is_steady = now_s - self._started_at_s.get(name, -STEADY_S) >= STEADY_S
        self._waits_s[name] = FIRST_WAIT_S if is_steady else min(MAX_WAIT_S, 2 * self._waits_s[name])
        self._started_at_s[name] = now_s
        self._starts[name] = self._starts.get(name, 0) + 1

    def is_due(self, name: str) -> bool:
        """Whether the process, which has ended, may be started again now."""
        return self._clock() - self._started_at_s[name] >= self._waits_s[name]

    def count(self, name: str) -> int:
        """How many times the process has been started again."""
        return self._starts.get(name, 0) - 1
