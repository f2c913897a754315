"""Whatever stands in a message, a record, a list or a file of routes: it is read, or refused in our own words."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile import bodies, document, fuzz, packed, texts, values
from memory_files import MemoryFiles
from memory_state import MemoryState
from routes.route_file import SETTING, read_routes
from transfer.copying.uploads import OpenUpload
from transfer.errors import InvalidMessage, RecordDamaged, RunUnknown, SourceListInvalid
from transfer.listing.cursor import ListingCursor
from transfer.model import ObjectMeta
from transfer.plain_text import MAX_CHARACTERS, block, one_line
from transfer.reconciliation.failures import FailureTable, load_failures
from transfer.records.in_flight import InFlightMessages, crash_of, fatal_error_of
from transfer.records.layout import RUN_JSON
from transfer.records.ledger import Ledger, ledger_failures
from transfer.records.manifest import read_manifest
from transfer.records.messages import LISTING, RUN, decode_failure, decode_request, encode_failure
from transfer.records.numbers import parse_numbers, parse_ranges
from transfer.records.run_record import RunRecord
from transfer.records.runs import RunIndex
from transfer.records.shards import read_shards
from transfer.sources.files import SourceUri
from transfer.sources.inventory import inventory_objects
from transfer.sources.key_manifest import manifest_keys
from transfer.sources.replay import planned_objects, unfinished_objects
from transfer.worker.refusal_check import recently_copied, sample_listing

OBJECT = {"key": "k", "size": 7, "etag": "e", "mtime": 1, "class": "STANDARD", "replaces": 5, "version": "v"}
REQUEST = {"version": 1, "number": 0, "attempt": 1, "objects": [OBJECT]}
FAILURE = {
    "version": 1,
    "key": "k",
    "stage": "upload",
    "error_code": "X",
    "http_status": 403,
    "attempts": 1,
    "message": "said",
}
requests = st.one_of(document(**REQUEST), document(**OBJECT).map(lambda item: {**REQUEST, "objects": [item]}))


@fuzz
@given(bodies(requests, document(**FAILURE)), st.dictionaries(st.sampled_from([RUN, LISTING, "x"]), texts))
def test_messages(body: bytes, attributes: dict[str, str]) -> None:
    with suppress(InvalidMessage):
        request = decode_request(body, attributes)
        assert all(type(item.size_bytes) is int and 0 <= item.size_bytes < 2**63 for item in request.objects)
    with suppress(InvalidMessage):
        failure = decode_failure(body)
        assert failure.message.isprintable() and failure.error_code.isprintable()
        assert decode_failure(encode_failure(failure, run_id="r")[0]) == failure


LEDGER = {
    "key": "k",
    "outcome": "copied",
    "bytes": 1,
    "proof": "crc32c",
    "crc32c": "x",
    "generation": 1,
    "attempts": 1,
    "seconds": 1,
    "edge_request_id": "",
    "reason": "X",
    "stage": "upload",
    "is_bound": False,
}
lines = bodies(
    document(**OBJECT, skipped="unchanged"),
    document(**LEDGER),
    document(**(LEDGER | {"outcome": "failed"})),
    document(**FAILURE),
)


@fuzz
@given(packed(lines), texts)
def test_records(body: bytes, note: str) -> None:
    state = MemoryState()
    for name in ("manifest/1-000000", "ledger/1-w-1-000000", "failures/1-r-000000", "unfinished/1-000000"):
        metadata = {"failures": note or "1", "settled-messages": note, "unbound": "1"}
        state.write(f"{name}.jsonl.gz", body, content_type="", metadata=metadata)
    for read in (
        lambda: list(read_manifest(state, "1")),
        lambda: list(ledger_failures(state, "1")),
        lambda: list(read_shards(state, "failures/")),
        lambda: sample_listing(state, "1.001", ["k"]),
    ):
        with suppress(RecordDamaged):
            read()
    with suppress(RecordDamaged), FailureTable() as table:
        load_failures(state, table, ["1"])
        list(table.sorted())
    list(recently_copied(state))
    assert all(number < 100 for number in Ledger(state, listing="1", worker="w").settled(below=100))


@fuzz
@given(
    bodies(
        document(
            kind="parts",
            name="n",
            token="t",
            etag="e",
            size_bytes=1,
            generation=1,
            part_bytes=1,
            parts=[[1, 1, "", "", ""]],
            version=1,
        )
    )
)
def test_upload_records(body: bytes) -> None:
    with suppress(InvalidMessage):
        OpenUpload.decode(body)


WAY = RunRecord(run_id="r", source_bucket="s", source_prefix="", destination_bucket="d", destination_prefix="")
REPORT = {"run_id": "r", "listing": "1", "is_final": True, "reasons": [], "unfinished": "1", "listed": 1}


@fuzz
@given(bodies(document(**REPORT)), bodies(document(**dict.fromkeys(WAY.__dataclass_fields__, ""))), st.booleans())
def test_records_of_an_earlier_run(report: bytes, way: bytes, is_same: bool) -> None:
    state = MemoryState()
    state.write("report.json", report, content_type="")
    state.write("plan.json", report, content_type="")
    state.write(RUN_JSON, way, content_type="")
    if is_same:
        WAY.write(state)
    for read in (unfinished_objects, planned_objects):
        with suppress(RecordDamaged, RunUnknown):
            list(read(state, run="r", now=WAY))


@fuzz
@given(st.lists(st.tuples(texts, texts, texts), max_size=5))
def test_names_and_notes(entries: list[tuple[str, str, str]]) -> None:
    state = MemoryState()
    for name, note, body in entries:
        raw = body.encode("utf-8", "surrogatepass")
        for prefix in ("runs/dag/", "begun/1-w-1-", "begun/1-"):
            state.write(prefix + name, raw, content_type="", metadata={"closed": note, "fatal": note})
        state.write(f"begun/1-w-{len(name)}-00", raw, content_type="")
    index = RunIndex(state, "dag")
    list(index.entries())
    index.old(1)
    index.last_but("x")
    begun = InFlightMessages(state, listing="1", slot="w", attempt=3)
    begun.open()
    begun.is_poison(1)
    assert fatal_error_of(state, "1").isprintable() and crash_of(state, "1").isprintable()


@fuzz
@given(document(listing="1", after="a", shards=1, next_number=1, skipped_numbers="1-2"))
def test_cursors(stored: dict[str, object]) -> None:
    with suppress(TypeError, ValueError):
        ListingCursor.of(stored)


@fuzz
@given(texts, texts)
def test_numbers_and_texts(first: str, second: str) -> None:
    text = f"{first},{second}-{first}"
    assert sum(1 for _ in parse_numbers(text)) <= 1_000_000
    list(parse_ranges(text))
    plain = one_line(text + second)
    assert plain.isprintable() and len(plain) <= MAX_CHARACTERS and one_line(plain) == plain
    assert all(line.startswith("    | ") and line.isprintable() for line in block(text).split("\n") if line)


rows = st.lists(st.lists(texts, max_size=5).map(",".join), max_size=4).map(
    lambda found: "\n".join(found).encode("utf-8", "surrogatepass")
)
headed = st.tuples(
    st.sampled_from([b"key\n", b"key,version_id\n", b"b,", b"key,version_id,bytes,class\n", b""]), rows
).map(b"".join)


@fuzz
@given(
    st.one_of(headed, bodies(), packed(rows), packed(bodies(document(key="k", version_id="v")))),
    st.sampled_from(["csv", "jsonl"]),
)
def test_manifests_of_keys(body: bytes, kind: str) -> None:
    uri = SourceUri.parse(f"s3://lists/m.{kind}")
    with suppress(SourceListInvalid):
        for key, _ in manifest_keys(
            MemoryFiles({f"m.{kind}": body}), uri, source_bucket="b", prefix="", stop=threading.Event()
        ):
            assert key


SCHEMA = "Bucket, Key, LastModifiedDate, Size, ETag, StorageClass"
cells = st.tuples(st.just("b"), texts, st.just("2026-01-01T00:00:00Z") | texts, st.just("1") | texts, texts, texts)


@fuzz
@given(
    document(sourceBucket="b", fileFormat="CSV", fileSchema=SCHEMA, files=[{"key": "f", "MD5checksum": ""}]),
    packed(cells.map(lambda row: ",".join(f'"{cell}"' for cell in row).encode("utf-8", "surrogatepass"))),
)
def test_inventories(manifest: dict, body: bytes) -> None:
    from hostile import as_json

    uri = SourceUri.parse("s3://lists/manifest.json")
    files = MemoryFiles({"manifest.json": as_json(manifest), "f": body})
    with suppress(SourceListInvalid):
        found = list(
            inventory_objects(
                files, uri, source_bucket="b", prefix="", read_parquet=lambda path: iter(()), stop=threading.Event()
            )
        )
        assert all(isinstance(item, ObjectMeta) for item in found)


yaml_texts = st.one_of(
    texts,
    st.lists(texts, max_size=5).map("\n".join),
    st.lists(st.sampled_from("[]{}:-,&*!<|>'\"\n #%@`ax\t?"), max_size=40).map("".join),
    values.map(lambda value: f"routes: {value!r}"),
)


@fuzz
@given(yaml_texts)
def test_files_of_routes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "routes.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SETTING, str(path))
        found = read_routes(path)
    assert found.routes == []
