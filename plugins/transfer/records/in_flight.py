"""Records which messages are in flight, so that a message that crashes its worker does not crash every worker.

Pub/Sub counts deliveries only for a subscription with a dead-letter policy, and it counts leases: every message that a
crashed worker held, and every one that was released on a stop. So each worker notes under the state prefix the messages
that it starts:

    a message that was in flight in a worker that died        is a suspect: it is processed alone, after all others
    a message that was processed alone when its worker died   is poison: it fails, and is not started again

A worker counts as dead when it noted the error that it died of, or when a later attempt of its slot has started and it did
not note that it ended normally.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from transfer.errors import PoisonMessage, Stage
from transfer.model import Failed, TransferFailure, TransferRequest
from transfer.plain_text import one_line
from transfer.ports import StateStore
from transfer.records.layout import in_flight_notes
from transfer.records.numbers import format_numbers, parse_numbers

RING = 16
"""How many notes of a worker are kept; each names all messages in flight. Notes rotate over several names because Cloud
Storage accepts one write per second to a name."""
FATAL = "fatal"
MAX_FATAL_CHARACTERS = 500
_CLOSED, _DIED = "-closed", "-died"
_TEXT = "text/plain"


class InFlightMessages:
    """The notes of one attempt of one worker on one listing. Use from one thread.

    `slot` names the worker; `attempt` counts its attempts from 1, of which only one may run at a time.
    """

    def __init__(self, state: StateStore, *, listing: str, slot: str, attempt: int) -> None:
        self._state = state
        self._prefix = in_flight_notes(listing)
        self._mine = f"{self._prefix}{slot}-{attempt}"
        self._notes = 0
        self._in_hand: set[int] = set()
        self.suspects: frozenset[int] = frozenset()

    def open(self) -> None:
        """Note that this attempt has started, and find the suspects."""
        self._state.write(f"{self._mine}-open", b"", content_type=_TEXT)
        suspects: set[int] = set()
        for name in self._notes_of_the_dead():
            if not name.endswith(_DIED):
                suspects.update(parse_numbers(self._state.read(name).decode("ascii", "replace")))
        self.suspects = frozenset(suspects)

    def begin(self, numbers: Iterable[int]) -> None:
        """Note the messages that are started next, with all that are in flight; call it before they are started."""
        self._in_hand.update(numbers)
        self._write(f"{self._notes % RING:02d}", self._in_hand)
        self._notes += 1

    def settled(self, numbers: Iterable[int]) -> None:
        """Note in memory that these messages are no longer in flight."""
        self._in_hand.difference_update(numbers)

    def start_alone(self, number: int) -> None:
        """Note that this message is started while no other is in flight."""
        self._write(f"alone-{number}", [number])

    def is_poison(self, number: int) -> bool:
        """Whether a worker died while it processed this message alone."""
        return any(name.endswith(f"-alone-{number}") for name in self._notes_of_the_dead())

    def close(self, *, fatal: str = "") -> None:
        """Note that this attempt ends normally, or because of a `fatal` error that no message caused: none becomes a suspect."""
        self._state.write(
            f"{self._mine}{_CLOSED}",
            one_line(fatal, MAX_FATAL_CHARACTERS).encode(),
            content_type=_TEXT,
            metadata={FATAL: "yes"} if fatal else None,
        )

    def died(self, error: str) -> None:
        """Note the unexpected error that ends this attempt: the messages in flight become suspects."""
        self._state.write(f"{self._mine}{_DIED}", one_line(error, MAX_FATAL_CHARACTERS).encode(), content_type=_TEXT)

    def _write(self, name: str, numbers: Iterable[int]) -> None:
        # The numbers are in the body, because those of many threads may not fit into an object's metadata.
        self._state.write(f"{self._mine}-{name}", format_numbers(numbers).encode(), content_type=_TEXT)

    def _notes_of_the_dead(self) -> list[str]:
        """The names of the notes of all workers that died."""
        form = re.compile(
            rf"{re.escape(self._prefix)}(?P<slot>.+?)-(?P<attempt>\d+)-(\d+|alone-\d+|open|(?P<end>closed)|(?P<death>died))"
        )
        notes: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        last: defaultdict[str, int] = defaultdict(int)
        closed: set[tuple[str, int]] = set()
        died: set[tuple[str, int]] = set()
        for entry in self._state.entries(self._prefix):
            if (match := form.fullmatch(entry.name)) is None:
                continue
            worker = match["slot"], int(match["attempt"])
            last[worker[0]] = max(last[worker[0]], worker[1])
            notes[worker].append(entry.name)
            if match["end"]:
                closed.add(worker)
            if match["death"]:
                died.add(worker)
        dead = (worker for worker in notes if worker in died or (worker[1] < last[worker[0]] and worker not in closed))
        return [name for worker in dead for name in notes[worker]]


def poison_failures(request: TransferRequest) -> list[Failed]:
    """The failures of all objects of a message that is poison."""
    count = len(request.objects)
    text = (
        f"message {request.number} of {count} objects is not started again: a worker died while it was in flight, and then"
        " another that processed it alone"
    )
    return [
        Failed(
            failure=TransferFailure(
                key=item.key,
                stage=Stage.MESSAGE,
                error_code=PoisonMessage.__name__,
                http_status=None,
                attempts=2,
                message=text,
            )
        )
        for item in request.objects
    ]


def fatal_error_of(state: StateStore, listing: str) -> str:
    """The fatal error that ended a worker on this listing; empty when there was none."""
    for entry in state.entries(in_flight_notes(listing)):
        if entry.name.endswith(_CLOSED) and entry.metadata.get(FATAL):
            return _words(state, entry.name)
    return ""


def crash_of(state: StateStore, listing: str) -> str:
    """A text about the unexpected error that a worker on this listing died of; empty when none did."""
    for entry in state.entries(in_flight_notes(listing)):
        if entry.name.endswith(_DIED):
            return f"a worker died: {_words(state, entry.name)}"
    return ""


def _words(state: StateStore, name: str) -> str:
    return one_line(state.read(name).decode("utf-8", "replace"), MAX_FATAL_CHARACTERS)
