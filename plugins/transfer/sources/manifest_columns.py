"""Interprets the columns of a manifest (or the fields of its JSON) by their names; an unknown name is refused.

If unknown names were ignored, a misspelt version id would silently stand for the current version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache


class Meaning(StrEnum):
    """The values that are taken from a manifest."""

    KEY = "key"
    VERSION = "version_id"
    BUCKET = "bucket"
    """The bucket of the key, which has to be the run's source bucket."""


MEANINGS = {"key": Meaning.KEY, "versionid": Meaning.VERSION, "version": Meaning.VERSION, "bucket": Meaning.BUCKET}
"""The meaning of each name in lower case, without spaces, hyphens and underscores, as in `VersionId` (S3) or `Version ID`."""
INFORMATION = frozenset(
    {
        # archived.csv and failures.csv of a run
        *("bytes", "class", "verdict", "reason", "stage", "httpstatus", "attempts", "message"),
        # S3's ListObjectsV2, ListObjectVersions and Inventory: fields that do not identify the object
        *(
            "size",
            "etag",
            "storageclass",
            "lastmodified",
            "lastmodifieddate",
            "checksumalgorithm",
            "checksumtype",
            "owner",
        ),
        *("restorestatus", "encryptionstatus", "ismultipartuploaded", "intelligenttieringaccesstier"),
    }
)
"""Names that are ignored, spelled as in MEANINGS. S3 is asked about each object, so its properties in a manifest do not count."""


def normal(name: str) -> str:
    """A name in lower case, without spaces, hyphens and underscores."""
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


@lru_cache(maxsize=64)
def positions(names: tuple[str, ...]) -> Mapping[Meaning, int]:
    """The position of each meaning among the names. Raises ValueError, which says what to change."""
    found: dict[Meaning, int] = {}
    for position, name in enumerate(names):
        meaning = MEANINGS.get(normal(name))
        if meaning is None:
            if normal(name) not in INFORMATION:
                raise ValueError(_unknown(name))
        elif meaning in found:
            raise ValueError(f"{names[found[meaning]]!r} and {name!r} both mean the {meaning}: keep one")
        else:
            found[meaning] = position
    return found


def values_of(names: tuple[str, ...], values: Sequence[object], source_bucket: str) -> tuple[object, object]:
    """The key and the version id of one row; None for an absent one. Raises ValueError, also for a row of another bucket."""
    where = positions(names)

    def value(meaning: Meaning) -> object:
        position = where.get(meaning)
        return values[position] if position is not None and position < len(values) else None

    if (bucket := value(Meaning.BUCKET)) not in (None, "", source_bucket):
        raise ValueError(f"it names the bucket {bucket!r}, but source_bucket is {source_bucket!r}")
    return value(Meaning.KEY), value(Meaning.VERSION)


def meant_key(names: Sequence[str]) -> str:
    """The name among these that may be a misspelling of `key`; empty for none."""
    close = get_close_matches("key", [normal(name) for name in names], n=1)
    return next((name for name in names if close and normal(name) == close[0]), "")


def _unknown(name: str) -> str:
    close = get_close_matches(normal(name), MEANINGS, n=1)
    meant = f": did you mean {MEANINGS[close[0]]}?" if close else ":"
    return f"{name!r} is not known{meant} write key and, if wanted, version_id, and take out what is neither"
