"""Looks up records of keys while walking over keys in the same order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from transfer.reconciliation.failures import key_bytes


class _HasKey(Protocol):
    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=_HasKey)


class Alongside(Generic[K]):
    """Looks up records that are sorted by key, for keys that are asked for in the same order.

    Use from one thread.
    """

    def __init__(self, records: Iterable[K]) -> None:
        self._records = iter(records)
        self._advance()

    def of(self, key: str) -> K | None:
        """The last record of a key, which is no smaller than the key before it."""
        wanted, found = key_bytes(key), None
        while self._next is not None and self._next_key <= wanted:
            found = self._next if self._next_key == wanted else None
            self._advance()
        return found

    def _advance(self) -> None:
        self._next = next(self._records, None)
        self._next_key = key_bytes(self._next.key) if self._next is not None else b""
