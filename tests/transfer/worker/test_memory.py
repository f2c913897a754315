"""A worker's memory depends on its threads, and neither on the size of objects nor on their number."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.workloads import DESTINATION
from engine_rig import fault
from localcloud.gcs import GcsServer
from memory_rig import MIB, zeros

GIB = 1024 * MIB


def limit_bytes(threads: int) -> int:
    """150 MiB, of which libraries are some 100, and 4 MiB a thread."""
    return (150 + 4 * threads) * MIB


def test_an_object_of_half_a_gibibyte_in_parts(tmp_path: Path) -> None:
    with zeros(tmp_path, size_bytes=GIB // 2) as rig:
        used = rig.copied()
    assert used["bytes"] == GIB // 2
    assert used["peak_rss_bytes"] < limit_bytes(threads=16)


def test_a_stream_into_a_sink_that_stands_still(tmp_path: Path) -> None:
    """Bytes that the sink does not take are not read, though the edge could send all of them meanwhile."""
    gcs = GcsServer(tmp_path / "gcs", buckets=[DESTINATION])
    gcs.faults.replace([fault("PUT /upload", "delay", seconds=1.5)])
    gcs.start()
    try:
        with zeros(tmp_path, size_bytes=256 * MIB, threads=4, is_one_put=True, gcs_url=gcs.url) as rig:
            used = rig.copied()
    finally:
        gcs.stop()
    assert used["bytes"] == 256 * MIB
    assert used["peak_rss_bytes"] < limit_bytes(threads=4)


@pytest.mark.slow
@pytest.mark.parametrize("is_one_put", [False, True])
def test_an_object_of_six_gibibytes(tmp_path: Path, is_one_put: bool) -> None:
    """S3 takes at most 5 GiB in one PUT, but that limit is not tested here."""
    with zeros(tmp_path, size_bytes=6 * GIB, is_one_put=is_one_put) as rig:
        used = rig.copied()
    print(f"6 GiB, one put: {is_one_put}: {used['peak_rss_bytes'] / MIB:.0f} MiB in {used['wall_s']:.0f} s")
    assert used["bytes"] == 6 * GIB
    assert used["peak_rss_bytes"] < limit_bytes(threads=16)


@pytest.mark.slow
def test_a_hundred_times_the_objects_take_no_more_memory(tmp_path: Path) -> None:
    """A run of 1,000 is over before a group of outcomes is full, which adds some 3 %; from there on it stays."""
    peaks = {}
    for count in (1_000, 100_000):
        with zeros(tmp_path, size_bytes=100, count=count, is_one_put=True) as rig:
            peaks[count] = rig.worker_peak_bytes()
    print({count: f"{peak / MIB:.1f} MiB" for count, peak in peaks.items()})
    assert peaks[100_000] < 1.1 * peaks[1_000]
    assert peaks[100_000] < limit_bytes(threads=16)


@pytest.mark.slow
def test_a_listing_of_a_hundred_times_the_objects_takes_no_more_memory(tmp_path: Path) -> None:
    peaks = {}
    for count in (1_000, 100_000):
        with zeros(tmp_path, size_bytes=100, count=count, is_one_put=True) as rig:
            peaks[count] = rig.lister_peak_bytes()
    print({count: f"{peak / MIB:.1f} MiB" for count, peak in peaks.items()})
    assert peaks[100_000] < 1.1 * peaks[1_000]
