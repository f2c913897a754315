"""What buckets, objects and metadata may be called, and how names travel in URLs.

Rules from Cloud Storage's "Bucket names", "Object names" and "Object metadata" pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_to_bytes

from localcloud.gcs.errors import ApiError, invalid

MAX_NAME_BYTES = 1024
MAX_METADATA_BYTES = 8 * 1024
MAX_DIGITS = 18  # what the index can hold

MAX_LANGUAGE_CHARACTERS = 100
STORAGE_CLASSES = (
    *("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"),
    *("MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"),
)
"""The last three are of old ("Storage classes", Additional classes)."""

_WORD = r"[\w!#$%&'*+.^`|~-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:\s*;.*)?", re.ASCII)
_TAG = "[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*"
_LANGUAGES = re.compile(rf"{_TAG}(?:\s*,\s*{_TAG})*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def check_bucket_name(name: str) -> str:
    """The name itself. Raises ApiError 400 when a bucket cannot be called so."""
    if not _BUCKET.fullmatch(name):
        raise ApiError(400, "invalid", f"Invalid bucket name: '{name}'", "InvalidBucketName")
    return name


def check_object_name(name: str) -> str:
    """The name itself. Raises ApiError 400 when an object cannot be called so."""
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise invalid("The object name must be between 1 and 1024 bytes of UTF-8.", "InvalidObjectName")
    forbidden = name in (".", "..") or name.startswith(".well-known/acme-challenge/")
    if forbidden or "\r" in name or "\n" in name:
        raise invalid(f"Disallowed unicode characters or reserved object name {name!r}", "InvalidObjectName")
    return name


def check_metadata(attributes: Mapping[str, object]) -> None:
    """Raises ApiError 400 when an object's custom metadata is not text, or is over 8 KiB in all."""
    metadata = attributes.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise invalid("Invalid Value")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise invalid("Custom metadata values must be strings.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > MAX_METADATA_BYTES:
        raise invalid("The metadata for this object exceeds the limit of 8192 bytes.", "MetadataTooLarge")


def check_attributes(attributes: Mapping[str, object]) -> None:
    """Raises ApiError 400 for custom metadata, a storage class or a language that an object cannot have."""
    check_metadata(attributes)
    storage_class = attributes.get("storageClass", "STANDARD")
    if storage_class not in STORAGE_CLASSES:
        raise invalid(f"Invalid argument: unknown storage class {storage_class!r}", "InvalidStorageClass")
    language = str(attributes.get("contentLanguage") or "en")
    if len(language) > MAX_LANGUAGE_CHARACTERS or not _LANGUAGES.fullmatch(language):
        raise invalid(f"Invalid value for contentLanguage: {language!r}")


def check_media_type(text: str | None) -> None:
    """Raises ApiError 400 for the Content-Type of a request's media that is no media type (RFC 9110, 8.3)."""
    if text and not _MEDIA_TYPE.fullmatch(text):
        raise invalid(f"Invalid content type: {text!r}")


def unescape(text: str) -> str:
    """Undo percent escapes in one piece of a raw target (as read, in Latin-1). Raises ApiError 400 if not UTF-8."""
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise invalid("The request target is not valid UTF-8.", "InvalidURI") from error


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a raw query string; of a repeated one the last. Raises ApiError 400 if not UTF-8."""
    try:
        return dict(parse_qsl(query.encode("latin-1").decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError as error:
        raise invalid("The query string is not valid UTF-8.", "InvalidURI") from error


def parse_count(text: str) -> int:
    """A decimal number that is not negative. Raises ApiError 400 for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
        raise invalid(f"Invalid argument: {text!r}")
    return int(text)
