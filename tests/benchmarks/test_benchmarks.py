"""The benchmark runs and counts right; how fast anything is, no test says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import plan
from benchmarks.__main__ import main
from benchmarks.runs import BARE, ENGINE, RCLONE, run_once
from benchmarks.servers import delayed, fast_servers, given_endpoints
from benchmarks.workloads import MIB, QUICK, Workload

TINY = Workload(name="small", count=30, size_bytes=4096)
SERVERS = ("AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "EDGE_URL")


@pytest.fixture(autouse=True)
def _own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)


def test_the_report_has_engine_and_peer_with_their_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUICK, "small", TINY)
    path = tmp_path / "bench.json"
    arguments = ["--quick", "--workload", "small", "--threads", "2", "--rounds", "1", "--peers", "rclone"]
    assert main([*arguments, "--json", str(path)]) == 0
    (case,) = json.loads(path.read_text())["cases"]
    assert set(case["contenders"]) == {ENGINE, BARE, RCLONE}
    assert case["contenders"][ENGINE]["objects"] == TINY.count
    assert case["contenders"][RCLONE]["engine_over_this"]["objects_per_s"] > 0


@pytest.mark.parametrize("contender", [ENGINE, RCLONE, "transfer_manager", "script"])
def test_objects_of_many_parts_reach_the_sink_whole(contender: str) -> None:
    workload = Workload(name="large", count=2, size_bytes=40 * MIB, is_large=True)
    with fast_servers([workload]) as endpoints:
        sample = run_once(contender, workload, endpoints, threads=2, part_size_bytes=8 * MIB)  # checks count and bytes
    assert (sample.objects, sample.bytes) == (2, 80 * MIB)
    assert sample.cpu_s > 0
    assert sample.peak_rss_bytes > 0


@pytest.mark.parametrize("contender", [ENGINE, RCLONE])
def test_without_nginx_the_source_server_is_the_edge(contender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.servers.shutil.which", lambda *_, **__: None)
    with fast_servers([TINY]) as endpoints, delayed(endpoints, 1.0) as far:
        sample = run_once(contender, TINY.subset(7), far, threads=2, part_size_bytes=8 * MIB)
    assert sample.objects == 7


def test_servers_are_given_all_or_none() -> None:
    assert given_endpoints({}, None) is None
    with pytest.raises(ValueError, match="EDGE_URL"):
        given_endpoints({"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}, None)


def test_slow_peers_copy_the_first_objects_only() -> None:
    (case,) = plan.cases([QUICK["small"]], [4], [RCLONE], is_quick=True)
    share = case.share_of(RCLONE)
    assert share.count < QUICK["small"].count
    assert share.key(0) == f"small-{share.count}/0000000.bin"
