"""The meaning of error responses: one table per service, which the code uses and the documentation prints.

An error response is classified by its reason (Cloud Storage) or code (S3, CloudFront, Pub/Sub), not by its status alone. An
unknown one keeps the message of the service and gets the narrowest scope, so that a guess never stops all other objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from transfer.errors import TransferError


class Scope(StrEnum):
    """The resource that an error response concerns."""

    TEMPORARY = "temporary trouble"
    """The same request may succeed later."""
    OBJECT = "object"
    KEY = "key of a manifest"
    FOLDER = "folder"
    """Other objects of the folder are probably affected as well; each is refused individually."""
    BUCKET = "bucket"
    QUEUE = "topic or subscription"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule:
    """One row of the table of a service: the meaning of responses with this status and reason."""

    status: int | None
    """The HTTP status; None matches any."""
    reason: str
    """The reason or code as the service writes it; empty matches any."""
    scope: Scope
    error: type[TransferError]
    """The error that the engine raises; its class decides how the response is handled."""
    meaning: str
    """The explanation for people and the change to make; empty if only the message of the service is known."""
    source: str
    """The page of the service's documentation on which the rule is based."""


def rule_for(rules: Iterable[AnswerRule], status: int | None, reason: str) -> AnswerRule | None:
    """The first rule that matches the status and the reason; None if no rule matches."""
    for rule in rules:
        if rule.status in (None, status) and rule.reason in ("", reason):
            return rule
    return None


_CODE = re.compile(r"<Code>([A-Za-z0-9._]{1,64})</Code>")
_MESSAGE = re.compile(r"<(?:Message|Details)>([^<]*)</")


def xml_code(text: str) -> str:
    """The `<Code>` of an XML error body, as S3, CloudFront and Cloud Storage's XML API write it; empty if it is missing."""
    found = _CODE.search(text)
    return found[1] if found else ""


def xml_message(text: str) -> str | None:
    """The `<Message>` of an XML error body together with its `<Details>`; None if it has neither."""
    found = _MESSAGE.findall(text)
    return " ".join(found) if found else None
