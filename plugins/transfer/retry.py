"""The only layer that retries: exponential back-off with full jitter, which honours `Retry-After` and limits the total time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from transfer.config import RetryPolicy
from transfer.errors import RetryableError
from transfer.steps import Pause, Step

T = TypeVar("T")

OBJECT_SPECIFIC_ATTEMPTS = 2
"""The number of attempts for an error that concerns only one object; the second pass of the run repeats failed objects."""


class Retrier:
    """Runs a step until it succeeds, fails permanently, or uses up the retry policy. Runs one step at a time.

    `on_slow` is called for each response that asks to slow down. `others_pass` returns whether other objects succeed at
    present. If they do, an error with `RetryableError.may_be_object_specific` is attributed to the object alone: it does not
    slow down other lanes and gets only OBJECT_SPECIFIC_ATTEMPTS, so that a rule that blocks a thousand keys does not delay
    the others.
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
        """The number of attempts for the current object, over all its steps, as a failure record reports it."""

    def reset(self) -> None:
        """Start counting attempts for another object."""
        self.attempts = 1

    def call(self, step: Callable[[], Step[T]], mark: Callable[[], int] = lambda: 0) -> Step[T]:
        """Run the step, repeating it after a RetryableError, and return its result.

        `mark` returns the progress of the step, for example the bytes stored. An attempt that makes progress restores all
        attempts and the whole time. Raises the `exhausted` form of the last RetryableError (usually RetriesExhausted), or
        any other exception of the step.
        """
        attempt, failing_since, reached = 1, None, mark()
        while True:
            try:
                return (yield from step())
            except RetryableError as error:
                is_object_specific = error.may_be_object_specific and self._others_pass()
                if error.asks_to_slow_down and not is_object_specific:
                    self._on_slow()
                if (position := mark()) != reached:
                    attempt, failing_since, reached = 1, None, position
                failing_since = self._clock() if failing_since is None else failing_since
                wait_s = self._wait_s(attempt, error)
                elapsed_s = self._clock() - failing_since
                allowed = (
                    min(OBJECT_SPECIFIC_ATTEMPTS, self._policy.attempts)
                    if is_object_specific
                    else self._policy.attempts
                )
                if attempt >= allowed or elapsed_s + wait_s > self._policy.total_s:
                    raise error.exhausted(attempt) from error
            yield Pause(wait_s)
            attempt += 1
            self.attempts += 1

    def _wait_s(self, attempt: int, error: RetryableError) -> float:
        ceiling_s: float = min(self._policy.cap_s, self._policy.base_s * 2**attempt)
        return max(error.retry_after_s or 0.0, self._jitter() * ceiling_s)
