"""Lanes are spread over one thread for small objects and over two for large ones."""

from __future__ import annotations

import pytest

from transfer.worker.lanes import LARGE_AVERAGE_BYTES, lanes_per_thread


@pytest.mark.parametrize(
    ("lanes", "average_bytes", "expected"),
    [
        (16, LARGE_AVERAGE_BYTES - 1, [16]),
        (16, LARGE_AVERAGE_BYTES, [8, 8]),
        (5, LARGE_AVERAGE_BYTES, [3, 2]),
        (1, LARGE_AVERAGE_BYTES, [1]),
    ],
)
def test_lanes_per_thread(lanes: int, average_bytes: int, expected: list[int]) -> None:
    assert lanes_per_thread(lanes, objects=1000, size_bytes=1000 * average_bytes) == expected
