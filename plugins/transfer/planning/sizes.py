"""Counts objects by size."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

KIB = 1024
BAND_ENDS_BYTES = (4 * KIB, 64 * KIB, KIB**2, 16 * KIB**2, 256 * KIB**2, 4 * KIB**3, 64 * KIB**3)
"""The largest size in each band of the size histogram; a last band has all larger objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number of objects, and their total size."""

    objects: int = 0
    size_bytes: int = 0

    def to_dict(self) -> dict[str, int]:
        """The JSON object in plan.json and report.json."""
        return {"objects": self.objects, "bytes": self.size_bytes}

    @classmethod
    def of(cls, fields: dict[str, int]) -> Amount:
        """The amount of which `to_dict` made these fields."""
        return cls(objects=fields["objects"], size_bytes=fields["bytes"])


class SizeHistogram:
    """Objects by size, in the bands of BAND_ENDS_BYTES. Use from one thread."""

    def __init__(self) -> None:
        self._objects = [0] * (len(BAND_ENDS_BYTES) + 1)
        self._bytes = [0] * (len(BAND_ENDS_BYTES) + 1)

    def add(self, size_bytes: int) -> None:
        """Count one object."""
        band = bisect_left(BAND_ENDS_BYTES, size_bytes)
        self._objects[band] += 1
        self._bytes[band] += size_bytes

    def bands(self) -> tuple[Amount, ...]:
        """The amount in each band."""
        pairs = zip(self._objects, self._bytes, strict=True)
        return tuple(Amount(objects=objects, size_bytes=size_bytes) for objects, size_bytes in pairs)
