"""What an edge says to a request for one byte, and what a person has to change when it is no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

S3_HEADER = "x-amz-request-id"
"""Only S3's own answers bear it, so the edge had let the request through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeAnswer:
    """What the edge said."""

    status: int
    error_code: str
    """The `<Code>` of an XML error body; "" when there is none."""
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def is_from_origin(self) -> bool:
        """Whether S3 made this answer."""
        return S3_HEADER in self.headers

    @property
    def is_from_cache(self) -> bool:
        """Whether a copy that the edge keeps was served."""
        kept = self.headers.get("x-cache", "").lower().startswith(("hit", "refreshhit"))
        return kept or self.headers.get("age", "0") != "0"


def edge_problem(answer: EdgeAnswer) -> str:
    """What is wrong and what to change, or "" when the edge let the request through to S3."""
    status, code = answer.status, answer.error_code
    if code == "NoSuchBucket":
        return "the distribution's origin names an S3 bucket that does not exist; correct the distribution's origin"
    if status in (200, 206, 404, 416) or (status == 403 and answer.is_from_origin):
        return ""
    if code == "MissingKey":
        return "the distribution wants signed URLs; set signing to 'signed', the key pair id and the private key"
    if code == "InvalidKey":
        return "CloudFront does not know the key pair id in login; take it from the behaviour's trusted key group"
    if code in ("AccessDenied", "MalformedSignature", "MalformedPolicy"):
        return (
            f"CloudFront refused the signature ({code}); check that the private key in password belongs to the key "
            "pair id in login, hash_algorithm, and this machine's clock"
        )
    if status == 403:
        return (
            "CloudFront blocked the request (HTTP 403); check the distribution's firewall and geographic restrictions"
        )
    if 300 <= status < 400:
        return (
            f"the host redirects (HTTP {status}); set schema to https, and host to the distribution's own domain name"
        )
    return f"the edge answered HTTP {status} {code}".rstrip() + "; check the distribution's state and its origin"


def object_problem(answer: EdgeAnswer, bucket: str) -> str:
    """What kept a listed object from being read once the edge had let the request through, or "" when it was read."""
    if answer.status in (200, 206, 416):
        return ""
    if answer.error_code == "InvalidObjectState":
        return "it is archived; restore it in S3"
    if answer.status == 404:
        return f"S3 does not have it; is s3://{bucket} the origin of this distribution, without an origin path?"
    return (
        "S3 refuses it to the distribution; allow s3:GetObject to the distribution in the policy of"
        f" s3://{bucket}, and kms:Decrypt on the key of an SSE-KMS bucket"
    )
