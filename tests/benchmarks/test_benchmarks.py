"""The benchmark runs and counts right; how fast anything is, no test says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks import plan
from benchmarks.__main__ import main
from benchmarks.runs import BARE, ENGINE, RCLONE, Sample, run_once
from benchmarks.servers import delayed, fast_servers, given_endpoints
from benchmarks.table import Report, Result
from benchmarks.workloads import MIB, QUICK, Workload
from hooks.errors import InvalidConnection
from localcloud.edge import EdgeServer
from transfer.backends.cloudfront.signing import UrlSigner

TINY = Workload(name="small", count=30, size_bytes=4096)
SERVERS = ("AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "EDGE_URL")


def _pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


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


def test_a_signed_edge_is_taken_from_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CLOUDFRONT_DEFAULT", json.dumps({"conn_type": "cloudfront", "host": "d1.example"}))
    given = dict.fromkeys(SERVERS[:3], "http://127.0.0.1:1") | {"AIRFLOW_CONN_CLOUDFRONT_DEFAULT": "…"}
    with pytest.raises(InvalidConnection, match="Key pair ID"):
        given_endpoints(given, None)
    extra = {"signing": "public"}
    connection = {"conn_type": "cloudfront", "host": "d1.example", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CLOUDFRONT_DEFAULT", json.dumps(connection))
    endpoints = given_endpoints(given, None)
    assert endpoints is not None
    assert (endpoints.edge_url, endpoints.authorizer.query("small/")) == ("https://d1.example", "")
    assert not endpoints.can_be_delayed


@pytest.mark.parametrize("contender", [ENGINE, "script"])
def test_a_signed_edge_lets_the_contenders_in(contender: str) -> None:
    """Through the local cloud's edge, which refuses what is not signed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    with fast_servers([TINY]) as fast:
        edge = EdgeServer(
            fast.s3_url,
            fast.source_bucket,
            access_key_id="bench",
            secret_access_key="bench",
            key_pairs={"K1": public},
        )
        edge.start()
        try:
            signer = UrlSigner(edge.url, "K1", _pem(key))
            sample = run_once(
                contender,
                TINY.subset(5),
                replace(fast, edge_url=edge.url, authorizer=signer),
                threads=2,
                part_size_bytes=8 * MIB,
            )
        finally:
            edge.stop()
    assert sample.objects == 5


def test_only_the_sections_of_what_was_measured_are_replaced() -> None:
    (case,) = plan.cases([TINY], [4], [], is_quick=False)
    sample = Sample(objects=1, bytes=1, wall_s=1, cpu_s=1, peak_rss_bytes=1, servers_cpu_s=1)
    report = Report(command="", rounds=1, part_size_bytes=MIB)
    report.results.append(Result(case, {BARE: [sample]}, {}, "new servers"))
    document = report.markdown(
        f"# Old\n\nhead\n\n## Kept\n\n| a |\n\n## {case.title}\n\nold figures\n\n## Kept too\n\nb\n"
    )
    headings = [line for line in document.splitlines() if line.startswith("#")]
    assert headings == ["# Benchmarks", "## Kept", f"## {case.title}", "## Kept too"]
    assert "old figures" not in document
    assert "new servers" in document
    assert report.markdown(document) == document


def test_slow_peers_copy_the_first_objects_only() -> None:
    (case,) = plan.cases([QUICK["small"]], [4], [RCLONE], is_quick=True)
    share = case.share_of(RCLONE)
    assert share.count < QUICK["small"].count
    assert share.key(0) == f"small-{share.count}/0000000.bin"
