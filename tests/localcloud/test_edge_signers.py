"""Signatures by signers that are not ours: botocore, the AWS CLI, OpenSSL and AWS's own signer for JavaScript."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from localcloud.edge import EdgeServer
from localcloud.s3 import S3Server
from needs import missing, program

BUCKET = "edge-signers"
RSA_ID, EC_ID, UNTRUSTED_ID = "KRSA2048TEST", "KECP256TEST", "KNOTTRUSTED"
NPM_SIGNER = "@aws-sdk/cloudfront-signer@3.1166.0"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Private keys in PEM files (the RSA key as PKCS#1, which the AWS CLI wants) and their public keys."""
    directory = tmp_path_factory.mktemp("keys")
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    files = {}
    for name, key in ((RSA_ID, rsa_key), (EC_ID, ec_key)):
        files[name] = directory / f"{name}.pem"
        files[name].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
    public = {
        name: key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
        for name, key in ((RSA_ID, rsa_key), (EC_ID, ec_key))
    }
    return SimpleNamespace(rsa=rsa_key, files=files, public=public)


@pytest.fixture(scope="module")
def edge(s3: S3Server, client: Any, keys: SimpleNamespace) -> Iterator[EdgeServer]:
    client.put_object(Bucket=BUCKET, Key="pre/fix/object", Body=b"signed content")
    server = EdgeServer(
        s3.url,
        BUCKET,
        access_key_id=s3.origin_access_key_id,
        secret_access_key=s3.origin_secret_access_key,
        key_pairs=keys.public,
    )
    server.start()
    yield server
    server.stop()


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            assert error.headers["X-Cache"] == "Error from cloudfront"
            assert error.headers["Content-Type"] == "text/xml"
            return error.code, error.read().decode()


def policy_of(resource: str, **conditions: object) -> str:
    condition = {"DateLessThan": {"AWS:EpochTime": int(time.time()) + 60}} | conditions
    return json.dumps({"Statement": [{"Resource": resource, "Condition": condition}]}, separators=(",", ":"))


def url_safe(data: bytes) -> str:
    return base64.b64encode(data).decode().translate(str.maketrans("+=/", "-_~"))


def by_botocore(keys: SimpleNamespace, url: str, policy: str | None, seconds: int = 60) -> str:
    def sign(message: bytes) -> bytes:
        signature: bytes = keys.rsa.sign(message, padding.PKCS1v15(), hashes.SHA1())
        return signature

    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    signer = CloudFrontSigner(RSA_ID, sign)
    granted = {"date_less_than": expires} if policy is None else {"policy": policy}
    signed: str = signer.generate_presigned_url(url, **granted)
    return signed


def by_aws_cli(keys: SimpleNamespace, url: str, *options: str, seconds: int = 60) -> str:
    command = [program("aws"), "cloudfront", "sign", "--url", url, "--key-pair-id", RSA_ID]
    command += ["--private-key", f"file://{keys.files[RSA_ID]}", "--date-less-than", str(int(time.time()) + seconds)]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout.strip()


def by_openssl(
    keys: SimpleNamespace, url: str, policy: str | None, *, key_pair_id: str = RSA_ID, sha256: bool = False
) -> str:
    expires = int(time.time()) + 60
    text = (
        policy
        or f'{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}'
    )
    command = [program("openssl"), "dgst", "-sha256" if sha256 else "-sha1", "-sign", str(keys.files[key_pair_id])]
    signature = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    granted = f"Policy={url_safe(text.encode())}" if policy else f"Expires={expires}"
    joint = "&" if "?" in url else "?"
    algorithm = "&Hash-Algorithm=SHA256" if sha256 else ""
    return f"{url}{joint}{granted}&Signature={url_safe(signature)}&Key-Pair-Id={key_pair_id}{algorithm}"


def has_npm_registry(npm: str) -> bool:
    """Whether the registry has the signer: asked once and briefly, where `npm install` would try for a minute and more."""
    command = [npm, "view", NPM_SIGNER, "version", "--fetch-retries=0", "--fetch-timeout=5000"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=15).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.fixture(scope="session")
def by_npm() -> Callable[[list[dict[str, object]]], list[str]]:
    """Signs a list of inputs to getSignedUrl, in one run of Node."""
    npm, node = program("npm"), program("node")
    directory = REPOSITORY / ".local" / "npm" / NPM_SIGNER.replace("/", "-")
    if not (directory / "node_modules" / ".package-lock.json").exists():
        if not has_npm_registry(npm):
            missing(f"npm's registry does not answer for {NPM_SIGNER}")
        directory.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(directory), "--no-audit", "--no-fund", "--silent", NPM_SIGNER]
        subprocess.run(command, check=True, cwd=directory, timeout=120)

    def sign(inputs: list[dict[str, object]]) -> list[str]:
        script = "const {getSignedUrl} = require('@aws-sdk/cloudfront-signer');"
        script += "console.log(JSON.stringify(JSON.parse(process.argv[1]).map(input => getSignedUrl(input))))"
        command = [node, "-e", script, json.dumps(inputs)]
        signed: list[str] = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=directory).stdout)
        return signed

    return sign


