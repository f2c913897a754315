"""Turns a CloudFront connection into a base URL, and a signer for requests under it."""

from __future__ import annotations

import json
import re
import textwrap
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs, urlsplit

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from hooks.errors import InvalidConnection
from hooks.provider import LABELS
from transfer.limits import URL_LIFETIME_S

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from transfer.backends.cloudfront.signing import UrlAuthorizer

MIN_MASKED_CHARACTERS = 5
"""Airflow's masker refuses shorter secrets with a warning, because they would mask ordinary words."""
DEFAULT_PORTS = {"https": 443, "http": 80}

_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_PEM = re.compile(r"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)
_PROBE_PREFIX = "edgehaul-connection-test-"
_ARGUMENTS = {
    "key_pair_id": "login",
    "private_key_pem": "password",
    "hash_algorithm": "hash_algorithm",
    "lifetime_s": "url_lifetime_s",
}
"""The field of the connection that each argument of `UrlSigner` comes from."""
NETWORK_FIELDS = f"{LABELS['host']}, {LABELS['schema']} and {LABELS['port']}"
_PUBLIC = re.compile(r"-----BEGIN (?:[A-Z]+ )?PUBLIC KEY-----|^ssh-\w+ |^ecdsa-sha2-", re.MULTILINE)


class CloudfrontHook(BaseHook):
    """The distribution that objects are read through.

    Connection fields: host = domain name of the distribution; schema = `https` (default) or `http`; port optional;
    login = key pair id; password = private key as PEM; in extra: `signing` = `signed` (default) or `public`,
    `hash_algorithm` = `SHA-1` (default) or `SHA-256`, `url_lifetime_s` = seconds that a signature is valid (3600).

    The private key and every signature are masked in Airflow's logs.

    Args:
        cloudfront_conn_id: the CloudFront connection.
    """

    conn_name_attr = "cloudfront_conn_id"
    default_conn_name = "cloudfront_default"
    conn_type = "cloudfront"
    hook_name = "Amazon CloudFront distribution"

    def __init__(self, cloudfront_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.cloudfront_conn_id = cloudfront_conn_id

    @cached_property
    def _connection(self) -> Connection:
        return self.get_connection(self.cloudfront_conn_id)

    @cached_property
    def base_url(self) -> str:
        """Scheme and host, with the port unless it is the scheme's default, without a trailing slash.

        Raises:
            AirflowNotFoundException: there is no such connection.
            InvalidConnection: host, schema or port is missing or wrong.
        """
        host = (self._connection.host or "").strip()
        if not host:
            self._refuse("host", "is empty; set it to the distribution's domain name, such as d111.cloudfront.net")
        pasted = urlsplit(host if "://" in host else f"//{host}")
        try:
            pasted_port = pasted.port
            is_plain = pasted.path in ("", "/") and not (pasted.query or pasted.fragment or pasted.username)
        except ValueError:
            self._refuse("host", f"{host!r} has an invalid port; put the port into its own field")
        name = f"[{pasted.hostname}]" if ":" in (pasted.hostname or "") else pasted.hostname or ""
        if not is_plain or not _DOMAIN.fullmatch(name):
            self._refuse("host", "must be the distribution's domain name alone, without a path or query")
        scheme = self._only("schema", (self._connection.schema or "").strip().lower(), pasted.scheme) or "https"
        if scheme not in DEFAULT_PORTS:
            self._refuse("schema", f"must be https or http, not {scheme!r}")
        port = int(
            self._only("port", str(self._connection.port or ""), str(pasted_port or "")) or DEFAULT_PORTS[scheme]
        )
        return f"{scheme}://{name}" if port == DEFAULT_PORTS[scheme] else f"{scheme}://{name}:{port}"

    @property
    def is_signed(self) -> bool:
        """Whether the distribution requires signed URLs. Raises InvalidConnection."""
        signing = self._extra.get("signing") or "signed"
        if signing not in ("signed", "public"):
            self._refuse("signing", f"must be 'signed' or 'public', not {signing!r}")
        return signing == "signed"

    def get_signer(self) -> UrlAuthorizer:
        """A new `UrlSigner`, or `PublicUrls` when the distribution needs no signature.

        Raises:
            AirflowNotFoundException: there is no such connection.
            InvalidConnection: a field is missing or wrong.
        """
        from transfer.backends.cloudfront.signing import HashAlgorithm, InvalidSigningValue, PublicUrls, UrlSigner

        if not self.is_signed:
            return PublicUrls()
        key_pair_id = (self._connection.login or "").strip()
        if not key_pair_id:
            self._refuse("login", "is empty; set it, or set Signing to 'public'")
        try:
            return UrlSigner(
                self.base_url,
                key_pair_id,
                self._private_key_pem(),
                str(self._extra.get("hash_algorithm") or HashAlgorithm.SHA1).replace("-", ""),
                self.get_url_lifetime_s(),
                on_signed=_mask_signature,
            )
        except InvalidSigningValue as error:
            self._refuse(_ARGUMENTS[error.argument], str(error))

    def test_connection(self) -> tuple[bool, str]:
        """Check every field, then ask the edge for one byte of an object that does not exist.

        Success means that the edge accepted the request and S3 answered: with 404, or with 403 where the distribution
        may not list the bucket. The message does not name the connection: Airflow tests it under a random id.
        """
        from transfer.backends.cloudfront.probe import EdgeUnreachable, probe_edge
        from transfer.preflight.edge_answers import edge_problem

        try:
            query = self.get_signer().query(_PROBE_PREFIX)
            answer = probe_edge(self.base_url, _PROBE_PREFIX + uuid.uuid4().hex, query)
        except InvalidConnection as error:
            return False, f"{error.field}: {error.problem}."
        except EdgeUnreachable as error:
            return False, f"No answer from {self.base_url} ({error}). Check {NETWORK_FIELDS}."
        if problem := edge_problem(answer):
            return False, f"{problem[:1].upper()}{problem[1:]}."
        accepted = "the signature of a request" if self.is_signed else "a request without a signature"
        return True, f"The edge accepted {accepted} to {self.base_url}."

    @property
    def _extra(self) -> dict[str, object]:
        # Not extra_dejson, which takes text that is not JSON for nothing.
        try:
            extra: object = json.loads(self._connection.extra or "{}")
        except ValueError:
            extra = None
        if not isinstance(extra, dict):
            self._refuse("extra", "must be a JSON object")
        return extra

    def get_url_lifetime_s(self) -> int:
        """How long one signature is valid, in seconds. Raises InvalidConnection."""
        value = self._extra.get("url_lifetime_s")
        if value is None or value == "":
            return URL_LIFETIME_S.default
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value)):
            self._refuse("url_lifetime_s", f"must be a whole number of seconds, not {value!r}")
        return int(str(value))

    def _private_key_pem(self) -> str:
        """The key, with the line breaks restored that a one-line form field, JSON or an environment variable removed."""
        stored = self._connection.password or ""
        if not stored.strip():
            self._refuse("password", "is empty; set it, or set Signing to 'public'")
        mask_secret(stored)
        found = _PEM.search(stored.replace("\\r", "").replace("\\n", "\n"))
        if found is None and _PUBLIC.search(stored):
            self._refuse(
                "password",
                "is a public key; paste the private key of the pair, which begins with -----BEGIN PRIVATE KEY----- or"
                " -----BEGIN RSA PRIVATE KEY-----, and whose public key CloudFront has",
            )
        if found is None and "-----BEGIN CERTIFICATE-----" in stored:
            self._refuse("password", "is a certificate; paste the private key whose public key CloudFront has")
        if found is None or ":" in found[2]:  # "Proc-Type: 4,ENCRYPTED" heads an old encrypted key
            self._refuse(
                "password",
                "must be an unencrypted PEM key, from -----BEGIN to the end of the -----END line",
            )
        lines = textwrap.wrap("".join(found[2].split()), 64)
        # Line by line as well: a traceback or a JSON log line may hold the key with other line breaks. The lines cover the
        # key in one piece too; each further mask makes Airflow compile all of them again (10 ms for one of a whole key).
        for line in lines:
            if len(line) >= MIN_MASKED_CHARACTERS:
                mask_secret(line)
        return "\n".join([f"-----BEGIN {found[1]}-----", *lines, f"-----END {found[1]}-----", ""])

    def _only(self, field: str, own: str, pasted: str) -> str:
        if own and pasted and own != pasted:
            self._refuse(field, f"says {own!r} but {LABELS['host']} says {pasted!r}; keep one")
        return own or pasted

    def _refuse(self, field: str, problem: str) -> NoReturn:
        raise InvalidConnection(self.cloudfront_conn_id, LABELS.get(field, field), problem) from None


def _mask_signature(query: str) -> None:
    mask_secret(parse_qs(query)["Signature"][0])
