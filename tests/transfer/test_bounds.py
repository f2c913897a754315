"""Memory is bounded whatever a list unpacks to, and no cell of a record runs in a spreadsheet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_files import MemoryFiles
from memory_state import MemoryState
from transfer.errors import RecordDamaged, SourceListInvalid, Stopped
from transfer.model import ObjectMeta
from transfer.reconciliation.report import ArchivedFile
from transfer.records.bounded_lines import MAX_LINE
from transfer.records.csv_file import CsvFile, escape_cell, unescape_cell
from transfer.records.ledger import Ledger, ledger_failures
from transfer.records.manifest import Manifest, read_manifest
from transfer.records.numbers import parse_numbers
from transfer.records.shards import read_shards
from transfer.sources.files import MAX_WHOLE_BYTES, SourceUri
from transfer.sources.inventory import read_inventory
from transfer.sources.key_manifest import manifest_keys

LIMIT_BYTES = 60 * 1024**2


def read(name: str, body: bytes, stop: threading.Event | None = None) -> list[tuple[str, str]]:
    uri = SourceUri.parse(f"s3://lists/{name}")
    return list(
        manifest_keys(MemoryFiles({name: body}), uri, source_bucket="b", prefix="", stop=stop or threading.Event())
    )


def packed(piece: bytes, times: int, head: bytes = b"") -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(head) + b"".join(packer.compress(piece) for _ in range(times)) + packer.flush()


MIB = bytes(1024**2)
BOMBS = {
    "zeros.csv.gz": packed(MIB, 100),
    "zeros.jsonl.gz": packed(MIB, 100),
    "field.csv.gz": packed(b"x" * 1024**2, 100, b'key\n"'),
    "row.csv.gz": packed(b'"\n",' * 1024**2, 10, b"key\n"),
    "commas.csv.gz": packed(b"," * 1024**2, 100, b"key\n"),
    "nested.jsonl.gz": packed(b"[" * 1024**2, 100),
    "value.jsonl.gz": packed(b"k" * 1024**2, 100, b'{"key":"'),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_packed_bomb_as_a_list_is_refused_in_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SourceListInvalid, match=rf"s3://lists/{name} .*line") as raised:
            read(name, BOMBS[name])
        assert tracemalloc.get_traced_memory()[1] < LIMIT_BYTES
    finally:
        tracemalloc.stop()
    assert len(raised.value.message) < 1_000


def test_blank_lines_without_end_hear_a_stop() -> None:
    body, stop = packed(b"\n" * 1024**2, 60, b"key\n"), threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        read("blank.csv.gz", body, stop)
    assert time.monotonic() - began < 3


def test_a_manifest_json_of_an_inventory_is_bounded() -> None:
    uri = SourceUri.parse("s3://lists/manifest.json")
    for body in (b" " * (MAX_WHOLE_BYTES + 1), b"[" * 100_000, b'{"sourceBucket": "b"', b"[]", b"null"):
        with pytest.raises(SourceListInvalid, match=r"s3://lists/manifest.json"):
            read_inventory(MemoryFiles({uri.name: body}), uri, source_bucket="b")


# Records


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        gzip.compress(b'{"key":"a"}\n' * 1000)[:40],
        gzip.compress(b'{"key":"a"}\n')[:-3],
        gzip.compress(b"{}\n"),
        gzip.compress(b"[]\n"),
        gzip.compress(b"[" * 100_000),
        gzip.compress(b'{"outcome":"failed","key":"a","stage":"lunch","reason":"x","attempts":1}\n'),
        gzip.compress(b'{"outcome":"failed","key":"a","stage":"upload","reason":"x","attempts":1e999}\n'),
        gzip.compress(b"\xff\n"),
        packed(MIB, 30),
    ],
)
def test_a_damaged_record_is_named(body: bytes) -> None:
    state = MemoryState()
    state.write("manifest/1-000000.jsonl.gz", body, content_type="")
    state.write("ledger/1-w-1-000000.jsonl.gz", body, content_type="", metadata={"failures": "1"})
    if body:  # as an empty file, which gzip takes for one without a line
        with pytest.raises(RecordDamaged, match=r"memory:manifest/1-000000.jsonl.gz .*start another run"):
            list(read_manifest(state, "1"))
        with pytest.raises(RecordDamaged, match=r"memory:ledger/1-w-1-000000.jsonl.gz .*clear the task reconcile"):
            list(ledger_failures(state, "1"))


def test_numbers_are_bounded_whatever_a_record_says() -> None:
    began = time.monotonic()
    assert sum(1 for _ in parse_numbers("0-99999999999")) == 1_000_000
    assert list(parse_numbers(f"0-{'9' * 5000},7,{'9' * 5000},٣,-5,3-1")) == [7]
    assert list(parse_numbers("1" * 100_000 + "x")) == []
    state = MemoryState()
    state.write("ledger/1-forged", b"", content_type="", metadata={"settled-messages": "0-99999999999"})
    assert Ledger(state, listing="1", worker="w").settled(below=5) == {0, 1, 2, 3, 4}
    assert time.monotonic() - began < 2


def test_the_keys_that_were_listed_come_back_as_they_were() -> None:
    state = MemoryState()
    manifest = Manifest(state, "1")
    for key in ("a\nb", "\u2028", "\ud800", "=1+1", "k" * 5000):
        manifest.add(ObjectMeta(key=key, size_bytes=1, etag="e", last_modified_s=1))
    manifest.flush()
    assert [item.key for item, _ in read_manifest(state, "1")] == ["a\nb", "\u2028", "\ud800", "=1+1", "k" * 5000]
    assert len(list(read_shards(state, "manifest/"))) == 5


# Spreadsheets

cells = st.text(st.sampled_from("'=+-@\t\r\n＝a\","), max_size=5) | st.text(max_size=5)


@given(cells)
def test_a_cell_is_harmless_and_comes_back_exactly(text: str) -> None:
    shown = str(escape_cell(text))
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert unescape_cell(shown) == text


@given(st.lists(cells.filter(lambda text: text and "\x00" not in text and text.isprintable()), max_size=6, unique=True))
def test_archived_csv_names_the_exact_keys_when_it_comes_back_as_a_manifest(keys: list[str]) -> None:
    state = MemoryState()
    archived = ArchivedFile(state)
    for key in keys:
        archived.add(ObjectMeta(key=key, size_bytes=1, etag="e", last_modified_s=1, version_id="=v"))
    archived.close()
    if keys:
        body = state.read("archived.csv")
        assert read("archived.csv", body) == sorted((key, "=v") for key in keys)
        for row in list(csv.reader(io.StringIO(body.decode(), newline="")))[1:]:
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_a_persons_manifest_is_taken_as_it_is() -> None:
    assert read("mine.csv", b"key\n'=a\n=b\n") == [("'=a", ""), ("=b", "")]


def test_rows_of_a_file_come_back_as_they_were() -> None:
    file = CsvFile(MemoryState(), "extraneous", ("name", "number"))
    file.add(("=cmd|'/c calc'!A0", -1))
    file.close()
    assert list(file.rows()) == [["=cmd|'/c calc'!A0", "-1"]]


def test_a_line_just_short_enough_is_read() -> None:
    line = json.dumps({"key": "k", "etag": "x" * (MAX_LINE - 100)}).encode()
    assert read("long.jsonl", line + b"\n" + line.replace(b'"k"', b'"l"')) == [("k", ""), ("l", "")]


def test_parquet_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    from transfer.backends.parquet import parquet_rows

    path = tmp_path / "x.parquet"
    for body in (b"", b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1", b"PAR1" + b"\xff" * 64 + b"\x40\x00\x00\x00PAR1"):
        path.write_bytes(body)
        with pytest.raises((ValueError, OSError)):
            list(parquet_rows(path))
