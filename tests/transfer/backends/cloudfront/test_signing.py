"""Signatures checked by programs that are not ours: openssl and the AWS CLI."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from needs import program
from transfer.backends.cloudfront.signing import InvalidSigningValue, PublicUrls, UrlSigner

BASE = "https://d111.cloudfront.net"
NOW_S = 1_900_000_000.0
KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
}


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def pem(key, form=PrivateFormat.TraditionalOpenSSL, encryption=None) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


def signer(kind: str = "rsa", hash_algorithm: str = "SHA1", **kwargs) -> UrlSigner:
    return UrlSigner(BASE, "K2EXAMPLE", pem(KEYS[kind]), hash_algorithm, **{"clock": lambda: NOW_S, **kwargs})


def unescape(value: str) -> bytes:
    return base64.b64decode(value.translate(str.maketrans("-_~", "+=/")))


def parameters(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()}


@pytest.mark.parametrize("hash_algorithm", ["SHA1", "SHA256"])
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_openssl_verifies_the_policy(kind: str, hash_algorithm: str, tmp_path: Path) -> None:
    found = parameters(signer(kind, hash_algorithm).query("a%20b/%C3%A9/"))
    assert found.pop("Hash-Algorithm", "SHA1") == hash_algorithm
    assert set(found) == {"Policy", "Signature", "Key-Pair-Id"}
    assert found["Key-Pair-Id"] == "K2EXAMPLE"
    policy = unescape(found["Policy"])
    assert policy == (
        b'{"Statement":[{"Resource":"https://d111.cloudfront.net/a%20b/%C3%A9/*",'
        b'"Condition":{"DateLessThan":{"AWS:EpochTime":1900003600}}}]}'
    )
    public = tmp_path / "public.pem"
    public.write_bytes(KEYS[kind].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "signature").write_bytes(unescape(found["Signature"]))
    verify = [program("openssl"), "dgst", f"-{hash_algorithm.lower()}"]
    verify += ["-verify", str(public), "-signature", str(tmp_path / "signature")]
    assert b"Verified OK" in subprocess.run(verify, input=policy, capture_output=True, check=True).stdout


def test_signature_equals_the_aws_cli(tmp_path: Path) -> None:
    """A canned policy over the wildcard URL is, byte for byte, our custom policy; so the signatures must be equal."""
    key = tmp_path / "key.pem"
    key.write_text(pem(KEYS["rsa"]))
    command = [program("aws"), "cloudfront", "sign", "--url", f"{BASE}/logs/*", "--key-pair-id", "K2EXAMPLE"]
    command += ["--private-key", f"file://{key}", "--date-less-than", str(int(NOW_S) + 3600)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = parameters(urlsplit(run.stdout.strip()).query)
    assert parameters(signer().query("logs/"))["Signature"] == theirs["Signature"]


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("rsa", PrivateFormat.TraditionalOpenSSL),
        ("rsa", PrivateFormat.PKCS8),
        ("ec", PrivateFormat.TraditionalOpenSSL),
        ("ec", PrivateFormat.PKCS8),
    ],
    ids=["pkcs1", "pkcs8", "sec1", "pkcs8-ec"],
)
def test_every_pem_form_is_read(kind: str, form: PrivateFormat) -> None:
    assert "Signature=" in UrlSigner(BASE, "K2EXAMPLE", pem(KEYS[kind], form)).query("")


def test_the_empty_prefix_authorizes_this_distribution_only() -> None:
    policy = json.loads(unescape(parameters(signer().query(""))["Policy"]))
    assert policy["Statement"][0]["Resource"] == f"{BASE}/*"


def test_a_query_is_cached_and_renewed_at_half_of_its_lifetime() -> None:
    clock = Clock()
    signed: list[str] = []
    subject = signer(lifetime_s=600, clock=clock, steady=clock, on_signed=signed.append)
    first = subject.query("a/")
    clock.now_s += 299
    assert subject.query("a/") is first
    clock.now_s += 1
    second = subject.query("a/")
    assert second != first
    assert json.loads(unescape(parameters(second)["Policy"]))["Statement"][0]["Condition"] == {
        "DateLessThan": {"AWS:EpochTime": int(NOW_S) + 900}
    }
    assert subject.query("b/") != second
    assert signed[:2] == [first, second]
    assert len(signed) == 3


def test_a_clock_that_is_set_back_does_not_prolong_a_signature() -> None:
    clock, steady = Clock(), Clock()
    subject = signer(lifetime_s=600, clock=clock, steady=steady)
    first = subject.query("a/")
    clock.now_s -= 7200
    steady.now_s += 301
    assert subject.query("a/") != first


def test_a_refused_signature_is_renewed_once_for_all_threads() -> None:
    clock = Clock()
    signed: list[str] = []
    subject = signer(clock=clock, steady=lambda: 0.0, on_signed=signed.append)
    first = subject.query("a/")
    clock.now_s += 7200  # the machine slept
    assert subject.renew("a/", first)
    second = subject.query("a/")
    assert subject.renew("a/", first)
    assert subject.query("a/") == second
    assert signed == [first, second]
    assert not PublicUrls().renew("a/", "")


def test_64_threads_get_one_signature() -> None:
    signed: list[str] = []
    subject = signer("ec", on_signed=signed.append)  # ECDSA: signing twice would give two different texts
    barrier = threading.Barrier(64)

    def ask(_: int) -> str:
        barrier.wait()
        return subject.query("a/")

    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(ask, range(64))) == set(signed)
    assert len(signed) == 1


@pytest.mark.parametrize("prefix", ["a*", "a?b", "a b", "é", "a%2", "a%zz", 'a"', "a&b", "a\\", "a\n"])
def test_a_prefix_that_could_widen_the_policy_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="not an escaped prefix"):
        signer().query(prefix)


BAD_KEYS = {
    "no pem": ("hello", "not a PEM private key"),
    "bad base64": ("-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n", "not a PEM private key"),
    "rsa of 3072 bits": (pem(rsa.generate_private_key(65537, 3072)), "3072 bits"),
    "another curve": (pem(ec.generate_private_key(ec.SECP384R1())), "secp384r1"),
    "ed25519": (pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8), "neither RSA nor ECDSA"),
    "encrypted": (pem(KEYS["rsa"], PrivateFormat.PKCS8, BestAvailableEncryption(b"x")), "encrypted"),
    "cut short": (pem(KEYS["rsa"])[:400], "not a PEM private key"),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_an_invalid_key_is_named_but_not_shown(case: str) -> None:
    text, message = BAD_KEYS[case]
    with pytest.raises(InvalidSigningValue, match=message) as caught:
        UrlSigner(BASE, "K2EXAMPLE", text)
    assert caught.value.argument == "private_key_pem"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for line in text.splitlines()[1:-1]:
        assert line not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"hash_algorithm": "MD5"}, "hash_algorithm"),
        ({"key_pair_id": ""}, "key_pair_id"),
        ({"key_pair_id": "K1&Policy=x"}, "key_pair_id"),
        ({"lifetime_s": 59}, "lifetime_s"),
        ({"lifetime_s": 604_801}, "lifetime_s"),
    ],
)
def test_an_invalid_value_is_named(change: dict, argument: str) -> None:
    values = {"base_url": BASE, "key_pair_id": "K2EXAMPLE", "private_key_pem": pem(KEYS["rsa"])}
    with pytest.raises(InvalidSigningValue) as caught:
        UrlSigner(**values | change)
    assert caught.value.argument == argument


def test_repr_hides_the_key() -> None:
    assert repr(signer()) == "UrlSigner('https://d111.cloudfront.net', key_pair_id='K2EXAMPLE', hash_algorithm=SHA1)"


def test_public_urls_have_no_query() -> None:
    assert PublicUrls().query("a/") == ""
