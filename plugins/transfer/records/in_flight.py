"""Which messages workers had in hand when they died, so that one that kills its workers does not kill them all.

Pub/Sub counts deliveries only for a subscription with a dead-letter policy, and it counts leases: every message that a
dying worker held, and every one that was given back on a stop. So workers note in the state prefix what they begin:

    a message that a dead worker had in hand            is a suspect: worked on alone, after all others
    one that a worker died of while it worked on it alone   is poison: it fails, and is not begun again

A worker is dead when it noted what it died of, or when a later try of its slot has begun and it did not note that it ended
in order.
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
"""Notes of a worker that are kept; each names all that is in hand. Cloud Storage takes one write a second to a name."""
FATAL = "fatal"
MAX_FATAL_CHARACTERS = 500
_CLOSED, _DIED = "-closed", "-died"
_TEXT = "text/plain"


class InFlightMessages:
    """The notes of one try of one worker on one listing. Use from one thread.

    `slot` names the worker, `attempt` its try, from 1: only one try of a slot may run at a time.
    """

    def __init__(self, state: StateStore, *, listing: str, slot: str, attempt: int) -> None:
        self._state = state
        self._prefix = in_flight_notes(listing)
        self._mine = f"{self._prefix}{slot}-{attempt}"
        self._notes = 0
        self._in_hand: set[int] = set()
        self.suspects: frozenset[int] = frozenset()

    def open(self) -> None:
        """Note that this try has begun, and find the suspects."""
        self._state.write(f"{self._mine}-open", b"", content_type=_TEXT)
        suspects: set[int] = set()
        for name in self._notes_of_the_dead():
            if not name.endswith(_DIED):
                suspects.update(parse_numbers(self._state.read(name).decode("ascii", "replace")))
        self.suspects = frozenset(suspects)

    def begin(self, numbers: Iterable[int]) -> None:
        """Note what is begun next, with all that is in hand; to be called before it is."""
        self._in_hand.update(numbers)
        self._write(f"{self._notes % RING:02d}", self._in_hand)
        self._notes += 1

    def settled(self, numbers: Iterable[int]) -> None:
        """These are in hand no more."""
        self._in_hand.difference_update(numbers)

    def start_alone(self, number: int) -> None:
        """Note that this message is begun while no other is in hand."""
        self._write(f"alone-{number}", [number])

    def is_poison(self, number: int) -> bool:
        """Whether a worker died of this message while it worked on nothing else."""
        return any(name.endswith(f"-alone-{number}") for name in self._notes_of_the_dead())

    def close(self, *, fatal: str = "") -> None:
        """Note that this try ends in order, or of what no object gets past: what it gives back is not to blame."""
        self._state.write(
            f"{self._mine}{_CLOSED}",
            one_line(fatal, MAX_FATAL_CHARACTERS).encode(),
            content_type=_TEXT,
            metadata={FATAL: "yes"} if fatal else None,
        )

    def died(self, words: str) -> None:
        """Note what nobody foresaw and what ends this try: what it has in hand may be to blame."""
        self._state.write(f"{self._mine}{_DIED}", one_line(words, MAX_FATAL_CHARACTERS).encode(), content_type=_TEXT)

    def _write(self, name: str, numbers: Iterable[int]) -> None:
        # In the body: with many threads there may be more of them than metadata has room for.
        self._state.write(f"{self._mine}-{name}", format_numbers(numbers).encode(), content_type=_TEXT)

    def _notes_of_the_dead(self) -> list[str]:
        """The names of what dead workers noted to begin."""
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
    """How the objects of a message end that is not begun again."""
    count = len(request.objects)
    said = (
        f"message {request.number} of {count} objects is not begun again: a worker died with it in hand, and then another"
        " that worked on nothing else"
    )
    return [
        Failed(
            failure=TransferFailure(
                key=item.key,
                stage=Stage.MESSAGE,
                error_code=PoisonMessage.__name__,
                http_status=None,
                attempts=2,
                message=said,
            )
        )
        for item in request.objects
    ]


def fatal_error_of(state: StateStore, listing: str) -> str:
    """What ended a worker on this listing that no object gets past; empty when nothing did."""
    for entry in state.entries(in_flight_notes(listing)):
        if entry.name.endswith(_CLOSED) and entry.metadata.get(FATAL):
            return _words(state, entry.name)
    return ""


def crash_of(state: StateStore, listing: str) -> str:
    """What a worker on this listing died of that nobody foresaw; empty when none did."""
    for entry in state.entries(in_flight_notes(listing)):
        if entry.name.endswith(_DIED):
            return f"a worker died: {_words(state, entry.name)}"
    return ""


def _words(state: StateStore, name: str) -> str:
    return one_line(state.read(name).decode("utf-8", "replace"), MAX_FATAL_CHARACTERS)
