"""What the refusals of a service mean: one table a service, which the code decides by and the documents print.

A refusal is read by its reason (Cloud Storage) or code (S3, CloudFront, Pub/Sub), not by its status alone. What no rule
knows keeps the service's own words and the narrowest scope: nobody is kept from copying everything else by a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from transfer.errors import TransferError


class Scope(StrEnum):
    """What a refusal is about."""

    PASSING = "passing trouble"
    """The same request may succeed later."""
    OBJECT = "object"
    KEY = "key of a manifest"
    FOLDER = "folder"
    """Probably others beside it as well; each is refused by name all the same."""
    BUCKET = "bucket"
    QUEUE = "topic or subscription"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule:
    """One line of a table: answers of this status and reason."""

    status: int | None
    """None for any."""
    reason: str
    """As the service writes it; empty for any."""
    scope: Scope
    error: type[TransferError]
    """What the engine makes of it: its class says what is done."""
    meaning: str
    """What a person reads: what it means and what to change; empty where the service's own words are all there is."""
    source: str
    """The page of the service's documentation."""


def rule_for(rules: Iterable[AnswerRule], status: int | None, reason: str) -> AnswerRule | None:
    """The first rule of this status and reason, or of either alone where the table says so; None when there is none."""
    for rule in rules:
        if rule.status in (None, status) and rule.reason in ("", reason):
            return rule
    return None


_CODE = re.compile(r"<Code>([A-Za-z0-9._]{1,64})</Code>")
_MESSAGE = re.compile(r"<(?:Message|Details)>([^<]*)</")


def xml_code(text: str) -> str:
    """The `<Code>` of an XML error body, as S3, CloudFront and Cloud Storage's XML API write it; empty when there is none."""
    found = _CODE.search(text)
    return found[1] if found else ""


def xml_message(text: str) -> str | None:
    """The `<Message>` of an XML error body, and its `<Details>`; None when it has neither."""
    found = _MESSAGE.findall(text)
    return " ".join(found) if found else None
