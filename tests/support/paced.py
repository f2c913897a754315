"""A pacer on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transfer.accounting.pacing import Pacer
from transfer.config import TransferConfig


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


def capped(clock: Callable[[], float], **caps: Any) -> Pacer:
    return Pacer(TransferConfig(is_ramped=False, **caps), clock=clock)
