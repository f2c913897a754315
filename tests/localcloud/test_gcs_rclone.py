"""The local Cloud Storage by rclone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gcs_clients import BUCKET, MIB, connect, crc32c, serving
from localcloud.gcs import GcsServer
from needs import program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def rclone(server: GcsServer, tmp_path: Path) -> Callable[..., str]:
    options = ["--gcs-endpoint", f"{server.url}/storage/v1/", "--gcs-anonymous", "--gcs-bucket-policy-only"]
    options += ["--gcs-no-check-bucket", "--config", os.devnull, "--cache-dir", str(tmp_path / "cache")]
    options += ["--retries", "1", "--low-level-retries", "3", "--stats", "0"]
    environment = {"HOME": str(tmp_path), "PATH": os.defpath}

    def run(*arguments: str | Path) -> str:
        command = [program("rclone"), *map(str, arguments), *options]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=40)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_rclone_copies_checks_and_lists(server: GcsServer, rclone: Callable[..., str], tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    contents = {"small": b"content", "empty": b"", "deep/er/ü 🦀 #%?.txt": b"odd", "large": os.urandom(40 * MIB)}
    for name, data in contents.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    remote = f":gcs:{BUCKET}/copied"
    rclone("copy", source, remote)
    rclone("check", source, remote)
    rclone("check", source, remote, "--download")
    listed = rclone("lsf", "--recursive", "--files-only", "--format", "ps", remote).splitlines()
    assert sorted(listed) == sorted(f"{name};{len(data)}" for name, data in contents.items())
    hashes = json.loads(rclone("lsjson", "--hash", f"{remote}/small"))
    assert hashes[0]["Hashes"]["md5"] == "9a0364b9e99bb480dd25e1f0284c8555"
    blob = connect(server).bucket(BUCKET).get_blob("copied/large")
    assert (blob.crc32c, blob.size) == (crc32c(contents["large"]), 40 * MIB)
    assert set(blob.metadata) == {"mtime", "goog-reserved-file-mtime"}  # rclone sets no other metadata here
    rclone("copy", remote, target)
    assert {name: (target / name).read_bytes() for name in contents} == contents
    counts = server.requests()
    assert counts["objects.insert-chunk 200"] == 3  # 16 MiB each; 200 stands for 308, as Go's client asks
    assert not [count for count in counts if count.endswith((" 400", " 500", " broken"))]


def test_rclone_copies_moves_and_deletes_on_the_server(rclone: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    remote = f":gcs:{BUCKET}/managed"
    rclone("copyto", tmp_path / "file", f"{remote}/a")
    rclone("copyto", f"{remote}/a", f"{remote}/b")
    rclone("moveto", f"{remote}/a", f"{remote}/c")
    assert rclone("lsf", remote).split() == ["b", "c"]
    assert rclone("cat", f"{remote}/c", "--offset", "2", "--count", "3") == "nte"
    rclone("delete", remote)
    assert rclone("lsf", remote) == ""
