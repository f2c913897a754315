"""Who may do what to which object, as far as the bucket and the object say so: holds, retention, requester pays, tokens.

After Cloud Storage's "Object holds", "Bucket Lock", "Object Retention Lock" and "Requester Pays".
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime

from localcloud.gcs.errors import ApiError, invalid
from localcloud.gcs.records import Attributes, ObjectRecord
from localcloud.http1 import Exchange

MAX_RETENTION_S = 3_155_760_000
"""100 years ("Bucket Lock")."""
SOFT_DELETE_S = 7 * 24 * 3600
"""Of a bucket that says nothing ("Soft delete")."""
MIN_SOFT_DELETE_S, MAX_SOFT_DELETE_S = 7 * 24 * 3600, 90 * 24 * 3600


def check_replaceable(record: ObjectRecord, bucket: Attributes) -> None:
    """Raises ApiError 403 for an object that may be neither replaced nor deleted now."""
    attributes = record.attributes
    if attributes.get("temporaryHold") or attributes.get("eventBasedHold"):
        message = f"Object '{record.bucket}/{record.name}' is under active hold and cannot be deleted or overwritten."
        raise ApiError(403, "objectUnderActiveHold", message, "ObjectUnderActiveHold")
    ends_us = record.created_us + retention_s(bucket) * 1_000_000
    retention = attributes.get("retention")
    if isinstance(retention, dict) and retention.get("retainUntilTime"):
        until = datetime.fromisoformat(str(retention["retainUntilTime"]))
        ends_us = max(ends_us, int(until.timestamp() * 1_000_000))
    if ends_us > time.time_ns() // 1000:
        until_text = datetime.fromtimestamp(ends_us / 1e6, UTC).isoformat()
        message = (
            f"Object '{record.bucket}/{record.name}' is subject to bucket's retention policy or object retention and"
            f" cannot be deleted or overwritten until {until_text}"
        )
        raise ApiError(403, "retentionPolicyNotMet", message, "RetentionPolicyNotMet")


def retention_s(bucket: Attributes) -> int:
    """How long the bucket's retention policy keeps its objects; 0 without one."""
    return _seconds(bucket.get("retentionPolicy"), "retentionPeriod", 0)


def soft_delete_s(bucket: Attributes) -> int:
    """How long what was deleted can be restored; 0 for not at all."""
    return _seconds(bucket.get("softDeletePolicy"), "retentionDurationSeconds", SOFT_DELETE_S)


def is_versioned(bucket: Attributes) -> bool:
    """Whether what is replaced or deleted stays as a noncurrent version."""
    versioning = bucket.get("versioning")
    return isinstance(versioning, dict) and bool(versioning.get("enabled"))


def check_bucket_settings(attributes: Attributes) -> None:
    """Raises ApiError 400 for periods that a bucket cannot have."""
    if attributes.get("retentionPolicy") is not None and not 0 < retention_s(attributes) <= MAX_RETENTION_S:
        raise invalid("Retention period must be greater than 0 and at most 100 years.")
    if soft_delete_s(attributes) and not MIN_SOFT_DELETE_S <= soft_delete_s(attributes) <= MAX_SOFT_DELETE_S:
        raise invalid("Soft delete retention duration must be 0, or between 7 and 90 days.")
    if is_versioned(attributes) and retention_s(attributes):
        raise invalid("Bucket cannot have both object versioning and a retention policy.")


def _seconds(policy: object, field: str, default: int) -> int:
    text = str(policy.get(field, default)) if isinstance(policy, dict) else str(default)
    if not text.isdecimal():
        raise invalid(f"Invalid value for {field}: {text!r}")
    return int(text)


def check_payer(bucket: Attributes, user_project: str) -> None:
    """Raises ApiError 400 for a request that names no project to bill, to a bucket whose requester pays."""
    billing = bucket.get("billing")
    if isinstance(billing, dict) and billing.get("requesterPays") and not user_project:
        message = "Bucket is a requester pays bucket but no user project provided."
        raise ApiError(400, "required", message, "UserProjectMissing")


def check_token(exchange: Exchange, tokens: Collection[str]) -> None:
    """Raises ApiError 401 for a request without one of these tokens, where there are any.

    An upload session's URL is authorization enough ("Resumable uploads").
    """
    if not tokens or "upload_id=" in exchange.query:
        return
    given = exchange.headers.get("authorization")
    if given is None:
        raise ApiError(401, "required", "Login Required", "AuthenticationRequired")
    if given.removeprefix("Bearer ") not in tokens:
        raise ApiError(401, "authError", "Invalid Credentials", "AuthenticationRequired")
