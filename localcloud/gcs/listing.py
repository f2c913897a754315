"""Pages of a bucket's objects, in UTF-8 byte order, with constant memory."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from localcloud.gcs.errors import invalid
from localcloud.gcs.store import ObjectRecord, Store

MAX_RESULTS = 1000
_PAST_ANY = b"\xff"  # no UTF-8 text has this byte, so prefix + b"\xff" is above every name that has the prefix


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What to list: names with `prefix`, at or above `start`, below `end`, folded at `delimiter`."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    after: str = ""
    end: str = ""
    token: str = ""
    max_results: int = MAX_RESULTS
    with_trailing_delimiter: bool = False
    versions: bool = False
    """Noncurrent ones too, the older first."""
    soft_deleted: bool = False
    """What was softly deleted, and nothing else."""

    @property
    def rows(self) -> str:
        """Where the rows come from."""
        live = f"SELECT *, NULL AS deleted_us, NULL AS expires_us FROM objects WHERE {_SPAN}"  # noqa: S608
        if self.soft_deleted:
            return f"SELECT * FROM versions WHERE {_SPAN} AND expires_us IS NOT NULL"  # noqa: S608
        if self.versions:
            return f"SELECT * FROM versions WHERE {_SPAN} AND expires_us IS NULL UNION ALL {live}"  # noqa: S608
        return live


_SPAN = "bucket=:bucket AND name>=:low AND name<:high"


@dataclass(frozen=True, slots=True)
class Page:
    """One answer; `token` is empty on the last page."""

    items: list[ObjectRecord]
    prefixes: list[str]
    token: str


def list_page(store: Store, bucket: str, query: ListQuery) -> Page:
    """Raises ApiError 400 for a bad token, 404 when the bucket is not there."""
    prefix, delimiter = query.prefix.encode(), query.delimiter.encode()
    after = query.after.encode()
    if after:  # a marker that is a folded prefix stands for all that is under it
        is_folded = (
            delimiter and after.startswith(prefix) and after.find(delimiter, len(prefix)) == len(after) - len(delimiter)
        )
        after += _PAST_ANY if is_folded else b"\0"
    low = max(prefix, query.start.encode(), after, _decode_token(query.token))
    high = prefix + _PAST_ANY
    if query.end:
        high = min(high, query.end.encode())
    items: list[ObjectRecord] = []
    prefixes: list[str] = []
    if query.versions and query.soft_deleted:
        raise invalid("versions and softDeleted cannot both be true.")
    statement = f"{query.rows} ORDER BY name{', generation' * (query.versions or query.soft_deleted)}"
    with store.db.transaction():
        store.bucket(bucket)
        rows = store.db.iterate(statement, bucket=bucket, low=low, high=high)
        last = b""
        while row := next(rows, None):
            is_same = bool(last) and row[1] == last  # the versions of a name are not torn apart
            last = row[1]
            if not is_same and len(items) + len(prefixes) >= min(query.max_results, MAX_RESULTS):
                return Page(items, prefixes, base64.urlsafe_b64encode(low).decode())
            name: bytes = row[1]
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                items.append(ObjectRecord.from_row(row))
                low = name + b"\0"
                continue
            folded = name[: cut + len(delimiter)]
            prefixes.append(folded.decode())
            if query.with_trailing_delimiter and name == folded:
                items.append(ObjectRecord.from_row(row))
            low = folded + _PAST_ANY
            rows = store.db.iterate(statement, bucket=bucket, low=low, high=high)  # skip what is under the prefix
    return Page(items, prefixes, "")


def _decode_token(token: str) -> bytes:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True)
    except ValueError as error:
        raise invalid("Invalid Value", "InvalidArgument") from error
