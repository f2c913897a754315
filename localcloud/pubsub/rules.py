"""What the service accepts: names, limits and defaults.

Sources: the Pub/Sub API reference ("Topic", "Subscription", "Publish"), its quotas page, and for the wording of some
refusals the official emulator 0.8.20.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from localcloud.pubsub.errors import invalid, unimplemented
from localcloud.pubsub.filters import FilterError, compile_filter

MAX_PUBLISH_MESSAGES = 1_000
MAX_PUBLISH_BYTES = 10_000_000
MAX_ACK_BYTES = 512 * 1024
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_KEY_BYTES = 256
MAX_ATTRIBUTE_VALUE_BYTES = 1_024
MIN_ACK_DEADLINE_S = 10
MAX_ACK_DEADLINE_S = 600
MIN_DELIVERY_ATTEMPTS = 5
MAX_DELIVERY_ATTEMPTS = 100
MIN_RETENTION_S = 600
MAX_RETENTION_S = 31 * 86_400
DEFAULT_RETENTION_S = 7 * 86_400
DEFAULT_EXPIRATION_S = 31 * 86_400
MIN_EXPIRATION_S = 86_400
DEFAULT_MIN_BACKOFF_S = 10
DEFAULT_MAX_BACKOFF_S = 600

MAX_LABELS = 64

_LABEL_KEY = re.compile(r"[^\W\d_][\w-]{0,62}")
_LABEL_VALUE = re.compile(r"[\w-]{0,63}")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_MUTABLE = {
    "topic": {"labels", "message_retention_duration", "message_storage_policy", "kms_key_name", "schema_settings"},
    "subscription": {
        "ack_deadline_seconds", "dead_letter_policy", "enable_exactly_once_delivery", "expiration_policy", "labels",
        "message_retention_duration", "retain_acked_messages", "retry_policy",
    },
}  # fmt: skip


def check_name(name: str, collection: str) -> None:
    """Refuse a name that is not `projects/P/COLLECTION/ID` with an ID of 3–255 characters, a letter first."""
    parts = name.split("/")
    shape = len(parts) == 4 and parts[0] == "projects" and parts[1] and parts[2] == collection
    if not shape or not _ID.fullmatch(parts[3]) or parts[3].startswith("goog"):
        raise invalid(
            f"Invalid [{collection}] name: (name={name}). "
            "Refer to https://cloud.google.com/pubsub/docs/admin#resource_names for more information."
        )


def check_topic(topic: Any) -> None:
    """Refuse a topic with a bad name or retention."""
    check_name(topic.name, "topics")
    _check_labels(topic.labels)
    if topic.HasField("message_retention_duration"):
        _check_retention(topic.message_retention_duration.seconds)


def check_subscription(settings: Any) -> None:
    """Refuse bad settings, and fill in the service's defaults."""
    check_name(settings.name, "subscriptions")
    _check_labels(settings.labels)
    if settings.push_config.push_endpoint:
        raise unimplemented("push delivery is not part of the local cloud")
    settings.ack_deadline_seconds = settings.ack_deadline_seconds or MIN_ACK_DEADLINE_S
    if not MIN_ACK_DEADLINE_S <= settings.ack_deadline_seconds <= MAX_ACK_DEADLINE_S:
        raise invalid(
            f"Invalid ack deadline given (ack_deadline_seconds={settings.ack_deadline_seconds}). "
            f"It must be between {MIN_ACK_DEADLINE_S} and {MAX_ACK_DEADLINE_S} seconds."
        )
    if not settings.HasField("message_retention_duration"):
        settings.message_retention_duration.seconds = DEFAULT_RETENTION_S
    _check_retention(settings.message_retention_duration.seconds)
    _check_expiration(settings)
    if settings.filter:
        try:
            compile_filter(settings.filter)
        except FilterError as error:
            raise invalid(f"The subscription filter is not valid: {error}.") from error
    if settings.HasField("dead_letter_policy"):
        _check_dead_letters(settings.dead_letter_policy)
    if settings.HasField("retry_policy"):
        _check_retries(settings.retry_policy)


def _check_retention(seconds: int) -> None:
    if not MIN_RETENTION_S <= seconds <= MAX_RETENTION_S:
        raise invalid(
            f"Invalid message retention duration given: {seconds} s. "
            f"It must be between {MIN_RETENTION_S} s and {MAX_RETENTION_S} s."
        )


def _check_expiration(settings: Any) -> None:
    """A policy without a time to live means that the subscription never expires."""
    if not settings.HasField("expiration_policy"):
        settings.expiration_policy.ttl.seconds = DEFAULT_EXPIRATION_S
    if not settings.expiration_policy.HasField("ttl"):
        return
    expiration_s, retention_s = settings.expiration_policy.ttl.seconds, settings.message_retention_duration.seconds
    if expiration_s < MIN_EXPIRATION_S:
        raise invalid(f"Invalid expiration ttl given: {expiration_s} s. It must be at least {MIN_EXPIRATION_S} s.")
    if expiration_s < retention_s:
        raise invalid(
            f"Invalid expiration ttl given: {expiration_s} s. "
            f"It must be at least as long as the message retention duration, {retention_s} s."
        )


