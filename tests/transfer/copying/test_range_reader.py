"""A range of parts is read in one GET, which is opened again only where it has to be."""

from __future__ import annotations

from collections.abc import Mapping

from transfer.copying.parts import Layout
from transfer.copying.range_reader import RangeReader
from transfer.model import ObjectMeta
from transfer.steps import Step

ITEM = ObjectMeta(key="k", size_bytes=95, etag="e-10", last_modified_s=0)
LAYOUT = Layout(size_bytes=95, part_bytes=10, is_sources_own=True)


class Stream:
    headers: Mapping[str, str] = {}
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Source:
    """Notes which bytes are asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.streams: list[Stream] = []

    def open(self, item: ObjectMeta, start: int, count: int) -> Step[Stream]:
        self.asked.append((start, count))
        self.streams.append(Stream())
        return self.streams[-1]
        yield


def done(step):
    """The result of a step that waits for nothing."""
    try:
        next(step)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("the step waits")


def reader(source: Source) -> RangeReader:
    return RangeReader(source, ITEM, LAYOUT)  # type: ignore[arg-type]


def test_neighbouring_parts_come_out_of_one_get() -> None:
    source = Source()
    with reader(source) as parts:
        for number in (8, 9, 10):
            assert done(parts.open(range(number, 11))) is source.streams[0]
            parts.advance()
    assert source.asked == [(70, 25)]
    assert source.streams[0].is_closed


def test_after_an_error_the_get_is_opened_again_at_the_part_that_failed() -> None:
    source = Source()
    with reader(source) as parts:
        done(parts.open(range(1, 4)))
        parts.advance()
        done(parts.open(range(2, 4)))
        parts.close()
        assert source.streams[0].is_closed
        done(parts.open(range(2, 4)))
    assert source.asked == [(0, 30), (10, 20)]


def test_a_get_that_was_opened_for_another_range_is_not_used() -> None:
    """Another lane may take the range that was opened first."""
    source = Source()
    with reader(source) as parts:
        done(parts.open(range(1, 3)))
        done(parts.open(range(3, 5)))
        assert [stream.is_closed for stream in source.streams] == [True, False]
        parts.advance()
        done(parts.open(range(4, 6)))
    assert source.asked == [(0, 20), (20, 20), (30, 20)], "the second GET ends at part 4"
