"""What goes wrong with one object stays with that object: the one place that says which errors are everybody's."""

from __future__ import annotations

import logging
import threading
import traceback
from pathlib import Path

from transfer.errors import FatalError, Stage, Stopped, TransferError, UnexpectedError
from transfer.plain_text import block

log = logging.getLogger(__name__)

SYSTEMIC_ERRORS = (Stopped, FatalError, MemoryError)
"""Errors that no other object would be spared. With those that are no `Exception`, such as KeyboardInterrupt, the only
ones that may end a worker while it has an object in hand."""
_READING = frozenset({"edge.py", "metadata.py", "proof.py", "signing.py"})
MAX_LOGGED = 100

_told: set[tuple[str, str, int]] = set()
_lock = threading.Lock()


def as_object_error(error: Exception) -> TransferError:
    """The error that an object fails with: its own, or UnexpectedError for what nobody foresaw.

    The traceback of the latter is in the task's log, once for each type and place.
    """
    if isinstance(error, TransferError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    is_reading = any(Path(frame.filename).name in _READING for frame in frames)
    place = (type(error).__name__, frames[-1].filename, frames[-1].lineno or 0) if frames else ("", "", 0)
    with _lock:
        is_new = place not in _told and len(_told) < MAX_LOGGED
        _told.add(place)
    if is_new:
        log.error(
            "unexpected: the object fails and the others go on; this is a defect, please report it\n%s",
            block("".join(traceback.format_exception(error))),
        )
    return UnexpectedError(f"{type(error).__name__}: {error}", stage=Stage.DOWNLOAD if is_reading else Stage.UPLOAD)
