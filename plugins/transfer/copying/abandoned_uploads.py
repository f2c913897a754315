"""Finds the unfinished uploads of closed and lost runs by one listing of the records, and aborts them.

Stored parts cost money until their upload is aborted, and no listing of objects shows them. The end of each run also aborts
what earlier runs have left: workers outlive their run by seconds, or die between the start of an upload and its record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from transfer.copying.uploads import OpenUpload, abort_upload
from transfer.errors import GenerationMismatch, InvalidMessage, ObjectError, RetryableError
from transfer.ports import ObjectSink, StateEntry, StateStore
from transfer.records.layout import UPLOADS, UPLOADS_CLOSED, uploads_closed
from transfer.steps import Step

log = logging.getLogger(__name__)

MAX_START_DELAY_S = 900.0
"""Seconds after its note in which an upload may have been started: retries end after 5 minutes, and the last may stall."""
CLOCK_DIFFERENCE_S = 2.0
"""Seconds by which the clocks of Cloud Storage's own servers may differ."""

T = TypeVar("T")


class Drive(Protocol):
    """Runs a step to its end, with retries, in the calling thread."""

    def __call__(self, step: Callable[[], Step[T]], /) -> T:
        """The step's result. Raises what the step raises."""


def close_uploads(state: StateStore, run: str, opening: str) -> None:
    """Let workers of this opening of a run start no more uploads in parts. `state` is the store of the whole state prefix."""
    state.write(uploads_closed(run, opening), b"", content_type="text/plain")


def abort_abandoned_uploads(state: StateStore, sink: ObjectSink, drive: Drive, *, open_runs: Iterable[str]) -> int:
    """Abort every upload into the sink's bucket that is on record in a run that is not open; the number of those aborted.

    `state` is the store of the whole state prefix. Uploads that cannot be aborted stay on record for a later run.
    """
    still_open = set(open_runs)
    recorded = list(_recorded_uploads(state, sink.bucket))
    in_use = {upload.token for entry, upload in recorded if _run_of(entry) in still_open}
    abandoned = [(entry, upload) for entry, upload in recorded if _run_of(entry) not in still_open]
    aborted, settled_notes = _abort_recorded(abandoned, state, sink, drive)
    notes = [(entry, note) for entry, note in abandoned if not note.token and entry.name not in settled_notes]
    return aborted + _abort_announced(notes, state, sink, drive, in_use=in_use)


def _abort_recorded(
    abandoned: list[tuple[StateEntry, OpenUpload]], state: StateStore, sink: ObjectSink, drive: Drive
) -> tuple[int, set[str]]:
    """Abort the uploads whose ids are on record: how many were, and the names of the notes that announced them all."""
    aborted, notes = 0, set()
    for entry, upload in abandoned:
        if not upload.token:
            continue
        note = f"{entry.name.rpartition('/')[0]}/{upload.note}"
        notes.add(note)
        try:
            drive(partial(abort_upload, sink, upload))
        except (ObjectError, RetryableError, GenerationMismatch) as error:
            log.warning("the unfinished upload of %r could not be aborted: %s", upload.name, error)
            continue
        aborted += 1
        state.delete(entry.name)
        if upload.note:
            state.delete(note)
    return aborted, notes


def _abort_announced(
    notes: list[tuple[StateEntry, OpenUpload]], state: StateStore, sink: ObjectSink, drive: Drive, *, in_use: set[str]
) -> int:
    """Abort the uploads that were announced by a note and whose ids were never recorded; how many were aborted."""
    aborted = 0
    now_s = max((entry.created_at_s for entry in state.entries(UPLOADS)), default=0.0)  # by the server's own clock
    for entry, note in notes:
        try:
            started = [upload for upload in _started_after(entry, note, sink, drive) if upload.token not in in_use]
            for upload in started:
                drive(partial(abort_upload, sink, upload))
        except (ObjectError, RetryableError, GenerationMismatch) as error:
            log.warning("uploads that may have been started of %r could not be aborted: %s", note.name, error)
            continue
        aborted += len(started)
        if started or now_s - entry.created_at_s > MAX_START_DELAY_S:
            state.delete(entry.name)
    return aborted


def _recorded_uploads(state: StateStore, bucket: str) -> Iterator[tuple[StateEntry, OpenUpload]]:
    """The records and notes (which have no token) of uploads into a bucket, of all runs."""
    for entry in state.entries(UPLOADS):
        if entry.name.rpartition("/")[2].startswith(UPLOADS_CLOSED):
            continue
        try:
            upload = OpenUpload.decode(state.read(entry.name))
        except InvalidMessage as error:
            log.warning("%s: %s", entry.name, error.message)
            continue
        if upload.bucket == bucket:
            yield entry, upload


def _run_of(entry: StateEntry) -> str:
    return entry.name.removeprefix(UPLOADS).partition("/")[0]


def _started_after(entry: StateEntry, note: OpenUpload, sink: ObjectSink, drive: Drive) -> list[OpenUpload]:
    """The open uploads in parts of the noted name that were started in the time after the note was written."""
    since_s, until_s = entry.created_at_s - CLOCK_DIFFERENCE_S, entry.created_at_s + MAX_START_DELAY_S
    found = drive(partial(sink.open_parts, note.name))
    return [replace(note, token=upload.token) for upload in found if since_s <= upload.started_at_s <= until_s]
