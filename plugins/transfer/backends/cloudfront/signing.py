"""CloudFront URL signing: one custom wildcard policy for a whole prefix, so that signing costs nothing per object.

Rules from the CloudFront Developer Guide, "Create a signed URL using a custom policy": one statement without white
space, signed with RSA-2048 or ECDSA P-256, SHA-1 unless the URL carries `Hash-Algorithm=SHA256`.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from botocore.signers import CloudFrontSigner
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from transfer.limits import URL_LIFETIME_S

RSA_KEY_BITS = 2048

_KEY_PAIR_ID = re.compile(r"[A-Za-z0-9]+")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9\-._~/]|%[0-9A-Fa-f]{2})*")


class HashAlgorithm(StrEnum):
    """The hash a policy is signed with."""

    SHA1 = "SHA1"
    """CloudFront's default: needs no parameter in the URL."""
    SHA256 = "SHA256"


class InvalidSigningValue(ValueError):
    """A value given to `UrlSigner` cannot be used. The message never contains any of the key.

    Attributes:
        argument: which argument of `UrlSigner` it is.
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(problem)
        self.argument = argument


class UrlAuthorizer(Protocol):
    """What makes the edge accept a request for a key under a prefix."""

    def query(self, escaped_prefix: str) -> str:
        """The query string, without "?", for every URL under the prefix; "" when the edge asks for none."""
        ...

    def renew(self, escaped_prefix: str, refused: str) -> bool:
        """The edge refused this query. Whether there is another to try with."""
        ...


class PublicUrls:
    """The authorizer of a distribution that anyone may read: nothing is added to a URL."""

    def query(self, escaped_prefix: str) -> str:
        """Always ""."""
        return ""

    def renew(self, escaped_prefix: str, refused: str) -> bool:
        """Never: there is nothing to renew."""
        return False

    def __repr__(self) -> str:
        return "PublicUrls()"


@dataclass(frozen=True, slots=True)
class _SignedQuery:
    text: str
    renew_at_s: float


class UrlSigner:
    """Signs a distribution's URLs by prefix and renews each signature at half of its lifetime.

    The lifetime is counted by a clock that is never set: by one that was set back, an expired signature would look fresh.
    A query handed out is therefore good for at least half of `lifetime_s`; CloudFront checks the expiry when a request
    begins, and a body in flight finishes. Safe to use from any number of threads. One signature is kept per prefix.

    Args:
        base_url: scheme and host of the distribution, without a trailing slash: `https://d111.cloudfront.net`.
        key_pair_id: the id of the public key in the distribution's trusted key group.
        private_key_pem: PKCS#1, PKCS#8 or SEC1 PEM, unencrypted; RSA of 2048 bits or ECDSA P-256.
        hash_algorithm: `SHA1` or `SHA256`.
        lifetime_s: how long one signature is good for, a minute to 7 days.
        on_signed: called with each new query string before anyone gets it, so that logs can mask it.
        clock: Unix time in seconds.
        steady: seconds by a clock that is never set.

    Raises:
        InvalidSigningValue: one of the values cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        key_pair_id: str,
        private_key_pem: str,
        hash_algorithm: str = HashAlgorithm.SHA1,
        lifetime_s: int = URL_LIFETIME_S.default,
        *,
        on_signed: Callable[[str], None] = lambda query: None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _KEY_PAIR_ID.fullmatch(key_pair_id):
            raise InvalidSigningValue("key_pair_id", "must be letters and digits, such as K2JCJMDEHXQW5F")
        if not URL_LIFETIME_S.has(lifetime_s):
            problem = f"must be {URL_LIFETIME_S} seconds, not {lifetime_s}"
            raise InvalidSigningValue("lifetime_s", problem)
        try:
            self._hash = HashAlgorithm(hash_algorithm)
        except ValueError:
            raise InvalidSigningValue("hash_algorithm", f"must be SHA1 or SHA256, not {hash_algorithm!r}") from None
        self._base_url = base_url.rstrip("/")
        self._key_pair_id = key_pair_id
        self._lifetime_s = lifetime_s
        self._signer = CloudFrontSigner(key_pair_id, _message_signer(private_key_pem, self._hash))
        self._on_signed = on_signed
        self._clock = clock
        self._steady = steady
        self._signed: dict[str, _SignedQuery] = {}
        self._lock = threading.Lock()

    def query(self, escaped_prefix: str) -> str:
        """The query string, without "?", that opens every URL beginning with `<base_url>/<escaped_prefix>`.

        Args:
            escaped_prefix: unreserved characters, "/" and %XX only, so that nothing in it can widen the policy.

        Raises:
            ValueError: the prefix contains anything else.
        """
        if (fresh := self._fresh(escaped_prefix)) is not None:
            return fresh
        with self._lock:
            if (fresh := self._fresh(escaped_prefix)) is None:
                fresh = self._sign(escaped_prefix)
            return fresh

    def renew(self, escaped_prefix: str, refused: str) -> bool:
        """Sign anew, unless that was done since the refused query was handed out."""
        with self._lock:
            if self._fresh(escaped_prefix) in (refused, None):
                self._sign(escaped_prefix)
        return True

    def _fresh(self, escaped_prefix: str) -> str | None:
        signed = self._signed.get(escaped_prefix)
        return signed.text if signed is not None and self._steady() < signed.renew_at_s else None

    def _sign(self, escaped_prefix: str) -> str:
        if not _ESCAPED.fullmatch(escaped_prefix):
            raise ValueError(f"not an escaped prefix: {escaped_prefix!r}")
        now_s = int(self._clock())
        resource = f"{self._base_url}/{escaped_prefix}*"
        expiry = datetime.fromtimestamp(now_s + self._lifetime_s, UTC)
        policy = self._signer.build_policy(resource, expiry)
        url: str = self._signer.generate_presigned_url(resource, policy=policy)
        text = url.removeprefix(f"{resource}?")
        if self._hash is not HashAlgorithm.SHA1:  # botocore knows SHA-1 only and does not name the hash
            text += f"&Hash-Algorithm={self._hash}"
        self._on_signed(text)
        self._signed[escaped_prefix] = _SignedQuery(text, self._steady() + self._lifetime_s / 2)
        return text

    def __repr__(self) -> str:
        return f"UrlSigner({self._base_url!r}, key_pair_id={self._key_pair_id!r}, hash_algorithm={self._hash.value})"


