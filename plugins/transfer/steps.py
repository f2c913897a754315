"""Steps: work written straight down that waits often, many of them driven by one thread.

A step is a generator. It yields what it waits for (a request on its way, or a pause) and is sent the answer. Waiting
costs most of a small object's CPU when each object has a thread of its own; driven together it costs a third.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from transfer.stopping import Stop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after so many seconds."""

    seconds: float


class Pending(Protocol):
    """A request that a driver knows how to send and to wait for."""

    def perform(self, stop: Stop) -> Any:
        """Send it and wait here; the answer, or the error that it raises. Raises Stopped when it is time to stop."""


Step = Generator[Pause | Pending, Any, T]
"""Yields what it waits for, is sent the answer (None after a pause), and returns its result."""
