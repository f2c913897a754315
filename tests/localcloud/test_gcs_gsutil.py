"""The local Cloud Storage by gsutil: the JSON API, which gsutil only speaks over TLS, and the XML API."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gcs_clients import BUCKET, MIB, connect, crc32c, serving
from localcloud.gcs import GcsServer
from needs import program

CONFIG = """
[Credentials]
gs_json_host = 127.0.0.1
gs_json_port = {json_port}
gs_host = 127.0.0.1
gs_port = {xml_port}
[Boto]
is_secure = False
https_validate_certificates = False
num_retries = 1
[GSUtil]
prefer_api = {api}
state_dir = {home}/state
software_update_check_period = 0
disable_analytics_prompt = True
resumable_threshold = 1048576
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with serving(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="module")
def tls_port(server: GcsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A port that speaks TLS and hands every byte to the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path_factory.mktemp("tls") / "certificate.pem"))
    parts = urlsplit(server.url)

    class Relay(BaseRequestHandler):
        def handle(self) -> None:
            peer = context.wrap_socket(self.request, server_side=True)
            with peer, socket.create_connection((parts.hostname, parts.port)) as behind:
                threading.Thread(target=pump, args=(behind, peer), daemon=True).start()
                pump(peer, behind)

    class Listener(ThreadingTCPServer):
        daemon_threads = True

    with Listener(("127.0.0.1", 0), Relay) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield relay.server_address[1]
        relay.shutdown()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # either side is gone


def write_certificate(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    pem = dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return path


@pytest.fixture
def gsutil(server: GcsServer, tls_port: int, tmp_path: Path) -> Callable[..., str]:
    def run(api: str, *arguments: str | Path) -> str:
        config = tmp_path / f"{api}.boto"
        xml_port = urlsplit(server.url).port
        config.write_text(CONFIG.format(json_port=tls_port, xml_port=xml_port, api=api, home=tmp_path))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "BOTO_CONFIG": str(config),
            "CLOUDSDK_CONFIG": str(tmp_path / "cloudsdk"),
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_CORE_PASS_CREDENTIALS_TO_GSUTIL": "0",
        }
        gsutil = program("gsutil", is_optional=True, hint="it comes with the Google Cloud CLI")
        command = [gsutil, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_gsutil_copies_and_lists_by_the_json_api(server: GcsServer, gsutil: Callable[..., str], tmp_path: Path) -> None:
    contents = {"small ü.txt": b"one\r\n\n--two\n", "large.bin": os.urandom(3 * MIB + 1)}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    remote = f"gs://{BUCKET}/json"
    gsutil("json", "-h", "x-goog-meta-kept:yes", "cp", *(tmp_path / name for name in contents), f"{remote}/")
    listed = gsutil("json", "ls", "-l", f"{remote}/")
    assert "TOTAL: 2 objects" in listed
    assert all(f"{remote}/{name}" in listed for name in contents)
    (tmp_path / "down").mkdir()
    gsutil("json", "cp", f"{remote}/*", tmp_path / "down")
    assert {name: (tmp_path / "down" / name).read_bytes() for name in contents} == contents
    bucket = connect(server).bucket(BUCKET)
    for name, data in contents.items():
        blob = bucket.get_blob(f"json/{name}")
        assert (blob.crc32c, blob.metadata) == (crc32c(data), {"kept": "yes"})
    assert server.requests()["objects.insert-initiate 200"] == 1


def test_gsutil_uploads_and_lists_by_the_xml_api(server: GcsServer, gsutil: Callable[..., str], tmp_path: Path) -> None:
    # No download: boto 2 formats its own gs_port with %d, although it has read it as text.
    (tmp_path / "file").write_bytes(b"content")
    gsutil("xml", "cp", tmp_path / "file", f"gs://{BUCKET}/xml/file")
    assert gsutil("xml", "ls", f"gs://{BUCKET}/xml").split() == [f"gs://{BUCKET}/xml/file"]
    assert connect(server).bucket(BUCKET).blob("xml/file").download_as_bytes() == b"content"
