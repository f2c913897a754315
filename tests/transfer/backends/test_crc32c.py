"""CRC32C in Cloud Storage's notation, of bytes that come in pieces and of parts that were summed up apart."""

from __future__ import annotations

import base64
import os

import pytest

from transfer.backends.crc32c import Crc32c, combined, crc32c_of

DIGITS = base64.b64encode(0xE3069283.to_bytes(4, "big")).decode()
"""Of `123456789`: the check value of CRC-32C (RFC 3720, appendix B.4 gives the polynomial)."""


def test_the_check_value() -> None:
    assert crc32c_of(b"123456789") == DIGITS
    assert crc32c_of(b"") == "AAAAAA=="


def test_pieces_have_the_checksum_of_the_whole() -> None:
    checksum = Crc32c()
    for piece in (b"12", b"", b"3456789"):
        checksum.update(piece)
    assert (checksum.text, checksum.size_bytes) == (DIGITS, 9)


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (3, 0, 5), (1000, 1, 70_000), (1,) * 20])
def test_parts_have_the_checksum_of_the_whole(sizes: tuple[int, ...]) -> None:
    parts = [os.urandom(size) for size in sizes]
    assert combined((crc32c_of(part), len(part)) for part in parts) == crc32c_of(b"".join(parts))


def test_the_order_of_parts_counts() -> None:
    one, two = (crc32c_of(b"one"), 3), (crc32c_of(b"two"), 3)
    assert combined([one, two]) != combined([two, one])
