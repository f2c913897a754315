"""The comparison of HTTP versions runs, and says which one really spoke; how fast anything is, no test says."""

from __future__ import annotations

from dataclasses import replace

import pycurl
import pytest

from benchmarks.http_versions import VARIANTS, Case, main, measure
from benchmarks.measure import PeerFailed
from benchmarks.tls_servers import tls_servers
from benchmarks.workloads import MIB
from needs import program

FIRST, DEFAULT, PIPEWAIT, SINGLE = VARIANTS


@pytest.fixture(autouse=True, scope="module")
def nginx() -> str:
    return program("nginx", is_optional=True, hint="its package would start a server on every address")


def test_the_table_has_every_variant_with_its_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "PUT 4 KiB, 16 lanes"]) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| PUT")]
    assert [line[1] for line in lines] == [variant.name for variant in VARIANTS]
    assert lines[0][-2:] == ["1.00×", "1.00× |"]


def test_libcurls_defaults_open_a_connection_a_lane_and_then_use_one() -> None:
    case = Case(method="GET", lanes=8, requests=40)
    with tls_servers([case.size_bytes]) as servers:
        taken = {variant: measure(case, variant, servers, servers.port) for variant in VARIANTS}
    counts = {variant: (sample.opened, sample.used) for variant, sample in taken.items()}
    assert counts == {FIRST: (8, 8), DEFAULT: (8, 1), PIPEWAIT: (1, 1), SINGLE: (8, 8)}


@pytest.mark.parametrize("is_streamed_on", [False, True])
def test_a_streamed_body_arrives(is_streamed_on: bool) -> None:
    case = Case(method="PUT", lanes=2, requests=4, size_bytes=3 * MIB, is_streamed_on=is_streamed_on)
    with tls_servers([]) as servers:
        for variant in VARIANTS:
            sample = measure(case, variant, servers, servers.port)
            assert sample.opened in (1, 2)
            assert sample.failed == 0
        assert (servers.folder / "0").stat().st_size == case.size_bytes


def test_another_version_than_the_one_asked_for_is_no_measurement() -> None:
    case = Case(method="GET", lanes=1, requests=1)
    mistaken = replace(FIRST, version=pycurl.CURL_HTTP_VERSION_2_0)
    with tls_servers([case.size_bytes]) as servers, pytest.raises(PeerFailed, match="version 2"):
        measure(case, mistaken, servers, servers.port)
