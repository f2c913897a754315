"""Reads ranges of parts of one object from the edge, each in one GET unless it fails on the way."""

from __future__ import annotations

from types import TracebackType

from transfer.copying.parts import Layout
from transfer.model import ObjectMeta
from transfer.ports import ByteStream, ObjectSource
from transfer.steps import Step


class RangeReader:
    """A GET over neighbouring parts, opened again at the part that failed. A context manager: it closes its stream."""

    def __init__(self, source: ObjectSource, item: ObjectMeta, layout: Layout) -> None:
        self._source = source
        self._item = item
        self._layout = layout
        self._stream: ByteStream | None = None
        self._left = range(0)
        """The parts that are left of the open stream."""

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, numbers: range) -> Step[ByteStream]:
        """The stream at the first byte of these parts: the open stream if exactly they are left of it, or that of a new GET."""
        if self._stream is None or self._left != numbers:
            self.close()
            start, end = self._layout.start(numbers[0]), self._layout.end(numbers[-1])
            self._stream = yield from self._source.open(self._item, start, end - start)
            self._left = numbers
        return self._stream

    def advance(self) -> None:
        """Note that the first of the parts that were left has been read to its end."""
        self._left = self._left[1:]

    def close(self) -> None:
        """Close the stream, perhaps in the middle of a part. The next `open` sends a new GET."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
