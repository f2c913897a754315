"""Signed URLs: which keys are trusted, what a canned or custom policy says, and whether a request is covered by it.

The rules are those of the CloudFront developer guide, "Use signed URLs" and the two chapters on canned and custom
policies under it. A signature is checked before its policy is read.
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from localcloud.edge import errors
from localcloud.edge.wildcards import resource_allows, split_resource

SIGNATURE_PARAMETERS = frozenset({"Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"})
RSA_KEY_BITS = 2048
LATEST_EPOCH_TIME_S = 2**31 - 1
"""A later time is a malformed policy; milliseconds for seconds is the common way to get there."""

_FROM_URL_SAFE = str.maketrans("-_~", "+=/")
_HASHES: dict[str, hashes.HashAlgorithm] = {"SHA1": hashes.SHA1(), "SHA256": hashes.SHA256()}  # noqa: S303

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Policy:
    """What a signature allows. Times are Unix times in seconds."""

    resource: str
    expires_at_s: int
    starts_at_s: int | None = None
    network: ipaddress.IPv4Network | None = None

    def allows(self, url: str, client_ip: str, now_s: float) -> bool:
        """Whether a request for this URL, from this address, at this time is covered."""
        return (
            now_s < self.expires_at_s
            and (self.starts_at_s is None or now_s > self.starts_at_s)
            and (self.network is None or ipaddress.ip_address(client_ip) in self.network)
            and resource_allows(self.resource, url)
        )


class Verifier:
    """Checks signed URLs against the public keys of a trusted key group. Thread-safe."""

    def __init__(self, key_pairs: Mapping[str, str]) -> None:
        """Take key pair ids with public keys in PEM. Raises ValueError unless RSA-2048 or ECDSA P-256."""
        self._keys = {key_pair_id: load_public_key(pem) for key_pair_id, pem in key_pairs.items()}
        # One wildcard policy signs a whole prefix: its signature need not be checked again for every object.
        self._custom_policy = functools.lru_cache(maxsize=1024)(self._verify_custom_policy)

    def check(self, base_url: str, parameters: Mapping[str, str], client_ip: str, now_s: float) -> None:
        """Raise EdgeError unless the parameters sign the base URL, which is the URL requested without them."""
        key_pair_id = parameters.get("Key-Pair-Id")
        if not key_pair_id:
            raise errors.missing_key()
        if key_pair_id not in self._keys:
            raise errors.unknown_key()
        signature = _decode(parameters.get("Signature", ""))
        if not signature:
            raise errors.malformed_signature()
        hash_name = parameters.get("Hash-Algorithm", "SHA1")
        if "Policy" in parameters:
            policy = self._custom_policy(key_pair_id, hash_name, signature, parameters["Policy"])
        else:
            expires = parameters.get("Expires", "")
            self._verify(key_pair_id, hash_name, signature, canned_policy(base_url, expires))
            policy = Policy("*", _epoch_time_s(int(expires) if expires.isdecimal() else expires))
        if not policy.allows(base_url, client_ip, now_s):
            raise errors.access_denied()

    def _verify_custom_policy(self, key_pair_id: str, hash_name: str, signature: bytes, encoded: str) -> Policy:
        document = _decode(encoded)
        if not document:
            raise errors.malformed_policy()
        self._verify(key_pair_id, hash_name, signature, document)
        return parse_policy(document)

    def _verify(self, key_pair_id: str, hash_name: str, signature: bytes, message: bytes) -> None:
        algorithm = _HASHES.get(hash_name)
        if algorithm is None:
            raise errors.malformed_signature()
        key = self._keys[key_pair_id]
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, message, padding.PKCS1v15(), algorithm)
            else:
                key.verify(signature, message, ec.ECDSA(algorithm))
        except InvalidSignature as error:
            raise errors.access_denied() from error


def load_public_key(pem: str) -> PublicKey:
    """The public key of a key pair. Raises ValueError unless it is of a kind that CloudFront takes."""
    key = load_pem_public_key(pem.encode())
    if isinstance(key, rsa.RSAPublicKey) and key.key_size == RSA_KEY_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("a key pair is RSA with 2,048 bits or ECDSA on P-256")


def split_signature(query: str) -> tuple[str, dict[str, str]]:
    """The query string without the signature parameters, and those parameters. Of a repeated one the first counts."""
    kept: list[str] = []
    parameters: dict[str, str] = {}
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if name in SIGNATURE_PARAMETERS:
            parameters.setdefault(name, unquote(value))
        else:
            kept.append(item)
    return "&".join(kept), parameters


def canned_policy(base_url: str, expires: str) -> bytes:
    """The policy that an `Expires` parameter stands for, byte by byte as its signer wrote it."""
    condition = f'{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}'
    return f'{{"Statement":[{{"Resource":"{base_url}","Condition":{condition}}}]}}'.encode()


def parse_policy(document: bytes) -> Policy:
    """The one statement of a custom policy. Raises EdgeError (MalformedPolicy) for what the guide does not describe."""
    try:
        (only,) = _members(json.loads(document), {"Statement"})["Statement"]
        statement = _members(only, {"Resource", "Condition"})
        condition = _members(statement["Condition"], {"DateLessThan", "DateGreaterThan", "IpAddress"})
        resource = statement.get("Resource", "*")
        split_resource(resource)
        return Policy(
            resource,
            _epoch_time_s(_members(condition["DateLessThan"], {"AWS:EpochTime"})["AWS:EpochTime"]),
            _epoch_time_s(_members(condition["DateGreaterThan"], {"AWS:EpochTime"})["AWS:EpochTime"])
            if "DateGreaterThan" in condition
            else None,
            ipaddress.IPv4Network(_members(condition["IpAddress"], {"AWS:SourceIp"})["AWS:SourceIp"], strict=False)
            if "IpAddress" in condition
            else None,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise errors.malformed_policy() from error


def _members(value: object, allowed: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= allowed:
        raise ValueError(f"expected an object of {', '.join(sorted(allowed))}")
    return value


def _epoch_time_s(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LATEST_EPOCH_TIME_S:
        raise errors.malformed_policy()
    return value


def _decode(text: str) -> bytes | None:
    """URL-safe base64 as CloudFront has it (`-_~` for `+=/`), or None."""
    try:
        return base64.b64decode(text.translate(_FROM_URL_SAFE), validate=True)
    except (binascii.Error, ValueError):
        return None
