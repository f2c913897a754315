"""The events of a transfer that are written to Cloud Logging: errors always, each message and object only when verbose.

Copied objects have no entry, because the ledger records them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from transfer.errors import Stage


class EventName(StrEnum):
    """The name of an event: the first word of its log entry, by which entries can be filtered."""

    MAIN_PROGRAM_ERROR = "MAIN_PROGRAM_ERROR"
    PUBSUB_MESSAGE_PUBLISHED = "PUBSUB_MESSAGE_PUBLISHED"
    OBJECT_INITIATED = "OBJECT_INITIATED"
    FILE_HANDLING_ERROR = "FILE_HANDLING_ERROR"
    OBJECT_DOWNLOAD_ERROR = "OBJECT_DOWNLOAD_ERROR"
    OBJECT_UPLOAD_ERROR = "OBJECT_UPLOAD_ERROR"


def failure_name(stage: Stage) -> EventName:
    """The event name for an object that failed at a stage."""
    if stage is Stage.DOWNLOAD:
        return EventName.OBJECT_DOWNLOAD_ERROR
    if stage is Stage.UPLOAD:
        return EventName.OBJECT_UPLOAD_ERROR
    return EventName.FILE_HANDLING_ERROR


class EventLog(Protocol):
    """Records events; its methods never raise or block. Thread-safe. The event log redacts error texts itself."""

    def main_program_error(self, program: str, traceback: str) -> None:
        """Record that a whole task failed; `traceback` is the formatted traceback."""

    def message_published(self, topic: str, objects: int, size_bytes: int) -> None:
        """Record that a request for `objects` objects was published to Pub/Sub. Verbose only."""

    def object_initiated(self, key: str, source_bucket: str, destination_bucket: str) -> None:
        """Record that copying an object starts. Verbose only."""

    def failure(self, stage: Stage, key: str, source_bucket: str, destination_bucket: str, error: str) -> None:
        """Record that an object, or a message (then `key` is empty), failed permanently. Single attempts are not recorded."""

    def close(self, timeout_s: float = 5.0) -> None:
        """Send the remaining events, for `timeout_s` at most. Do not record events afterwards."""


class NoEventLog:
    """An event log that discards all events, for a run without Cloud Logging."""

    def main_program_error(self, program: str, traceback: str) -> None:
        """Discard the event."""

    def message_published(self, topic: str, objects: int, size_bytes: int) -> None:
        """Discard the event."""

    def object_initiated(self, key: str, source_bucket: str, destination_bucket: str) -> None:
        """Discard the event."""

    def failure(self, stage: Stage, key: str, source_bucket: str, destination_bucket: str, error: str) -> None:
        """Discard the event."""

    def close(self, timeout_s: float = 5.0) -> None:
        """Return at once: there are no events to send."""
