"""Keeps an unexpected error within the object that it happened to; only SYSTEMIC_ERRORS may end a worker."""

from __future__ import annotations

import logging
import threading
import traceback
from pathlib import Path

from transfer.errors import FatalError, Stage, Stopped, TransferError, UnexpectedError
from transfer.model import TransferFailure
from transfer.plain_text import block

log = logging.getLogger(__name__)

SYSTEMIC_ERRORS = (Stopped, FatalError, MemoryError)
"""Errors that every other object would meet, too. Besides errors that are no `Exception`, such as KeyboardInterrupt, they are
the only ones that may end a worker while it copies an object."""
READING_FILES = frozenset({"cloudfront/source.py", "cloudfront/signing.py", "copying/metadata.py", "copying/proof.py"})
"""Files, by folder and name, that work on the source's side only: an unexpected error in one of them is of the download."""
MAX_LOGGED = 100

_logged: set[tuple[str, str, int]] = set()
"""Type, file and line of each unexpected error whose traceback is in the log."""
_lock = threading.Lock()


def as_object_error(error: Exception) -> TransferError:
    """The error with which an object fails: the error itself, or UnexpectedError for one of no class of the engine's.

    The traceback of an unexpected error is logged once for each type and place, for MAX_LOGGED of them at most.
    """
    if isinstance(error, TransferError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    is_reading = any("/".join(Path(frame.filename).parts[-2:]) in READING_FILES for frame in frames)
    place = (type(error).__name__, frames[-1].filename, frames[-1].lineno or 0) if frames else ("", "", 0)
    with _lock:
        is_new = place not in _logged and len(_logged) < MAX_LOGGED
        _logged.add(place)
    if is_new:
        log.error(
            "unexpected error: this object fails and the others continue; this is a defect, please report it\n%s",
            block("".join(traceback.format_exception(error))),
        )
    return UnexpectedError(f"{type(error).__name__}: {error}", stage=Stage.DOWNLOAD if is_reading else Stage.UPLOAD)


def failure_of(error: TransferError, *, key: str, attempts: int = 0) -> TransferFailure:
    """The failure record of an error; `key` is empty where no object is known."""
    return TransferFailure(
        key=key,
        stage=error.stage,
        error_code=error.code,
        http_status=error.http_status,
        attempts=attempts,
        message=error.message,
    )
