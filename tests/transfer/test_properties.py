"""What holds for objects of any size, cut in any way, under any name."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_rig import SOURCE
from large_objects import MIB, PART, arrived, fresh, listed, put_in_parts
from transfer.backends.crc32c import combined, crc32c_of
from transfer.config import MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES, RetryPolicy
from transfer.copying.parts import Layout, PartsInFlight, layout_of, missing_ranges
from transfer.copying.proof import COMMON_PART_SIZES_MIB, likely_part_sizes, source_part_bytes
from transfer.copying.uploads import OpenUpload, UploadKind
from transfer.errors import InvalidMessage, RetriesExhausted, SinkUnavailable, Stage
from transfer.model import ObjectMeta, StoredPart
from transfer.retry import Retrier
from transfer.steps import Pause

on_servers = settings(
    max_examples=24,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIZES_BYTES = st.integers(1, 5 * 1024**4)
WHOLE, PARALLEL = 256 * 1024, 2 * MIB


def around(*sizes: int) -> st.SearchStrategy[int]:
    """Each size, one byte less, and one more."""
    return st.sampled_from(sorted({max(0, size + by) for size in sizes for by in (-1, 0, 1)}))


ODD = [
    "a b",
    "50%",
    "%2F",
    "?x=1",
    "#frag",
    "//",
    "/../",
    "/./",
    "+",
    "é",
    "e\u0301",
    "🚚",
    "&",
    "=",
    "\\",
    "'",
    '"',
    "<",
    "~",
]
KEYS = st.one_of(
    st.lists(st.sampled_from(ODD), min_size=1, max_size=6).map(lambda parts: "k" + "".join(parts) + "z"),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).map(lambda text: f"t{text}z"),
    st.sampled_from(["k" * 1024, "é" * 512, "x/" * 511 + "yz", "🚚" * 256]),
)


def body_of(size: int) -> bytes:
    seed = hashlib.sha256(str(size).encode()).digest()
    return (seed * (size // 32 + 1))[:size]


@on_servers
@given(around(0, WHOLE, MIB, PARALLEL, PART), KEYS)
def test_any_size_and_name_in_one_put(large_servers, size: int, key: str) -> None:
    rig, body = fresh(large_servers), body_of(size)
    rig.put(key, body)
    arrived(rig, key, body, rig.copy(listed(rig, key)))
    rig.client.delete_object(Bucket=SOURCE, Key=key)


@on_servers
@given(around(PART, 2 * PART, 3 * PART), KEYS, st.sampled_from([PART, 6 * MIB, 8 * MIB, PART + 1]), st.integers(1, 4))
def test_any_size_and_name_in_parts(large_servers, size: int, key: str, part_bytes: int, lanes: int) -> None:
    rig, body = fresh(large_servers), body_of(size)
    put_in_parts(rig, key, body, part_bytes=part_bytes)
    outcome = arrived(rig, key, body, rig.copy(listed(rig, key), lanes=lanes))
    assert outcome.crc32c == crc32c_of(body)
    rig.client.delete_object(Bucket=SOURCE, Key=key)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_the_checksum_of_the_whole_follows_from_those_of_its_parts(parts: list[bytes]) -> None:
    assert combined((crc32c_of(part), len(part)) for part in parts) == crc32c_of(b"".join(parts))


@given(st.binary(min_size=1, max_size=50), st.integers(0, 2**20))
def test_so_it_does_for_parts_of_any_size(piece: bytes, times: int) -> None:
    body = piece * (times // len(piece))
    assert combined([(crc32c_of(body), len(body)), (crc32c_of(piece), len(piece))]) == crc32c_of(body + piece)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    part_bytes = draw(st.integers(1, 64 * MIB))
    size = draw(st.integers(1, 60)) * part_bytes + draw(st.sampled_from([-1, 0, 1]))
    return Layout(size_bytes=max(1, size), part_bytes=part_bytes, is_sources_own=True)


@given(layouts(), st.data())
def test_ranges_cover_every_byte_that_is_not_stored_once(layout: Layout, data: st.DataObject) -> None:
    numbers = range(1, layout.count + 1)
    stored = data.draw(st.sets(st.sampled_from(numbers)))
    fetch_bytes = data.draw(st.integers(1, 200 * MIB))
    names_only: Any = dict.fromkeys(stored)
    ranges = list(missing_ranges(layout, names_only, fetch_bytes))
    assert [number for range_ in ranges for number in range_] == sorted(set(numbers) - stored)
    for range_ in ranges:
        assert len(range_) == 1 or layout.end(range_[-1]) - layout.start(range_[0]) <= fetch_bytes


@given(layouts())
def test_parts_join_without_a_gap_and_the_last_one_ends_the_object(layout: Layout) -> None:
    ends = [layout.end(number) for number in range(1, layout.count + 1)]
    assert [layout.start(number) for number in range(1, layout.count + 1)] == [0, *ends[:-1]]
    assert ends[-1] == layout.size_bytes
    assert all(layout.size(number) == layout.part_bytes for number in range(1, layout.count))
    assert 0 < layout.size(layout.count) <= layout.part_bytes


@given(SIZES_BYTES, st.integers(MIN_PART_BYTES, 1024 * MIB), st.integers(1, 99_999))
def test_a_layout_always_fits_cloud_storage(size: int, wanted_bytes: int, parts: int) -> None:
    item = ObjectMeta(key="k", size_bytes=size, etag=f"{'0' * 32}-{parts}", last_modified_s=0)
    layout = layout_of(item, wanted_bytes)
    assert layout.count <= MAX_PARTS
    assert MIN_PART_BYTES <= layout.part_bytes <= MAX_PART_BYTES
    if layout.is_sources_own:
        assert layout.count == parts


@given(SIZES_BYTES, st.one_of(st.sampled_from(COMMON_PART_SIZES_MIB), st.integers(5, 5000)))
def test_a_writers_part_size_is_among_the_likely_ones(size: int, part_mib: int) -> None:
    """Where a common size fits, only common ones are tried: an unusual one then has no chance, and no proof."""
    part_bytes = part_mib * MIB
    count = -(-size // part_bytes)
    if count > MAX_PARTS:
        return
    likely = likely_part_sizes(size, count)
    for guess in likely:
        assert count == 1 or -(-size // guess) == count
    common = [mib * MIB for mib in COMMON_PART_SIZES_MIB if -(-size // (mib * MIB)) == count]
    if count == 1:
        assert likely == [size]
    elif common:
        assert likely == common[:3]
        assert (part_bytes in likely) == (part_bytes in common[:3])
    elif len(likely) < 3:
        assert part_bytes in likely
    own = source_part_bytes(ObjectMeta(key="k", size_bytes=size, etag=f"{'0' * 32}-{count}", last_modified_s=0))
    assert own is None or own in likely


TEXTS = st.text(max_size=40)
STORED_PARTS = st.builds(
    StoredPart,
    number=st.integers(1, MAX_PARTS),
    size_bytes=st.integers(0, 5 * 1024**3),
    crc32c=TEXTS,
    md5=TEXTS,
    tag=TEXTS,
)
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)  # lone surrogates too
UPLOADS = st.builds(
    OpenUpload,
    kind=st.sampled_from(UploadKind),
    name=ANY_TEXT,
    token=TEXTS,
    etag=TEXTS,
    size_bytes=SIZES_BYTES,
    generation=st.integers(0, 2**63),
    part_bytes=st.integers(0, 5 * 1024**3),
    parts=st.lists(STORED_PARTS, max_size=5).map(tuple),
)


@given(UPLOADS)
def test_a_record_gives_the_upload_back(upload: OpenUpload) -> None:
    assert OpenUpload.decode(upload.encode()) == upload


@given(UPLOADS, st.data())
def test_a_damaged_record_is_an_invalid_message_or_another_upload(upload: OpenUpload, data: st.DataObject) -> None:
    body = bytearray(upload.encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        OpenUpload.decode(bytes(body))
    except InvalidMessage as error:
        assert error.stage is Stage.UPLOAD


@given(layouts(), st.data())
def test_parts_in_hand_are_given_out_once_and_can_be_redone(layout: Layout, data: st.DataObject) -> None:
    item = ObjectMeta(key="k", size_bytes=layout.size_bytes, etag="e", last_modified_s=0)
    now = [0.0]
    hand = PartsInFlight(
        item,
        "n",
        layout,
        "t",
        {"etag": "e"},
        bucket="b",
        fetch_bytes=data.draw(st.integers(1, 200 * MIB)),
        stored={},
        clock=lambda: now[0],
    )
    redo: int | None = data.draw(st.sampled_from(range(1, layout.count + 1)))
    given_out: list[int] = []
    while (numbers := hand.take()) is not None:
        for number in numbers:
            given_out.append(number)
            hand.add(StoredPart(number=number, size_bytes=layout.size(number), crc32c="c", md5="m", tag="t"))
        hand.release()
        if given_out[-1] == layout.count and redo is not None:
            hand.copy_again(redo)
            redo = None
    assert set(given_out) == set(range(1, layout.count + 1))
    assert len(given_out) == layout.count + 1
    assert not hand.is_worked_on
    assert hand.stored_bytes == layout.size_bytes
    assert OpenUpload.decode(hand.record().encode()) == hand.record()


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 6))
def test_tries_are_counted_from_the_last_progress(progress: list[bool], attempts: int) -> None:
    """Each entry is a try that fails, after it got further or not."""
    reached, left = [0], list(progress)

    def step():
        if not left:
            return "done"
        reached[0] += left.pop(0)
        raise SinkUnavailable("x", stage=Stage.UPLOAD)
        yield

    policy = RetryPolicy(attempts=attempts, base_s=0.01, cap_s=0.01, total_s=1e9)
    retrier = Retrier(policy, clock=lambda: 0.0)
    running, tries = retrier.call(step, lambda: reached[0]), 1
    idle, gives_up = 0, False
    for has_moved in progress:  # as told by hand
        idle = 1 if has_moved else idle + 1
        if idle >= attempts:
            gives_up = True
            break
        tries += 1
    try:
        while True:
            assert isinstance(next(running), Pause)
    except StopIteration as end:
        assert not gives_up
        assert end.value == "done"
    except RetriesExhausted as error:
        assert gives_up
        assert error.attempts == attempts
    assert retrier.attempts == tries


def test_time_is_given_back_with_progress_too() -> None:
    now, reached = [0.0], [0]

    def step():
        now[0] += 50
        reached[0] += now[0] <= 500
        raise SinkUnavailable("x", stage=Stage.UPLOAD)
        yield

    retrier = Retrier(RetryPolicy(attempts=1000, total_s=120, base_s=0.01, cap_s=0.01), clock=lambda: now[0])
    with pytest.raises(RetriesExhausted):
        for _ in retrier.call(step, lambda: reached[0]):
            pass
    assert now[0] == 650  # 120 s after the last time that it got further
