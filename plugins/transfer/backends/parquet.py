"""The rows of an inventory file in Parquet, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfer.inventory import COLUMNS, check_columns, plain

BATCH_ROWS = 8_192


def parquet_rows(path: Path) -> Iterator[Sequence[Any]]:
    """The values of `transfer.inventory.COLUMNS` in each row; times in seconds. Keys are as they are, not URL-encoded.

    Raises SourceListInvalid when a column is missing, ValueError for a file that is none.
    """
    with pq.ParquetFile(path) as file:
        names = {plain(name): name for name in file.schema_arrow.names}
        check_columns(names.values(), str(path))
        wanted = [names.get(name) for name in COLUMNS]
        for batch in file.iter_batches(BATCH_ROWS, columns=[name for name in wanted if name]):
            nothing = [None] * batch.num_rows
            yield from zip(*(_values(batch.column(name)) if name else nothing for name in wanted), strict=True)


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s", column.type.tz), safe=False).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    # S3 calls its texts `binary (UTF8)`; a writer that leaves that out gives bytes.
    return [value.decode() if isinstance(value, bytes) else value for value in values]