def test_botocore_canned_and_custom(edge: EdgeServer, keys: SimpleNamespace) -> None:
    url = f"{edge.url}/pre/fix/object"
    assert get(by_botocore(keys, url, None)) == (200, "signed content")
    assert get(by_botocore(keys, url, policy_of(f"{edge.url}/pre/*"))) == (200, "signed content")
    assert get(by_botocore(keys, f"{url}?response-content-type=a%2Fb", None)) == (200, "signed content")
    assert get(by_botocore(keys, url, policy_of(f"{edge.url}/other/*")))[0] == 403
    assert "<Code>AccessDenied</Code>" in get(by_botocore(keys, url, None, seconds=-1))[1]


@pytest.mark.parametrize("key", ["//lead", "a/../b", "./c", "d e+f%g#h?i&j=k", "🦀/e\u0301/", "Policy=x&y", "k" * 1024])
def test_a_hostile_key_is_signed_as_it_is_asked_for(
    edge: EdgeServer, keys: SimpleNamespace, client: Any, key: str
) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=b"signed content")
    url = f"{edge.url}/{quote(key, safe='/')}"
    for policy in (None, policy_of(f"{edge.url}/*")):
        target = by_botocore(keys, url, policy).removeprefix(edge.url)
        connection = HTTPConnection(urlsplit(edge.url).netloc, timeout=10)
        connection.request("GET", target)
        assert connection.getresponse().read() == b"signed content"
        connection.close()


def test_aws_cli_canned_and_custom(edge: EdgeServer, keys: SimpleNamespace) -> None:
    url = f"{edge.url}/pre/fix/object"
    yesterday = str(int(time.time()) - 86_400)
    assert get(by_aws_cli(keys, url)) == (200, "signed content")
    options = ("--date-greater-than", yesterday, "--ip-address", "127.0.0.0/8")
    assert get(by_aws_cli(keys, f"{url}?versionId=null", *options)) == (200, "signed content")
    assert get(by_aws_cli(keys, url, "--ip-address", "192.0.2.0/24"))[0] == 403
    assert get(by_aws_cli(keys, url, seconds=-5))[0] == 403


@pytest.mark.parametrize("key_pair_id", [RSA_ID, EC_ID])
@pytest.mark.parametrize("sha256", [False, True])
@pytest.mark.parametrize("custom", [False, True])
def test_openssl(edge: EdgeServer, keys: SimpleNamespace, key_pair_id: str, sha256: bool, custom: bool) -> None:
    url = f"{edge.url}/pre/fix/object"
    policy = policy_of(f"{edge.url}/pre/*") if custom else None
    signed = by_openssl(keys, url, policy, key_pair_id=key_pair_id, sha256=sha256)
    assert get(signed) == (200, "signed content")
    other_hash = signed.removesuffix("&Hash-Algorithm=SHA256") if sha256 else f"{signed}&Hash-Algorithm=SHA256"
    assert "<Code>AccessDenied</Code>" in get(other_hash)[1]


def test_npm_signer(
    edge: EdgeServer, keys: SimpleNamespace, by_npm: Callable[[list[dict[str, object]]], list[str]]
) -> None:
    url = f"{edge.url}/pre/fix/object"
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
    key = {"keyPairId": RSA_ID, "privateKey": keys.files[RSA_ID].read_text()}
    custom = {"dateGreaterThan": past.isoformat(), "ipAddress": "127.0.0.1"}
    allowed = [
        key | {"url": url, "dateLessThan": soon.isoformat()},
        key | {"url": f"{url}?a=1&b=%2B", "dateLessThan": soon.isoformat()},
        key | {"url": url, "dateLessThan": soon.isoformat(), "algorithm": "SHA256"},
        key | {"url": url, "dateLessThan": soon.isoformat()} | custom,
        key | {"url": url, "policy": policy_of(f"{edge.url}/pre/*"), "algorithm": "SHA256"},
        key | {"url": url, "policy": policy_of(f"{edge.url}/p?e/*")},
    ]
    refused = [
        key | {"url": url, "dateLessThan": past.isoformat()},
        key | {"url": url, "policy": policy_of(f"{edge.url}/other/*")},
    ]
    answers = [get(signed) for signed in by_npm([*allowed, *refused])]
    assert answers[: len(allowed)] == [(200, "signed content")] * len(allowed)
    assert [status for status, _ in answers[len(allowed) :]] == [403] * len(refused)


