"""Policies by themselves: their bytes, their bounds, and the parameters that carry them."""

from __future__ import annotations

import datetime
from ipaddress import IPv4Network
from random import Random

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from localcloud.edge import EdgeServer
from localcloud.edge.policy import Policy, canned_policy, parse_policy, split_signature

URL = "https://d.example/a%20b//c?d=e"


def test_the_canned_policy_is_botocores() -> None:
    expires = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    theirs = CloudFrontSigner("K", lambda message: message).build_policy(URL, expires)
    assert canned_policy(URL, str(int(expires.timestamp()))) == theirs.encode()


def test_botocores_custom_policy_is_read() -> None:
    start, end = (datetime.datetime(2030, 1, day, tzinfo=datetime.UTC) for day in (1, 2))
    document = CloudFrontSigner("K", lambda message: message).build_policy(URL, end, start, "192.0.2.0/24")
    assert parse_policy(document.encode()) == Policy(
        URL, int(end.timestamp()), int(start.timestamp()), IPv4Network("192.0.2.0/24")
    )


def test_time_bounds_are_exclusive() -> None:
    policy = Policy("*", expires_at_s=200, starts_at_s=100)
    allowed = [now_s for now_s in (99, 100, 100.5, 199.5, 200, 201) if policy.allows(URL, "127.0.0.1", now_s)]
    assert allowed == [100.5, 199.5]


def test_an_address_range_holds_its_bounds_and_no_ipv6() -> None:
    policy = Policy("*", 200, network=IPv4Network("192.0.2.0/30"))
    addresses = ("192.0.1.255", "192.0.2.0", "192.0.2.3", "192.0.2.4", "::1")
    assert [policy.allows(URL, address, 1) for address in addresses] == [False, True, True, False, False]


PARAMETER = st.sampled_from(["Expires=1", "Policy=ab-_~", "Signature=x", "Key-Pair-Id=K", "Hash-Algorithm=SHA256"])
OWN = st.sampled_from(["", "a", "a=1", "b=%26", "policy=lower", "Signatures=other"])


@given(own=st.lists(OWN, min_size=1), signature=st.lists(PARAMETER, unique=True), seed=st.randoms())
def test_only_signature_parameters_are_taken_from_a_query(own: list[str], signature: list[str], seed: Random) -> None:
    mixed = list(own)
    for parameter in signature:
        mixed.insert(seed.randrange(len(mixed) + 1), parameter)
    kept, taken = split_signature("&".join(mixed))
    assert kept == "&".join(own)
    assert taken == dict(parameter.split("=", 1) for parameter in signature)


def test_only_keys_that_cloudfront_takes_are_taken() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    pem = small.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(ValueError, match="2,048 bits"):
        EdgeServer("http://127.0.0.1:1", "b", access_key_id="a", secret_access_key="s", key_pairs={"K": pem})
    with pytest.raises(ValueError, match="needs a key pair"):
        EdgeServer("http://127.0.0.1:1", "b", access_key_id="a", secret_access_key="s")
