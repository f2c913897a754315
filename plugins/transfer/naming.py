"""Maps S3 keys to URL paths of the edge and to Cloud Storage names, and finds names that are not allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from transfer.errors import InvalidName, Stage

NameFilter = Callable[[str], bool]
"""Returns whether the run's include and exclude globs select a name, relative to the source or destination prefix."""
MAX_NAME_BYTES = 1024
"""The longest object name, in bytes of UTF-8 (Cloud Storage, "Object naming")."""


def escape_key(key: str) -> str:
    """The key as a URL path without leading slash; all but RFC 3986's unreserved characters and `/` is escaped.

    Raises InvalidName for a key that is not Unicode text (lone surrogates).
    """
    try:
        return quote(key, safe="/")
    except UnicodeEncodeError as error:
        raise InvalidName(f"key {key!r} is not valid Unicode", stage=Stage.DOWNLOAD) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Maps source keys to destination names by replacing the source prefix with the destination prefix."""

    source_prefix: str
    destination_prefix: str
    state_prefix: str
    """The prefix of the runs' records in the destination bucket; no object may be copied there."""

    def name_of(self, key: str) -> str:
        """The destination name of a key, which may be empty or invalid (see `check`).

        Raises InvalidName if the key is not under the source prefix.
        """
        if not key.startswith(self.source_prefix):
            raise InvalidName(f"key {key!r} is not under the prefix {self.source_prefix!r}", stage=Stage.MESSAGE)
        return self.destination_prefix + key[len(self.source_prefix) :]

    def below_source(self, key: str) -> str:
        """The key without the source prefix; the run's globs are matched against it."""
        return key[len(self.source_prefix) :]

    def below_destination(self, name: str) -> str:
        """The name of a destination object without the destination prefix; the run's globs are matched against it."""
        return name[len(self.destination_prefix) :]

    def key_of(self, name: str) -> str:
        """The source key that is copied to this destination name."""
        return self.source_prefix + name[len(self.destination_prefix) :]

    def check(self, name: str) -> str:
        """Return the name. Raises InvalidName if Cloud Storage does not allow it ("Object naming") or the run reserves it."""
        problem = self._problem(name)
        if problem:
            raise InvalidName(f"{name!r} cannot be an object's name at the destination: {problem}", stage=Stage.UPLOAD)
        return name

    def is_legal(self, name: str) -> bool:
        """Whether `check` accepts the name."""
        return not self._problem(name)

    def _problem(self, name: str) -> str:
        size_bytes = len(name.encode("utf-8", "surrogatepass"))
        if not name:
            return "it is empty"
        if size_bytes > MAX_NAME_BYTES:
            return f"it has {size_bytes} bytes, and at most {MAX_NAME_BYTES} are allowed"
        if "\r" in name or "\n" in name:
            return "it contains a line break"
        if name in (".", ".."):
            return "it is a relative path segment"
        if name.startswith(".well-known/acme-challenge/"):
            return "Cloud Storage reserves .well-known/acme-challenge/"
        if name.startswith(self.state_prefix):
            return (
                f"Edgehaul keeps its records under {self.state_prefix}; rename it at the source, or choose a"
                " destination prefix"
            )
        return ""
