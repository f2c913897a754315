"""Settings that cannot be."""

from __future__ import annotations

import pytest

from transfer.config import TransferConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0},
        {"threads": 1000},
        {"part_size_bytes": 0},
        {"part_size_bytes": 5 * 1024 * 1024 - 1},
        {"bandwidth_limit_bytes_per_s": 0.0},
        {"bandwidth_limit_bytes_per_s": float("nan")},
        {"max_requests_per_s": -1.0},
        {"max_requests_per_s": float("inf")},
        {"workers": 0},
    ],
)
def test_bad_settings_say_what_to_choose(wrong) -> None:
    with pytest.raises(ValueError, match="choose"):
        TransferConfig(**wrong)
