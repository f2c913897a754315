"""What is said in Cloud Logging about a transfer: errors always, each message and object only when verbose.

There is no entry for an object that was copied: the ledger holds those.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from transfer.errors import Stage


class EventName(StrEnum):
    """The first word of an entry; what people filter by."""

    MAIN_PROGRAM_ERROR = "MAIN_PROGRAM_ERROR"
    PUBSUB_MESSAGE_PUBLISHED = "PUBSUB_MESSAGE_PUBLISHED"
    OBJECT_INITIATED = "OBJECT_INITIATED"
    FILE_HANDLING_ERROR = "FILE_HANDLING_ERROR"
    OBJECT_DOWNLOAD_ERROR = "OBJECT_DOWNLOAD_ERROR"
    OBJECT_UPLOAD_ERROR = "OBJECT_UPLOAD_ERROR"


def failure_name(stage: Stage) -> EventName:
    """The name of the entry for an object that failed at a stage."""
    if stage is Stage.DOWNLOAD:
        return EventName.OBJECT_DOWNLOAD_ERROR
    if stage is Stage.UPLOAD:
        return EventName.OBJECT_UPLOAD_ERROR
    return EventName.FILE_HANDLING_ERROR


class EventLog(Protocol):
    """Takes events without ever failing or blocking. Thread-safe. Error texts are redacted by the log itself."""

    def main_program_error(self, program: str, traceback: str) -> None:
        """A task failed as a whole; `traceback` is the formatted one."""

    def message_published(self, topic: str, objects: int, size_bytes: int) -> None:
        """A message that asks for so many objects was handed to Pub/Sub. Verbose only."""

    def object_initiated(self, key: str, source_bucket: str, destination_bucket: str) -> None:
        """The transfer of an object begins. Verbose only."""

    def failure(self, stage: Stage, key: str, source_bucket: str, destination_bucket: str, error: str) -> None:
        """An object, or a message (then `key` is ""), was given up; retries that are going on are not events."""

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what is left, giving up after the time-out. Nothing may be logged afterwards."""


class NoEventLog:
    """The event log of a run that names none."""

    def main_program_error(self, program: str, traceback: str) -> None:
        """Nothing."""

    def message_published(self, topic: str, objects: int, size_bytes: int) -> None:
        """Nothing."""

    def object_initiated(self, key: str, source_bucket: str, destination_bucket: str) -> None:
        """Nothing."""

    def failure(self, stage: Stage, key: str, source_bucket: str, destination_bucket: str, error: str) -> None:
        """Nothing."""

    def close(self, timeout_s: float = 5.0) -> None:
        """Nothing."""