def test_a_start_time_and_an_address_are_respected(edge: EdgeServer, keys: SimpleNamespace) -> None:
    url = f"{edge.url}/pre/fix/object"
    now = int(time.time())
    started, later = {"AWS:EpochTime": now - 10}, {"AWS:EpochTime": now + 30}
    assert get(by_openssl(keys, url, policy_of(url, DateGreaterThan=started)))[0] == 200
    assert get(by_openssl(keys, url, policy_of(url, DateGreaterThan=later)))[0] == 403
    assert get(by_openssl(keys, url, policy_of(url, IpAddress={"AWS:SourceIp": "127.0.0.1/32"})))[0] == 200
    assert get(by_openssl(keys, url, policy_of(url, IpAddress={"AWS:SourceIp": "127.0.0.2"})))[0] == 403


IN_2033 = {"AWS:EpochTime": 2_000_000_000}


def statement(**members: object) -> object:
    return {"Statement": [members]}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "MalformedPolicy"),
        ({"Statement": []}, "MalformedPolicy"),
        ({"Statement": [{}, {}]}, "MalformedPolicy"),
        (statement(Resource="*"), "MalformedPolicy"),
        (statement(Resource="*", Condition={}), "MalformedPolicy"),
        (statement(Resource="*", Condition={"DateLessThan": {"AWS:EpochTime": "2000000000"}}), "MalformedPolicy"),
        (statement(Resource="*", Condition={"DateLessThan": {"AWS:EpochTime": 2_000_000_000_000}}), "MalformedPolicy"),
        (statement(Resource="*", Condition={"DateLessThan": IN_2033, "Other": 1}), "MalformedPolicy"),
        (statement(Resource="x", Condition={"DateLessThan": IN_2033}), "MalformedPolicy"),
        (
            statement(Resource="*", Condition={"DateLessThan": IN_2033, "IpAddress": {"AWS:SourceIp": "::1"}}),
            "MalformedPolicy",
        ),
        (statement(Resource="*", Condition={"DateLessThan": {"AWS:EpochTime": 9}}), "AccessDenied"),
        (statement(Condition={"DateLessThan": IN_2033}), None),
    ],
)
def test_a_policy_off_the_guide_is_refused(
    edge: EdgeServer, keys: SimpleNamespace, document: object, code: str | None
) -> None:
    status, body = get(by_openssl(keys, f"{edge.url}/pre/fix/object", json.dumps(document)))
    assert (status, f"<Code>{code}</Code>" in body) == ((403, True) if code else (200, False))


def test_what_is_missing_or_wrong_is_named(edge: EdgeServer, keys: SimpleNamespace) -> None:
    url = f"{edge.url}/pre/fix/object"
    signed = by_openssl(keys, url, policy_of(url))
    policy = signed.split("Policy=")[1].split("&")[0]
    signature = signed.split("Signature=")[1].split("&")[0]
    tampered = url_safe(policy_of(f"{edge.url}/*").encode())
    cases = {
        url: "<Code>MissingKey</Code><Message>Missing Key-Pair-Id query parameter or cookie value</Message>",
        signed.split("&Key-Pair-Id")[0]: "<Code>MissingKey</Code>",
        signed.replace(RSA_ID, UNTRUSTED_ID): "<Code>InvalidKey</Code><Message>Unknown Key</Message>",
        signed.replace(RSA_ID, EC_ID): "<Code>AccessDenied</Code>",
        signed.replace(signature, ""): "<Code>MalformedSignature</Code>",
        signed.replace(signature, signature + "*"): "<Code>MalformedSignature</Code>",
        signed.replace(signature, signature[:8].swapcase() + signature[8:]): "<Code>AccessDenied</Code>",
        signed.replace(policy, tampered): "<Code>AccessDenied</Code>",
        signed.replace(f"Policy={policy}", "Policy=!"): "<Code>MalformedPolicy</Code>",
        signed.replace("/object", "/other"): "<Code>AccessDenied</Code>",
        by_openssl(keys, url, None).replace("/object", "/other"): "<Code>AccessDenied</Code>",
        by_openssl(keys, url, None).replace("Expires=1", "Expires=2"): "<Code>AccessDenied</Code>",
        f"{url}?Expires=soon&Signature={signature}&Key-Pair-Id={RSA_ID}": "<Code>AccessDenied</Code>",
    }
    for wrong, expected in cases.items():
        status, body = get(wrong)
        assert status == 403
        assert expected in body, wrong
