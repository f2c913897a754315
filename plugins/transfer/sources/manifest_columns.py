"""What the columns of a manifest (or the fields of its JSON) mean, by their names; one that is not known is refused.

A version that is not understood would be the current one, silently, and so would be a misspelt key be no key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache


class Meaning(StrEnum):
    """What the product takes from a manifest."""

    KEY = "key"
    VERSION = "version_id"
    BUCKET = "bucket"
    """Which must be the run's own, where it is named."""


MEANINGS = {"key": Meaning.KEY, "versionid": Meaning.VERSION, "version": Meaning.VERSION, "bucket": Meaning.BUCKET}
"""By name in small letters, without spaces, hyphens and underscores: `VersionId` (S3), `version_id`, `Version ID`."""
INFORMATION = frozenset(
    {
        # archived.csv and failures.csv of a run
        *("bytes", "class", "verdict", "reason", "stage", "httpstatus", "attempts", "message"),
        # S3's ListObjectsV2, ListObjectVersions and Inventory, where they say nothing of which object is meant
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
"""Names that are passed over, likewise written. S3 is asked for each object; what a manifest says of one is not believed."""


def normal(name: str) -> str:
    """A name without its spelling."""
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


@lru_cache(maxsize=64)
def positions(names: tuple[str, ...]) -> Mapping[Meaning, int]:
    """Where each meaning stands among these names. Raises ValueError, which says what to change."""
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
    """Key and version id of one row; None for one that is not there. Raises ValueError, also for another bucket's row."""
    where = positions(names)

    def value(meaning: Meaning) -> object:
        position = where.get(meaning)
        return values[position] if position is not None and position < len(values) else None

    if (bucket := value(Meaning.BUCKET)) not in (None, "", source_bucket):
        raise ValueError(f"it names the bucket {bucket!r}, and source_bucket is {source_bucket!r}")
    return value(Meaning.KEY), value(Meaning.VERSION)


def meant_key(names: Sequence[str]) -> str:
    """Which of these names somebody may have meant for the key; empty for none."""
    close = get_close_matches("key", [normal(name) for name in names], n=1)
    return next((name for name in names if close and normal(name) == close[0]), "")


def _unknown(name: str) -> str:
    close = get_close_matches(normal(name), MEANINGS, n=1)
    meant = f": did you mean {MEANINGS[close[0]]}?" if close else ":"
    return f"{name!r} is not known{meant} write key and, if wanted, version_id, and take out what is neither"
