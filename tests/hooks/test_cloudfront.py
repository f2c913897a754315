"""The CloudFront connection: what it accepts, how it refuses, what it asks the edge, and what logs never show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat

from cloudfront_fields import EC_KEY, FIELDS, RSA_KEY, pem, public_pem
from hooks.cloudfront import CloudfrontHook
from hooks.errors import InvalidConnection
from hooks.provider import LABELS, get_provider_info
from transfer.backends.cloudfront.signing import PublicUrls


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
        ({"host": ""}, "Distribution domain"),
        ({"host": "https://d1.cloudfront.net/prefix"}, "Distribution domain"),
        ({"host": "d1.cloudfront.net?x=y"}, "Distribution domain"),
        ({"host": "u:p@d1.cloudfront.net"}, "Distribution domain"),
        ({"host": "d1.cloud front.net"}, "Distribution domain"),
        ({"host": "d1.cloudfront.net:http"}, "Distribution domain"),
        ({"host": "https://d1.cloudfront.net", "schema": "http"}, "Scheme"),
        ({"schema": "ftp"}, "Scheme"),
        ({"host": "d1.cloudfront.net:8443", "port": 8080}, "Port"),
        ({"login": ""}, "Key pair ID"),
        ({"login": "K2 EXAMPLE"}, "Key pair ID"),
        ({"password": ""}, "Private key (PEM)"),
        ({"password": "swordfish"}, "Private key (PEM)"),
        ({"password": public_pem(EC_KEY)}, "Private key (PEM)"),
        ({"password": pem(EC_KEY)[:150]}, "Private key (PEM)"),
        ({"password": pem(rsa.generate_private_key(65537, 1024))}, "Private key (PEM)"),
        ({"extra": {"signing": "maybe"}}, "Signing"),
        ({"extra": {"hash_algorithm": "MD5"}}, "Hash algorithm"),
        ({"extra": {"url_lifetime_s": "1h"}}, "URL lifetime (seconds)"),
        ({"extra": {"url_lifetime_s": 1}}, "URL lifetime (seconds)"),
        ({"extra": {"url_lifetime_s": 10**8}}, "URL lifetime (seconds)"),
        ({"extra": {"url_lifetime_s": True}}, "URL lifetime (seconds)"),
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
    assert subject.test_connection() == (False, text.replace(f"Connection 'my_edge', field '{field}'", field))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (public_pem(EC_KEY), "is a public key; paste the private key of the pair"),
        (public_pem(RSA_KEY).replace("\n", "\\n"), "is a public key"),
        (public_pem(RSA_KEY).replace("PUBLIC KEY", "RSA PUBLIC KEY"), "is a public key"),
        ("ssh-rsa AAAAB3NzaC1yc2E user@machine", "is a public key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "is a certificate; paste the private key"),
        ("swordfish", "must be an unencrypted PEM key"),
    ],
)
def test_what_was_pasted_for_a_private_key_is_named(hook, text: str, said: str) -> None:
    _, message = hook(password=text).test_connection()
    assert message.startswith(f"Private key (PEM): {said}")


def test_the_form_and_the_messages_have_the_same_words() -> None:
    (form,) = get_provider_info()["connection-types"]
    assert {**form["ui-field-behaviour"]["relabeling"], "port": "Port"} | {
        name: field["label"] for name, field in form["conn-fields"].items()
    } == LABELS


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
