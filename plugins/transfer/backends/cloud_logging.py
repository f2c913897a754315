"""Writes the event log to Google Cloud Logging, in batches and from one background thread."""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from google.api_core.retry import Retry, if_transient_error
from google.cloud.logging_v2 import Client, Resource

from transfer.errors import Stage
from transfer.event_log import EventName, failure_name
from transfer.plain_text import redact

MAX_QUEUED = 10_000
MAX_QUEUED_VERBOSE = MAX_QUEUED // 2
"""Verbose entries may fill only half of the queue, so that they never displace an error."""
MAX_BATCH = 200
"""Entries in one request. With MAX_TEXT_BYTES it stays below the 10 MB that a write request may have."""
MAX_BATCH_LATENCY_S = 1.0
MAX_TEXT_BYTES = 32 * 1024
"""The longest text of an entry. Escaped in JSON it may be six times as long, which is still below the 256 KiB of an entry."""
RETRY_FOR_S = 30.0

_LOG_NAME = re.compile(r"[A-Za-z0-9_./-]{1,511}")
_VERBOSE = frozenset({EventName.PUBSUB_MESSAGE_PUBLISHED, EventName.OBJECT_INITIATED})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    payload: dict[str, Any]
    severity: str
    timestamp: datetime
    insert_id: str
    """Cloud Logging drops a second entry with the same id and time, so that a batch can be retried."""


class CloudEventLog:
    """An `EventLog` in Cloud Logging. Thread-safe. Create it inside a task: its thread does not survive a fork.

    A call only appends to a bounded queue. When the queue is full, a new entry is dropped and counted: the first errors of an
    outage say more than the last ones. When Cloud Logging cannot be written, a batch is retried for RETRY_FOR_S and then dropped;
    the first time a warning is logged, and `close` logs how many entries were lost.

    Args:
        client: the client whose project and credentials are used; it is not closed here.
        log_name: letters, digits and "_./-", at most 511 characters.
        is_verbose: also write `PUBSUB_MESSAGE_PUBLISHED` and `OBJECT_INITIATED`.
        labels: labels of every entry, such as the DAG run's id.

    Raises:
        ValueError: Cloud Logging does not accept the log name.
    """

    def __init__(
        self,
        client: Client,
        log_name: str,
        *,
        is_verbose: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        if not _LOG_NAME.fullmatch(log_name):
            raise ValueError(f"not a valid log name of Cloud Logging: {log_name!r}; use letters, digits and _ . / -")
        # The resource is given: detecting it asks the metadata server, which takes seconds where there is none.
        resource = Resource(type="global", labels={"project_id": client.project})
        self._logger = client.logger(quote(log_name, safe=""), labels=dict(labels or {}), resource=resource)
        self._is_verbose = is_verbose
        self._queue: deque[_Entry] = deque()
        self._in_flight = 0
        self._lost = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="cloud-event-log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many entries were dropped because the queue was full, or could not be written."""
        with self._changed:
            return self._lost

    def main_program_error(self, program: str, traceback: str) -> None:
        """Log that a task failed as a whole; of a very long traceback only the end is kept."""
        self._add(EventName.MAIN_PROGRAM_ERROR, "ERROR", program=program, traceback=_end_of(redact(traceback)))

    def message_published(self, topic: str, objects: int, size_bytes: int) -> None:
        """Log, if verbose, that a message for this many objects was handed to Pub/Sub."""
        self._add(EventName.PUBSUB_MESSAGE_PUBLISHED, "INFO", topic=topic, objects=objects, size_bytes=size_bytes)

    def object_initiated(self, key: str, source_bucket: str, destination_bucket: str) -> None:
        """Log, if verbose, that the transfer of an object has started."""
        self._add(EventName.OBJECT_INITIATED, "INFO", **_place(key, source_bucket, destination_bucket))

    def failure(self, stage: Stage, key: str, source_bucket: str, destination_bucket: str, error: str) -> None:
        """Log that an object failed, or a message (then `key` is empty)."""
        place = _place(key, source_bucket, destination_bucket)
        self._add(failure_name(stage), "ERROR", **place, stage=str(stage), error=_start_of(redact(error)))

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until everything logged so far is written or dropped, for at most `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue and not self._in_flight, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left, for at most `timeout_s`, and drop the rest. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        with self._changed:
            self._lost += len(self._queue) + self._in_flight
            self._queue.clear()
            self._in_flight = 0
            if self._lost:
                _log.warning("%d entries did not reach Cloud Logging", self._lost)

    def _add(self, name: EventName, severity: str, **fields: str | int) -> None:
        if name in _VERBOSE and not self._is_verbose:
            return
        entry = _Entry({"message": str(name), **fields}, severity, datetime.now(UTC), uuid.uuid4().hex)
        with self._changed:
            if self._closing or len(self._queue) >= (MAX_QUEUED_VERBOSE if name in _VERBOSE else MAX_QUEUED):
                self._lost += 1
                return
            self._queue.append(entry)
            if len(self._queue) in (1, MAX_BATCH):
                self._changed.notify_all()

    def _run(self) -> None:
        has_warned = False
        while batch := self._take():
            lost = 0
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001  the thread's outermost frame: an error of a log may not stop a transfer
                lost = len(batch)
                if not has_warned:
                    text = redact(_start_of(f"{type(error).__name__}: {error}"))[:1000]
                    _log.warning("Cloud Logging cannot be written; the transfer continues without it (%s)", text)
                    has_warned = True
            with self._changed:
                self._lost += min(lost, self._in_flight)  # none is left in flight when `close` dropped this batch
                self._in_flight = 0
                self._changed.notify_all()

    def _take(self) -> list[_Entry]:
        """The next batch: when it is full, or MAX_BATCH_LATENCY_S after its first entry. Empty when closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            due = time.monotonic() + MAX_BATCH_LATENCY_S
            self._changed.wait_for(
                lambda: len(self._queue) >= MAX_BATCH or self._closing, max(0.0, due - time.monotonic())
            )
            batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            self._in_flight = len(batch)
            return batch

    def _write(self, entries: list[_Entry]) -> None:
        batch = self._logger.batch()
        for entry in entries:
            batch.log_struct(
                entry.payload, severity=entry.severity, timestamp=entry.timestamp, insert_id=entry.insert_id
            )
        Retry(predicate=if_transient_error, initial=0.5, maximum=5.0, timeout=RETRY_FOR_S)(batch.commit)()


def _place(key: str, source_bucket: str, destination_bucket: str) -> dict[str, str]:
    return {"object": _start_of(key), "source_bucket": source_bucket, "destination_bucket": destination_bucket}


def _start_of(text: str) -> str:
    return _encodable(text)[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def _end_of(text: str) -> str:
    return _encodable(text)[-MAX_TEXT_BYTES:].decode("utf-8", "ignore")


def _encodable(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate would fail the whole batch
