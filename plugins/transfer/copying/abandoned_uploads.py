"""Uploads that no run will go on with: those of runs that are closed or gone, found by one listing, and ended.

Parts are paid for until their upload is ended, and no listing of objects shows them. So whoever closes a run also ends
what earlier runs could not: workers outlive their run by seconds, or die between beginning an upload and recording it.
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

BEGINNING_S = 900.0
"""An upload begins no longer after its note than this: retries end after 5 minutes, and the last one may stall."""
CLOCKS_S = 2.0
"""By how much the clocks of Cloud Storage's own servers may differ."""

T = TypeVar("T")


class Drive(Protocol):
    """Runs a step to its end, with retries."""

    def __call__(self, step: Callable[[], Step[T]], /) -> T:
        """The step's result."""


def close_uploads(state: StateStore, run: str, opening: str) -> None:
    """Workers of this opening of a run may begin nothing any more. `state` is the store of the whole state prefix."""
    state.write(uploads_closed(run, opening), b"", content_type="text/plain")


def abort_abandoned_uploads(state: StateStore, sink: ObjectSink, drive: Drive, *, open_runs: Iterable[str]) -> int:
    """End every upload into the sink's bucket that is on record in a run that is not open; how many those were.

    `state` is the store of the whole state prefix. What cannot be ended stays on record.
    """
    live = set(open_runs)
    on_record = list(_on_record(state, sink.bucket))
    spared = {upload.token for entry, upload in on_record if _run_of(entry) in live}
    left = [(entry, upload) for entry, upload in on_record if _run_of(entry) not in live]
    known_notes, ended = set(), 0
    for entry, upload in left:
        if not upload.token:
            continue
        note = f"{entry.name.rpartition('/')[0]}/{upload.note}"
        known_notes.add(note)
        try:
            drive(partial(abort_upload, sink, upload))
        except (ObjectError, RetryableError, GenerationMismatch) as error:
            log.warning("the unfinished upload of %r could not be ended: %s", upload.name, error)
            continue
        ended += 1
        state.delete(entry.name)
        if upload.note:
            state.delete(note)
    now_s = max((entry.created_at_s for entry in state.entries(UPLOADS)), default=0.0)  # by the server's own clock
    for entry, noted in left:
        if noted.token or entry.name in known_notes:
            continue
        try:
            begun = [upload for upload in _started_after(entry, noted, sink, drive) if upload.token not in spared]
            for upload in begun:
                drive(partial(abort_upload, sink, upload))
        except (ObjectError, RetryableError, GenerationMismatch) as error:
            log.warning("what may have been begun of %r could not be ended: %s", noted.name, error)
            continue
        ended += len(begun)
        if begun or now_s - entry.created_at_s > BEGINNING_S:
            state.delete(entry.name)
    return ended


def _on_record(state: StateStore, bucket: str) -> Iterator[tuple[StateEntry, OpenUpload]]:
    """Records and notes (which have no token) of uploads into a bucket, over all runs."""
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
    """The open uploads in parts of the noted name that were begun when the note's was: its id was never recorded."""
    since_s, until_s = entry.created_at_s - CLOCKS_S, entry.created_at_s + BEGINNING_S
    found = drive(partial(sink.open_parts, note.name))
    return [replace(note, token=upload.token) for upload in found if since_s <= upload.started_at_s <= until_s]