def _message_signer(private_key_pem: str, algorithm: HashAlgorithm) -> Callable[[bytes], bytes]:
    digest = hashes.SHA1() if algorithm is HashAlgorithm.SHA1 else hashes.SHA256()  # noqa: S303  CloudFront's default
    key = _load_private_key(private_key_pem)
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size != RSA_KEY_BITS:
            raise _invalid_key(f"is an RSA key of {key.key_size} bits; CloudFront accepts {RSA_KEY_BITS}")
        return lambda message: key.sign(message, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise _invalid_key(f"is on the curve {key.curve.name}; CloudFront accepts P-256 (prime256v1)")
        return lambda message: key.sign(message, ec.ECDSA(digest))
    raise _invalid_key("is neither RSA nor ECDSA; CloudFront accepts RSA-2048 and ECDSA P-256")


def _load_private_key(private_key_pem: str) -> object:
    try:
        return load_pem_private_key(private_key_pem.encode(), password=None)
    except TypeError:
        raise _invalid_key("is encrypted; store it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):  # `from None`: a parser's own message may quote what it was given
        raise _invalid_key("is not a PEM private key (PKCS#1, PKCS#8 or SEC1)") from None


def _invalid_key(problem: str) -> InvalidSigningValue:
    return InvalidSigningValue("private_key_pem", problem)
