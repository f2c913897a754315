"""Who is to blame for refusals in a row: the table, and where a control comes from."""

from __future__ import annotations

import pytest

from memory_state import MemoryState
from transfer.errors import (
    CredentialsRejected,
    EdgeBlocked,
    RetriesExhausted,
    SinkUnavailable,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    Stage,
)
from transfer.model import Copied, Failed, ObjectMeta, Proof, SkipReason, TransferFailure
from transfer.reconciliation.advice import FAILURES
from transfer.records.ledger import Ledger
from transfer.records.manifest import Manifest
from transfer.worker.control import (
    MAX_STREAK,
    REFUSALS,
    STREAK,
    Finding,
    Refusals,
    Side,
    copied_by_others,
    finding_of,
    is_systemic,
    spread,
    systemic_error,
)

WORKS, REFUSED, UNKNOWN = Finding
AT = {"stage": Stage.DOWNLOAD}


@pytest.mark.parametrize(
    ("proven", "others", "expected"),
    [
        (WORKS, [], False),
        (REFUSED, [], True),
        (REFUSED, [WORKS], True),
        (UNKNOWN, [REFUSED, REFUSED, WORKS], False),
        (UNKNOWN, [REFUSED, UNKNOWN], True),
        (UNKNOWN, [UNKNOWN], False),
        (UNKNOWN, [], True),
    ],
)
def test_the_table(proven: Finding, others: list[Finding], expected: bool) -> None:
    assert is_systemic(proven, others) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, WORKS),
        (SourceChanged("", **AT), WORKS),
        (SourceForbidden("", **AT), REFUSED),
        (RetriesExhausted(EdgeBlocked("", **AT), 5), REFUSED),
        (EdgeBlocked("", **AT), REFUSED),
        (RetriesExhausted(SinkUnavailable("", **AT), 5), UNKNOWN),
        (SourceNotFound("", **AT), UNKNOWN),
    ],
)
def test_what_a_control_shows(error, expected: Finding) -> None:
    assert finding_of(error) is expected


def item(key: str) -> ObjectMeta:
    return ObjectMeta(key=key, size_bytes=1, etag="e", last_modified_s=1)


def refused(key: str, code: str = "SourceForbidden") -> Failed:
    failure = TransferFailure(key=key, stage=Stage.DOWNLOAD, error_code=code, http_status=403, attempts=1, message="no")
    return Failed(failure=failure)


def copied(key: str) -> Copied:
    return Copied(
        key=key, size_bytes=1, proof=Proof.CRC32C, crc32c="", generation=1, attempts=1, seconds=0.0, edge_request_id=""
    )


def test_only_so_many_different_objects_in_a_row_are_a_doubt() -> None:
    refusals = Refusals()
    for number in range(2 * STREAK):
        refusals.note(item("a"), refused("a"))
        refusals.note(item("gone"), refused("gone", "SourceNotFound"))
        if number % 5 == 0:
            refusals.note(item("b"), copied("b"))
    assert refusals.doubtful is None
    for number in range(STREAK):
        refusals.note(item(f"{number}"), refused(f"{number}", "DestinationForbidden"))
    assert refusals.doubtful is Side.DESTINATION
    assert refusals.proven == item(f"{STREAK - 1}"), "what the destination refuses had been read"


def test_after_a_control_that_works_the_next_doubt_comes_later_but_it_comes() -> None:
    refusals, controls = Refusals(), 0
    for number in range(10_000):
        refusals.note(item(f"{number}"), refused(f"{number}"))
        if refusals.doubtful:
            refusals.forgive(Side.SOURCE)
            controls += 1
    assert 10_000 / MAX_STREAK < controls < 20
    refusals.note(item("b"), copied("b"))
    for number in range(STREAK):
        refusals.note(item(f"{number}"), refused(f"{number}"))
    assert refusals.doubtful is Side.SOURCE


def test_a_control_is_taken_from_what_any_worker_copied() -> None:
    state = MemoryState()
    Ledger(state, listing="1", worker="w0-1").write([refused("a")], [0])
    Ledger(state, listing="1", worker="w1-1").write([refused("b"), copied("c"), copied("d")], [1])
    state.write("ledger/1-w2-1-000000.jsonl.gz", b"damaged", content_type="")
    assert [found.key for found in copied_by_others(state)] == ["c"]


def test_or_from_all_over_the_listing_other_folders_first() -> None:
    state = MemoryState()
    manifest = Manifest(state, "1-a-1", shard_lines=1_000)
    for folder in ("locked", *(f"f{number:03d}" for number in range(100))):
        for number in range(50):
            manifest.add(item(f"{folder}/{number:02d}"))
        manifest.add(item(f"{folder}/archived"), SkipReason.ARCHIVED)
    manifest.flush()
    found = spread(state, "1-a-1.001", ["locked/00", "locked/01"])
    first = [other.key.partition("/")[0] for other in found[:25]]
    assert len(set(first)) == 25 and "locked" not in first
    assert len(found) <= 100
    assert not {"locked/00", "locked/01"} & {other.key for other in found}
    assert not [other.key for other in found if other.key.endswith("archived")]


def test_a_small_listing_is_tried_whole() -> None:
    state = MemoryState()
    manifest = Manifest(state, "1")
    for number in range(50):
        manifest.add(item(f"{number}"))
    manifest.flush()
    assert {found.key for found in spread(state, "1", ["7"])} == {f"{number}" for number in range(50)} - {"7"}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_is_everybodys_says_what_to_do(code: str) -> None:
    error = systemic_error([refused("a", code).failure] * STREAK)
    assert isinstance(error, EdgeBlocked if code == "EdgeBlocked" else CredentialsRejected)
    assert str(STREAK) in error.message and ": " in error.message
    assert code in FAILURES
