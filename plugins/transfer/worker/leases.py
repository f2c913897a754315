"""Keeps the leases of pulled messages until they are settled, so that Pub/Sub delivers them to no other worker."""

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
"""The ids that fit into one request: acknowledge and modifyAckDeadline take at most 512 KiB, and an id has under 250 bytes
(Pub/Sub, "Quotas and limits")."""
END_S = 1.0
"""Seconds to wait at the end for an extension in flight, which is not needed any more."""


def in_batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """The ids in slices that one request can carry."""
    return (ids[at : at + MAX_IDS_PER_REQUEST] for at in range(0, len(ids), MAX_IDS_PER_REQUEST))


class LeaseKeeper:
    """Extends the lease of every held message, three times per ack deadline, from a background thread. Thread-safe.

    A lease that is lost all the same only causes the message to be delivered again: every step is safe to repeat.
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
        """Extend the leases of these messages from now on."""
        with self._lock:
            self._held.update(ack_ids)

    def release(self, ack_ids: Iterable[str]) -> None:
        """Extend the leases of these messages no longer: they are settled or given back."""
        with self._lock:
            self._held.difference_update(ack_ids)

    def held(self) -> list[str]:
        """The messages that are held at this moment, by ack id."""
        with self._lock:
            return list(self._held)

    def give_back(self, ack_ids: Sequence[str]) -> None:
        """Give these messages back, so that the queue delivers them to other workers at once."""
        self.release(ack_ids)
        for ids in in_batches(ack_ids):
            try:
                self._queue.extend(ids, 0)
            except TransferError as error:
                log.info(
                    "%d messages could not be given back; they are delivered again when their leases end: %s",
                    len(ids),
                    error,
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
                    log.warning(
                        "the leases of %d messages could not be extended; they may be delivered again: %s",
                        len(ids),
                        error,
                    )
                except Exception:  # noqa: BLE001 - the thread's outermost frame; without it every lease would end
                    log.warning(
                        "the leases of %d messages could not be extended; they may be delivered again\n%s",
                        len(ids),
                        block(traceback.format_exc()),
                    )
