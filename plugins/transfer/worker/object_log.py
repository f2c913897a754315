"""Logs what happens to single objects: to Cloud Logging, and failures to the task's log, up to a number."""

from __future__ import annotations

import logging

from transfer.event_log import EventLog
from transfer.model import TransferFailure

log = logging.getLogger(__name__)

MAX_LOGGED_FAILURES = 100
"""Failures in the task's log; those after them are in the report, the error topic and Cloud Logging only."""


class ObjectLog:
    """The log of one worker. Thread-safe but for the count of failures, which may be off by a few."""

    def __init__(self, events: EventLog, *, source_bucket: str, destination_bucket: str) -> None:
        self._events = events
        self._source_bucket = source_bucket
        self._destination_bucket = destination_bucket
        self._failures = 0

    def started(self, key: str) -> None:
        """The copy of an object starts."""
        self._events.object_initiated(key, self._source_bucket, self._destination_bucket)

    def failed(self, failure: TransferFailure) -> None:
        """An object, or a message where the key is empty, has failed."""
        self._events.failure(
            failure.stage,
            failure.key,
            self._source_bucket,
            self._destination_bucket,
            f"{failure.error_code}: {failure.message}",
        )
        self._failures += 1
        if self._failures <= MAX_LOGGED_FAILURES:
            log.warning(
                "failed: %r: %s at %s after %d attempts: %s",
                failure.key or "(no object)",
                failure.error_code,
                failure.stage,
                failure.attempts,
                failure.message,
            )
        if self._failures == MAX_LOGGED_FAILURES:
            log.warning("further failures are only counted here; see the report and the error topic")
