"""Inventory files in Parquet that another program wrote."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from engine_rig import SOURCE
from inventories import HOSTILE_KEYS, Row, parquet_file
from transfer.backends.parquet import parquet_rows
from transfer.errors import SourceListInvalid


def test_parquet_of_another_writer_is_read(tmp_path: Path) -> None:
    """Texts as plain bytes, times in nanoseconds, and more columns in another order."""
    schema = pa.schema(
        [
            ("storage_class", pa.binary()),
            ("last_modified_date", pa.timestamp("ns")),
            ("key", pa.binary()),
            ("e_tag", pa.large_string()),
            ("size", pa.int64()),
            ("object_owner", pa.string()),
        ]
    )
    path = tmp_path / "x.parquet"
    plain = [Row(key=key, modified=datetime(2026, 1, 31, 8, 0, 1)) for key in HOSTILE_KEYS]
    path.write_bytes(parquet_file(plain, SOURCE, schema))
    rows = list(parquet_rows(path))
    assert [row[0] for row in rows] == HOSTILE_KEYS
    assert {row[1:] for row in rows} == {(1769846401, 1, "0" * 32, "STANDARD", None, None, None)}
    path.write_bytes(parquet_file(plain, SOURCE, pa.schema([("key", pa.string()), ("size", pa.int64())])))
    with pytest.raises(SourceListInvalid, match="has no LastModifiedDate and no ETag and no StorageClass"):
        list(parquet_rows(path))
