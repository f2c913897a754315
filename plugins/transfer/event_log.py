"""What is said in Cloud Logging about a transfer: errors always, each message and object only when verbose.

There is no entry for an object that was copied: the ledger holds those.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Protocol

from transfer.errors import Stage

REDACTED = "[redacted]"

# A parameter begins at a word boundary, or after an escape where a URL stands inside another one's query.
_PARAMETER = (
    r"(?:\b|(?<=%[0-9A-F]{2}))"
    r"((?:Signature|Policy|X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-Signature|upload_id)(?:=|%3D))"
)
_SIGNED_QUERY = re.compile(rf"\?[^\s\"'<>?]*?{_PARAMETER}[^\s\"'<>]*", re.IGNORECASE)
_BARE_PARAMETER = re.compile(rf"{_PARAMETER}[^\s\"'<>&]*", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
# To the end of the text when the END line is missing: a key that was cut short is still a key.
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)


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


def redact(text: str) -> str:
    """The text without anything that opens a door: signed query strings, upload sessions, bearer tokens, private keys.

    A URL loses its whole query string as soon as one parameter of it is secret.
    """
    text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _SIGNED_QUERY.sub(f"?{REDACTED}", text)
    text = _BARE_PARAMETER.sub(rf"\1{REDACTED}", text)
    return _BEARER.sub(rf"\1{REDACTED}", text)


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
