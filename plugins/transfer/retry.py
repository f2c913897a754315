"""The one layer that retries: exponential back-off with full jitter, `Retry-After` honoured, a bound on the total."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from transfer.config import RetryPolicy
from transfer.errors import RetryableError
from transfer.steps import Pause, Step

T = TypeVar("T")

OWN_TRIES = 2
"""The second pass of the run tries again what failed."""


class Retrier:
    """Runs a step until it succeeds, fails for good, or the policy is used up. For one step at a time.

    `on_slow` is called for each answer that asks to slow down. `others_pass` tells whether other objects get through now:
    what may be one object's own trouble (`RetryableError.may_be_its_own`) is then taken to be that. It slows nothing down,
    and is tried OWN_TRIES times only: a lasting rule against a thousand keys must not hold up the others.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        on_slow: Callable[[], None] = lambda: None,
        others_pass: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._on_slow = on_slow
        self._others_pass = others_pass
        self._clock = clock
        self._jitter = jitter
        self.attempts = 1
        """One, and one for each retry since `reset`, over all steps: what a failure record reports."""

    def reset(self) -> None:
        """Begin another object."""
        self.attempts = 1

    def call(self, step: Callable[[], Step[T]], mark: Callable[[], int] = lambda: 0) -> Step[T]:
        """The step's result. `mark` says how far it has come: a try that got further gives all tries and time back.

        Raises what the last RetryableError becomes (RetriesExhausted mostly), or whatever else the step raised.
        """
        attempt, failing_since, reached = 1, None, mark()
        while True:
            try:
                return (yield from step())
            except RetryableError as error:
                is_its_own = error.may_be_its_own and self._others_pass()
                if error.asks_to_slow_down and not is_its_own:
                    self._on_slow()
                if (now_at := mark()) != reached:
                    attempt, failing_since, reached = 1, None, now_at
                failing_since = self._clock() if failing_since is None else failing_since
                wait_s = self._wait_s(attempt, error)
                elapsed_s = self._clock() - failing_since
                tries = min(OWN_TRIES, self._policy.attempts) if is_its_own else self._policy.attempts
                if attempt >= tries or elapsed_s + wait_s > self._policy.total_s:
                    raise error.exhausted(attempt) from error
            yield Pause(wait_s)
            attempt += 1
            self.attempts += 1

    def _wait_s(self, attempt: int, error: RetryableError) -> float:
        ceiling_s: float = min(self._policy.cap_s, self._policy.base_s * 2**attempt)
        return max(error.retry_after_s or 0.0, self._jitter() * ceiling_s)
