"""Stores a lister's cursor between the attempts of its task, among the records of the run.

It is not in Airflow's task state store: a listing may not continue past a cursor that was not stored, so it would stand still
or fail whenever Airflow's API server is away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from transfer.listing.cursor import ListingCursor
    from transfer.ports import StateStore


class StoredCursor:
    """The cursor of one listing, usable only in the same opening of a run with the same settings. Use from one thread."""

    def __init__(self, state: StateStore, operator: BaseOperator) -> None:
        self._state = state
        settings = repr([(name, getattr(operator, name)) for name in sorted(operator.template_fields)])
        self._settings = hashlib.sha256(settings.encode("utf-8", "surrogatepass")).hexdigest()

    def load(self) -> ListingCursor | None:
        """The cursor of an earlier attempt that was interrupted; None if there is none to continue from."""
        from transfer.records.json_record import find_json
        from transfer.records.layout import CURSOR_JSON

        return find_json(self._state, CURSOR_JSON, self._cursor_of)

    def save(self, cursor: ListingCursor) -> None:
        """Store the cursor, replacing the previous one."""
        from transfer.records.json_record import write_json
        from transfer.records.layout import CURSOR_JSON

        write_json(self._state, CURSOR_JSON, {"settings": self._settings, "cursor": cursor.to_dict()})

    def forget(self) -> None:
        """Delete the cursor, so that the next attempt lists from the beginning."""
        from transfer.records.layout import CURSOR_JSON

        self._state.delete(CURSOR_JSON)

    @contextmanager
    def forgotten_when_refused(self) -> Iterator[None]:
        """Delete the cursor when the listing in this block is refused, since its earlier part is then doubtful as well."""
        from transfer.errors import EndpointRejected, ListingOutOfOrder

        try:
            yield
        except (EndpointRejected, ListingOutOfOrder):
            self.forget()
            raise

    def _cursor_of(self, document: dict[str, Any]) -> ListingCursor | None:
        from transfer.listing.cursor import ListingCursor

        if document["settings"] != self._settings:
            return None
        return ListingCursor.of(document["cursor"])  # raises TypeError for a cursor of another version
