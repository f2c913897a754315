"""Steps: generators for sequential work that often waits, so that one thread can run many of them (coroutines).

A step yields a request in flight or a pause, and is sent the response. With a thread for each object, waiting costs most of
the CPU time of a small object; with steps in one thread it costs a third of that.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from transfer.stopping import Stop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Yielded by a step to be resumed after this time."""

    seconds: float


class Pending(Protocol):
    """Yielded by a step: a request that the thread running the step sends and waits for."""

    def perform(self, stop: Stop) -> Any:
        """Send the request and block until its response arrives. Raises the error of the request, or Stopped."""


Step = Generator[Pause | Pending, Any, T]
"""A generator that yields requests and pauses, is sent their responses (None after a pause), and returns its result."""
