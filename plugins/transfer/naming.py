"""From an S3 key to an edge path and to a Cloud Storage name, and which names neither side can carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from transfer.errors import InvalidName, Stage

NameFilter = Callable[[str], bool]
"""Whether the run's include and exclude globs choose a name (a key below the source prefix, or its copy's name)."""
MAX_NAME_BYTES = 1024
"""Of UTF-8 (Cloud Storage, "Object naming")."""


def escape_key(key: str) -> str:
    """The key as a URL path without its leading slash: everything escaped but RFC 3986's unreserved characters and `/`.

    Raises InvalidName for a key that is not Unicode text (lone surrogates).
    """
    try:
        return quote(key, safe="/")
    except UnicodeEncodeError as error:
        raise InvalidName(f"key {key!r} is not valid Unicode", stage=Stage.DOWNLOAD) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Maps source keys to destination names: the destination prefix takes the place of the source prefix."""

    source_prefix: str
    destination_prefix: str
    state_prefix: str
    """Where the runs' own records live at the destination; no object may be written there."""

    def name_of(self, key: str) -> str:
        """The destination name of a key. It may be empty or illegal: see `check`. Raises InvalidName outside the prefix."""
        if not key.startswith(self.source_prefix):
            raise InvalidName(f"key {key!r} is not under the prefix {self.source_prefix!r}", stage=Stage.MESSAGE)
        return self.destination_prefix + key[len(self.source_prefix) :]

    def below_source(self, key: str) -> str:
        """What of a key comes after the source prefix: what globs are compared with."""
        return key[len(self.source_prefix) :]

    def below_destination(self, name: str) -> str:
        """The same of a name at the destination."""
        return name[len(self.destination_prefix) :]

    def key_of(self, name: str) -> str:
        """The key whose destination is this name."""
        return self.source_prefix + name[len(self.destination_prefix) :]

    def check(self, name: str) -> str:
        """The name itself. Raises InvalidName for what Cloud Storage cannot hold ("Object naming") or must not hold."""
        problem = self._problem(name)
        if problem:
            raise InvalidName(f"{name!r} cannot be an object's name at the destination: {problem}", stage=Stage.UPLOAD)
        return name

    def is_legal(self, name: str) -> bool:
        """Whether `check` takes it."""
        return not self._problem(name)

    def _problem(self, name: str) -> str:
        size_bytes = len(name.encode("utf-8", "surrogatepass"))
        if not name:
            return "it is empty"
        if size_bytes > MAX_NAME_BYTES:
            return f"it has {size_bytes} bytes, and the most is {MAX_NAME_BYTES}"
        if "\r" in name or "\n" in name:
            return "it has a line break"
        if name in (".", ".."):
            return "it is a relative path segment alone"
        if name.startswith(".well-known/acme-challenge/"):
            return "Cloud Storage reserves .well-known/acme-challenge/"
        if name.startswith(self.state_prefix):
            return (
                f"Edgehaul keeps its own records under {self.state_prefix}; rename it at the source, or choose a"
                " destination prefix"
            )
        return ""
