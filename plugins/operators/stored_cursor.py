"""A lister's cursor between the tries of its task: in Airflow's task state store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from transfer.listing.cursor import ListingCursor

CURSOR_KEY = "cursor"


class StoredCursor:
    """The cursor of one task instance. It is of use only to the same opening of a run, with the same settings.

    Use from one thread.
    """

    def __init__(self, context: Context, operator: BaseOperator) -> None:
        self._store = context.get("task_state_store")
        settings = repr([(name, getattr(operator, name)) for name in sorted(operator.template_fields)])
        self._settings = hashlib.sha256(settings.encode("utf-8", "surrogatepass")).hexdigest()

    def load(self) -> ListingCursor | None:
        """That of an earlier try that was broken off, if there is one to go on from."""
        from transfer.listing.cursor import ListingCursor

        stored = self._store.get(CURSOR_KEY) if self._store is not None else None
        if not isinstance(stored, dict) or stored.get("settings") != self._settings:
            return None
        fields = stored["cursor"]
        if not isinstance(fields, dict):
            return None
        try:
            return ListingCursor.of(fields)
        except TypeError:  # another version's
            return None

    def save(self, cursor: ListingCursor) -> None:
        """In place of the one before; about 9 ms."""
        if self._store is not None:
            self._store.set(CURSOR_KEY, {"settings": self._settings, "cursor": {**cursor.to_dict()}})

    def forget(self) -> None:
        """The listing is whole, and who runs the task again wants another; or it was refused, and nothing of it counts."""
        if self._store is not None:
            self._store.delete(CURSOR_KEY)
