"""Computes CRC32C (Castagnoli) in Cloud Storage's notation, also that of a whole from those of its parts."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache

import google_crc32c

_POLYNOMIAL = 0x82F63B78
"""Bit-reversed, as in RFC 3720, appendix B.4."""
_ONE = 0x80000000
"""The polynomial 1, bit-reversed."""


class Crc32c:
    """A running CRC32C."""

    __slots__ = ("_value", "size_bytes")

    def __init__(self) -> None:
        self._value = 0
        self.size_bytes = 0
        """How many bytes the checksum covers."""

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        self._value = google_crc32c.extend(self._value, data)
        self.size_bytes += len(data)

    @property
    def text(self) -> str:
        """The checksum as Cloud Storage writes it: base64 of the big-endian value."""
        return _encode(self._value)


def crc32c_of(data: bytes) -> str:
    """The CRC32C of bytes in memory, as Cloud Storage writes it: base64 of the big-endian value."""
    return _encode(google_crc32c.value(data))


def combined(parts: Iterable[tuple[str, int]]) -> str:
    """The CRC32C of joined parts, from their checksums (base64) and sizes in bytes.

    A CRC is a remainder: that of A followed by B is that of A times x^(8·|B|), plus that of B (zlib's `crc32_combine`).
    """
    value = 0
    for text, size_bytes in parts:
        value = _multiply(value, _shift(size_bytes)) ^ int.from_bytes(base64.b64decode(text), "big")
    return _encode(value)


def _encode(value: int) -> str:
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials modulo CRC32C's."""
    product, bit = 0, _ONE
    while bit:
        if a & bit:
            product ^= b
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
        bit >>= 1
    return product


@lru_cache(maxsize=64)
def _shift(size_bytes: int) -> int:
    """x^(8·size) modulo CRC32C's polynomial, by squaring."""
    result, power, exponent = _ONE, _ONE >> 1, 8 * size_bytes
    while exponent:
        if exponent & 1:
            result = _multiply(result, power)
        power = _multiply(power, power)
        exponent >>= 1
    return result
