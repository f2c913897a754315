"""The button Test of a CloudFront connection: what it asks the edge, and what it reports."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from cloudfront_fields import EC_KEY, RSA_KEY, pem, public_pem
from localcloud.edge import EdgeServer
from localcloud.http1 import Exchange, HttpServer


@pytest.fixture
def edge() -> Iterator[EdgeServer]:
    """A restricted distribution in front of an S3 that says 404, or 403 as it does to who may not list."""

    def s3(exchange: Exchange) -> None:
        status, code = (403, "AccessDenied") if "forbid" in exchange.target else (404, "NoSuchKey")
        body = f"<Error><Code>{code}</Code><RequestId>R</RequestId></Error>".encode()
        exchange.send(status, [("x-amz-request-id", "R"), ("Content-Type", "application/xml")], body)

    origin = HttpServer(s3)
    origin.start()
    key_pairs = {"K2EXAMPLE": public_pem(EC_KEY), "K2RSA": public_pem(RSA_KEY)}
    server = EdgeServer(origin.url, "b", access_key_id="a", secret_access_key="s", key_pairs=key_pairs)
    server.start()
    yield server
    server.stop()
    origin.stop()


@pytest.mark.parametrize("hash_algorithm", ["SHA1", "SHA256"])
@pytest.mark.parametrize(("login", "key"), [("K2RSA", RSA_KEY), ("K2EXAMPLE", EC_KEY)], ids=["rsa", "ec"])
def test_connection_succeeds(hook, edge: EdgeServer, login: str, key, hash_algorithm: str) -> None:
    subject = hook(host=edge.url, login=login, password=pem(key), extra={"hash_algorithm": hash_algorithm})
    assert subject.test_connection() == (True, f"The edge accepted the signature of a request to {edge.url}.")
    assert set(edge.requests()) <= {"GET range 404"}, "one request, for one byte"


def test_s3s_own_403_is_success(hook, edge: EdgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hooks.cloudfront._PROBE_PREFIX", "forbid-")
    assert hook(host=edge.url).test_connection()[0]


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"extra": {"signing": "public"}}, "set the connection's Signing to 'signed'"),
        ({"login": "K2OTHER"}, "does not know the connection's Key pair ID"),
        ({"password": pem(RSA_KEY)}, "refused the signature"),
    ],
    ids=["unsigned", "unknown key", "wrong key"],
)
def test_connection_says_what_to_fix(hook, edge: EdgeServer, fields: dict, advice: str) -> None:
    succeeded, message = hook(host=edge.url, **fields).test_connection()
    assert not succeeded
    assert message.startswith("The edge answered HTTP 403 ")
    assert "my_edge" not in message, "Airflow tests a connection under a random id"
    assert advice in message
    assert "Signature=" not in message


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (301, "", "redirects"),
        (403, "<HTML>Request blocked.</HTML>", "firewall"),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", "bucket that does not exist"),
        (502, "<HTML></HTML>", "HTTP 502"),
    ],
)
def test_an_edge_that_is_set_up_wrongly(hook, status: int, body: str, advice: str) -> None:
    server = HttpServer(lambda exchange: exchange.send(status, [("Location", "https://other/")], body.encode()))
    server.start()
    try:
        succeeded, message = hook(host=server.url).test_connection()
    finally:
        server.stop()
    assert not succeeded
    assert advice in message


def test_an_edge_that_is_not_there(hook) -> None:
    server = HttpServer(lambda exchange: None)
    server.stop()
    succeeded, message = hook(host=server.url).test_connection()
    assert not succeeded
    assert message.startswith(f"No answer from {server.url} (")


@pytest.fixture
def tls_edge(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An HTTPS server that says 404, and the certificate it signed itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, EC_KEY.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(EC_KEY, hashes.SHA256())
    )
    (tmp_path / "key.pem").write_text(pem(EC_KEY))
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))

    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port, tmp_path / "certificate.pem"
    server.shutdown()
    server.server_close()


def test_the_certificate_is_verified(hook, tls_edge, monkeypatch: pytest.MonkeyPatch) -> None:
    port, certificate = tls_edge
    succeeded, message = hook(host="127.0.0.1", port=port).test_connection()
    assert not succeeded
    assert "certificate" in message
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert hook(host="127.0.0.1", port=port).test_connection()[0]