def _check_labels(labels: Any) -> None:
    if len(labels) > MAX_LABELS:
        raise invalid(f"Too many labels: {len(labels)}. A resource has {MAX_LABELS} at most.")
    for key, value in labels.items():
        is_lower = key == key.lower() and value == value.lower()
        if not (is_lower and _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
            raise invalid(f"Invalid label: {key!r} = {value!r}.")


def _check_dead_letters(policy: Any) -> None:
    check_name(policy.dead_letter_topic, "topics")
    policy.max_delivery_attempts = attempts = policy.max_delivery_attempts or MIN_DELIVERY_ATTEMPTS
    for bound, word, passed in (
        (MIN_DELIVERY_ATTEMPTS, "small", attempts >= MIN_DELIVERY_ATTEMPTS),
        (MAX_DELIVERY_ATTEMPTS, "large", attempts <= MAX_DELIVERY_ATTEMPTS),
    ):
        if not passed:
            raise invalid(
                f"The value for max_delivery_attempts is too {word}. You passed {attempts} in the request, "
                f"but the {'minimum' if word == 'small' else 'maximum'} value is {bound}."
            )


def _check_retries(policy: Any) -> None:
    if not policy.HasField("minimum_backoff"):
        policy.minimum_backoff.seconds = DEFAULT_MIN_BACKOFF_S
    if not policy.HasField("maximum_backoff"):
        policy.maximum_backoff.seconds = DEFAULT_MAX_BACKOFF_S
    if not 0 <= policy.minimum_backoff.seconds <= policy.maximum_backoff.seconds <= DEFAULT_MAX_BACKOFF_S:
        raise invalid("Invalid retry policy: 0 s ≤ minimum_backoff ≤ maximum_backoff ≤ 600 s must hold.")


def check_publish(messages: Any, size_bytes: int) -> None:
    """Refuse a batch that is empty, too large, or holds a message the service would not take."""
    if not messages:
        raise invalid("The value for message_count is too small. You passed 0 in the request, but the minimum is 1.")
    if len(messages) > MAX_PUBLISH_MESSAGES:
        raise invalid(
            f"The value for message_count is too large. You passed {len(messages)} in the request, "
            f"but the maximum value is {MAX_PUBLISH_MESSAGES}."
        )
    if size_bytes > MAX_PUBLISH_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {MAX_PUBLISH_BYTES} bytes.")
    for message in messages:
        if message.attributes:
            _check_attributes(message.attributes)
        elif not message.data:
            raise invalid(
                "One or more messages in the publish request is empty. "
                "Each message must contain either non-empty data, or at least one attribute."
            )


def _check_attributes(attributes: Any) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise invalid(f"One or more messages in the publish request has more than {MAX_ATTRIBUTES} attributes.")
    for key in attributes:  # `items` would go through Python code for every message
        if not key or key.startswith("goog") or _is_longer(key, MAX_ATTRIBUTE_KEY_BYTES):
            raise invalid(f"One or more messages in the publish request has an invalid attribute key: {key!r}.")
        if _is_longer(attributes[key], MAX_ATTRIBUTE_VALUE_BYTES):
            raise invalid(f"One or more messages in the publish request has too long a value of attribute {key!r}.")


def _is_longer(text: str, limit_bytes: int) -> bool:
    return len(text) * 4 > limit_bytes and len(text.encode()) > limit_bytes


def merge(old: Any, new: Any, paths: Iterable[str]) -> Any:
    """A copy of `old` with the masked fields taken from `new`. Refuses unknown and immutable ones."""
    kind = old.DESCRIPTOR.name.lower()
    paths = set(paths)
    request = f"Update{old.DESCRIPTOR.name}Request"
    if not paths:
        raise invalid(f"The update_mask in the {request} must be set, and must contain a non-empty paths list.")
    for path in sorted(paths - _MUTABLE[kind]):
        known = path in old.DESCRIPTOR.fields_by_name
        problem = f"is not a known {old.DESCRIPTOR.name} field" if not known else "is not mutable"
        raise invalid(f"Invalid update_mask provided in the {request}: the '{path}' field {problem}.")
    merged, masked = type(old)(), type(old)()
    merged.CopyFrom(old)
    masked.CopyFrom(new)
    for name in old.DESCRIPTOR.fields_by_name:
        (merged if name in paths else masked).ClearField(name)
    merged.MergeFrom(masked)
    return merged
