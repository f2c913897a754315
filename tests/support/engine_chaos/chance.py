"""Draws from one seed: everything that a seed does is drawn from it, in the same order each time."""

from __future__ import annotations

import random

AWAITED: frozenset[str] = frozenset()
"""Names of draws that the engine is known to handle wrongly still: they are drawn with `--all` only."""


class Chance:
    """The random numbers of one seed."""

    def __init__(self, seed: int, *, with_all: bool) -> None:
        self.random = random.Random(seed)
        self._with_all = with_all

    def may(self, what: str, probability: float) -> bool:
        """Whether something happens."""
        drawn = self.random.random() < probability  # drawn always, so that the rest of the seed stays the same
        return drawn and (self._with_all or what not in AWAITED)

    def one(self, weights: dict[str, float]) -> str:
        """One of several things, by their weights."""
        while True:
            (found,) = self.random.choices(list(weights), list(weights.values()))
            if self._with_all or found not in AWAITED:
                return found
