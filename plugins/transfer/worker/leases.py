"""Keeps pulled messages leased until they are settled."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Iterable, Sequence
from types import TracebackType

from transfer.errors import Stopped, TransferError
from transfer.plain_text import block
from transfer.ports import RequestQueue

log = logging.getLogger(__name__)

MAX_IDS_PER_REQUEST = 1_000
"""Pub/Sub, "Quotas and limits": an acknowledge or modifyAckDeadline request has 512 KiB at most; an id has under 250 B."""
END_S = 1.0
"""For how long the end waits for an extension that is on its way: by then nothing needs it."""


def in_batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """The ids in slices that one request can carry."""
    return (ids[at : at + MAX_IDS_PER_REQUEST] for at in range(0, len(ids), MAX_IDS_PER_REQUEST))


class LeaseKeeper:
    """Extends the lease of every held message from a thread of its own, three times per ack deadline. Thread-safe.

    A lease that is lost all the same only means that the message is delivered again: every step is safe to repeat.
    """

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(END_S)

    def hold(self, ack_ids: Iterable[str]) -> None:
        """Extend these from now on."""
        with self._lock:
            self._held.update(ack_ids)

    def release(self, ack_ids: Iterable[str]) -> None:
        """Extend these no longer: they are settled or given back."""
        with self._lock:
            self._held.difference_update(ack_ids)

    def held(self) -> list[str]:
        """What is held at this moment."""
        with self._lock:
            return list(self._held)

    def give_back(self) -> None:
        """Let the queue deliver at once to others whatever is still held."""
        ack_ids = self.held()
        self.release(ack_ids)
        for ids in in_batches(ack_ids):
            try:
                self._queue.extend(ids, 0)
            except TransferError as error:
                log.info(
                    "%d messages could not be given back, they come again when their lease ends: %s", len(ids), error
                )

    def _run(self) -> None:
        deadline_s = self._queue.ack_deadline_s
        while not self._done.wait(deadline_s / 3):
            for ids in in_batches(self.held()):
                try:
                    self._queue.extend(ids, deadline_s)
                except Stopped:
                    return
                except TransferError as error:
                    log.warning("leases of %d messages could not be extended, they may come again: %s", len(ids), error)
                except Exception:  # noqa: BLE001 - the thread's outermost frame; without it every lease would end
                    log.warning(
                        "leases of %d messages could not be extended, they may come again\n%s",
                        len(ids),
                        block(traceback.format_exc()),
                    )
