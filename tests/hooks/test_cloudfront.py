"""The CloudFront connection: what it accepts, how it refuses, what it asks the edge, and what logs never show."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hooks.cloudfront import CloudfrontHook
from hooks.errors import InvalidConnection
from localcloud.edge import EdgeServer
from localcloud.http1 import Exchange, HttpServer
from transfer.backends.cloudfront.signing import PublicUrls

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key, form: PrivateFormat = PrivateFormat.TraditionalOpenSSL) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def public_pem(key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


FIELDS = {"conn_type": "cloudfront", "host": "d111.cloudfront.net", "login": "K2EXAMPLE", "password": pem(EC_KEY)}


@pytest.fixture
def hook(connect):
    def make(**fields: object) -> CloudfrontHook:
        return CloudfrontHook(connect("my_edge", **FIELDS | fields))

    return make


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, "https://d111.cloudfront.net"),
        ({"host": "https://D111.cloudfront.net/"}, "https://d111.cloudfront.net"),
        ({"host": " d111.cloudfront.net "}, "https://d111.cloudfront.net"),
        ({"host": "https://d111.cloudfront.net:443"}, "https://d111.cloudfront.net"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8080}, "http://127.0.0.1:8080"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ({"host": "127.0.0.1:8080", "schema": "HTTP"}, "http://127.0.0.1:8080"),
        ({"host": "http://127.0.0.1", "port": 80}, "http://127.0.0.1"),
        ({"host": "[::1]:8080", "schema": "http"}, "http://[::1]:8080"),
    ],
)
def test_base_url(hook, fields: dict, base_url: str) -> None:
    assert hook(**fields).base_url == base_url


def test_connection_as_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_URI_EDGE", "cloudfront://127.0.0.1:8080/http?signing=public")
    hook = CloudfrontHook("uri_edge")
    assert hook.base_url == "http://127.0.0.1:8080"
    assert isinstance(hook.get_signer(), PublicUrls)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"host": ""}, "host"),
        ({"host": "https://d1.cloudfront.net/prefix"}, "host"),
        ({"host": "d1.cloudfront.net?x=y"}, "host"),
        ({"host": "u:p@d1.cloudfront.net"}, "host"),
        ({"host": "d1.cloud front.net"}, "host"),
        ({"host": "d1.cloudfront.net:http"}, "host"),
        ({"host": "https://d1.cloudfront.net", "schema": "http"}, "schema"),
        ({"schema": "ftp"}, "schema"),
        ({"host": "d1.cloudfront.net:8443", "port": 8080}, "port"),
        ({"login": ""}, "login (key pair id)"),
        ({"login": "K2 EXAMPLE"}, "login (key pair id)"),
        ({"password": ""}, "password (private key)"),
        ({"password": "swordfish"}, "password (private key)"),
        ({"password": public_pem(EC_KEY)}, "password (private key)"),
        ({"password": pem(EC_KEY)[:150]}, "password (private key)"),
        ({"password": pem(rsa.generate_private_key(65537, 1024))}, "password (private key)"),
        ({"extra": "{"}, "extra"),
        ({"extra": '["signed"]'}, "extra"),
        ({"extra": {"signing": "maybe"}}, "signing"),
        ({"extra": {"hash_algorithm": "MD5"}}, "hash_algorithm"),
        ({"extra": {"url_lifetime_s": "1h"}}, "url_lifetime_s"),
        ({"extra": {"url_lifetime_s": 1}}, "url_lifetime_s"),
        ({"extra": {"url_lifetime_s": 10**8}}, "url_lifetime_s"),
        ({"extra": {"url_lifetime_s": True}}, "url_lifetime_s"),
    ],
)
def test_a_bad_field_is_named_in_one_sentence(hook, fields: dict, field: str) -> None:
    subject = hook(**fields)
    with pytest.raises(InvalidConnection) as caught:
        assert subject.base_url
        subject.get_signer()
    text = str(caught.value)
    assert text.startswith(f"Connection 'my_edge', field '{field}': ")
    assert text.endswith(".")
    assert "\n" not in text
    assert "swordfish" not in text
    assert pem(EC_KEY).splitlines()[1] not in text
    assert subject.test_connection() == (False, text)


SEC1_WITH_PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + pem(EC_KEY)


@pytest.mark.parametrize(
    "text",
    [
        pem(RSA_KEY),
        pem(RSA_KEY, PrivateFormat.PKCS8),
        pem(EC_KEY).replace("\n", "\\n"),
        pem(EC_KEY).replace("\n", "\r\n"),
        pem(EC_KEY).replace("\n", "\\r\\n"),
        pem(EC_KEY).replace("\n", " "),
        pem(EC_KEY).replace("\n", ""),
        f"\n  {pem(EC_KEY).strip()}",
        pem(EC_KEY),
        pem(EC_KEY, PrivateFormat.PKCS8),
        SEC1_WITH_PARAMETERS,
    ],
    ids=["pkcs1", "pkcs8", "\\n", "crlf", "\\r\\n", "spaces", "one line", "indented", "sec1", "pkcs8-ec", "ecparam"],
)
def test_a_key_is_read_however_it_was_pasted(hook, text: str) -> None:
    assert "&Key-Pair-Id=K2EXAMPLE" in hook(password=text).get_signer().query("a/")


def test_extra_settings_reach_the_signer(hook) -> None:
    query = hook(extra={"hash_algorithm": "SHA256", "url_lifetime_s": "60"}).get_signer().query("a/")
    assert query.endswith("&Hash-Algorithm=SHA256")


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


@pytest.mark.parametrize("hash_algorithm", ["SHA-1", "SHA-256", "SHA1"])
@pytest.mark.parametrize(("login", "key"), [("K2RSA", RSA_KEY), ("K2EXAMPLE", EC_KEY)], ids=["rsa", "ec"])
def test_connection_succeeds(hook, edge: EdgeServer, login: str, key, hash_algorithm: str) -> None:
    subject = hook(host=edge.url, login=login, password=pem(key), extra={"hash_algorithm": hash_algorithm})
    assert subject.test_connection() == (True, f"{edge.url} accepted the request (HTTP 404).")
    assert set(edge.requests()) <= {"GET range 404"}, "one request, for one byte"


def test_s3s_own_403_is_success(hook, edge: EdgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hooks.cloudfront._PROBE_PREFIX", "forbid-")
    succeeded, message = hook(host=edge.url).test_connection()
    assert succeeded
    assert "403" in message


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"extra": {"signing": "public"}}, "set signing to 'signed'"),
        ({"login": "K2OTHER"}, "does not know the key pair id"),
        ({"password": pem(RSA_KEY)}, "refused the signature"),
    ],
    ids=["unsigned", "unknown key", "wrong key"],
)
def test_connection_says_what_to_fix(hook, edge: EdgeServer, fields: dict, advice: str) -> None:
    succeeded, message = hook(host=edge.url, **fields).test_connection()
    assert not succeeded
    assert message.startswith("Connection 'my_edge': ")
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
    assert message.startswith(f"Connection 'my_edge': no answer from {server.url} (")


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


LOGGING = """
import json, logging, sys
from airflow.sdk.log import configure_logging
configure_logging(json_output=True)  # as task logs are written
from hooks.cloudfront import CloudfrontHook
hook = CloudfrontHook("my_edge")
query = hook.get_signer().query("a/")
password = hook._connection.password
log = logging.getLogger("airflow.task")
log.info("stored %s", password)
log.info("as JSON %s", json.dumps({"text": password.replace("\\\\n", "\\n")}))
log.info("as PEM %s", password.replace("\\\\n", "\\n"))
log.info("a line %s", password.split("\\\\n")[3])
log.info("url %s", "https://d111.cloudfront.net/a/b?" + query)
try:
    raise ValueError("GET https://d111.cloudfront.net/a/b?" + query)
except ValueError:
    log.exception("traceback")
print("SIGNATURE=" + query.split("Signature=")[1].split("&")[0])
"""


def test_key_and_signature_are_masked_in_logs(tmp_path: Path) -> None:
    text = pem(RSA_KEY).replace("\n", "\\n")
    environment = os.environ | {
        "AIRFLOW_CONN_MY_EDGE": json.dumps(FIELDS | {"password": text}),
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2] / "plugins"),
    }
    run = subprocess.run([sys.executable, "-c", LOGGING], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    output = run.stdout + run.stderr
    logged, _, rest = output.partition("SIGNATURE=")
    signature = rest.splitlines()[0]
    logged += rest.partition("\n")[2]
    assert logged.count("***") >= 6
    assert logged.count("Key-Pair-Id=K2EXAMPLE") >= 2
    assert signature not in logged
    assert not [line for line in pem(RSA_KEY).splitlines()[1:-1] if line in logged]
