"""The rows of an inventory file in Parquet, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfer.sources.inventory import COLUMNS, check_columns, plain

BATCH_ROWS = 8_192
MAX_METADATA_BYTES = 16 * 1024**2
MAX_METADATA_ITEMS = 1_000_000
MAX_CHUNK_BYTES = 1024**3
"""Of a column in a row group once it is unpacked: S3 writes row groups of some 100 MB."""
MAX_BATCH_BYTES = 256 * 1024**2
"""Of a batch of rows: thirty times what the longest keys take."""


def parquet_rows(path: Path) -> Iterator[Sequence[Any]]:
    """The values of `transfer.sources.inventory.COLUMNS` in each row; times in seconds. Keys are as they are, not URL-encoded.

    Raises SourceListInvalid when a column is missing, ValueError for a file that is none.
    """
    try:
        yield from _rows(path)
    except (pa.ArrowException, NotImplementedError) as error:
        raise ValueError(str(error)) from error


def _rows(path: Path) -> Iterator[Sequence[Any]]:
    with pq.ParquetFile(
        path, thrift_string_size_limit=MAX_METADATA_BYTES, thrift_container_size_limit=MAX_METADATA_ITEMS
    ) as file:
        names = {plain(name): name for name in file.schema_arrow.names}
        check_columns(names.values(), str(path))
        wanted = [names.get(name) for name in COLUMNS]
        _check_sizes(file, [name for name in wanted if name])
        for batch in file.iter_batches(BATCH_ROWS, columns=[name for name in wanted if name]):
            if batch.nbytes > MAX_BATCH_BYTES:
                raise ValueError(f"{batch.num_rows:,} rows have {batch.nbytes:,} bytes: no keys do")
            nothing = [None] * batch.num_rows
            yield from zip(*(_values(batch.column(name)) if name else nothing for name in wanted), strict=True)


def _check_sizes(file: pq.ParquetFile, columns: Sequence[str]) -> None:
    """Raises ValueError for a row group that would not fit into memory."""
    for group in range(file.metadata.num_row_groups):
        row_group = file.metadata.row_group(group)
        for column in map(row_group.column, range(row_group.num_columns)):
            size_bytes = column.total_uncompressed_size
            if column.path_in_schema in columns and not 0 <= size_bytes <= MAX_CHUNK_BYTES:
                raise ValueError(f"the column {column.path_in_schema} of a row group would have {size_bytes:,} bytes")


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s", column.type.tz), safe=False).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    # S3 calls its texts `binary (UTF8)`; a writer that leaves that out gives bytes.
    return [value.decode() if isinstance(value, bytes) else value for value in values]
