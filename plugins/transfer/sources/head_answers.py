"""What S3's answers to the HEAD of a key that a manifest names mean, as long as S3 tells of others; they have no body."""

from __future__ import annotations

from transfer.answers import AnswerRule, Scope
from transfer.errors import SourceEncrypted, SourceForbidden, SourceNotFound, TransferError
from transfer.model import SkipReason

_HEAD = "Amazon S3 API Reference, HeadObject"


def _row(status: int, error: type[TransferError], meaning: str) -> AnswerRule:
    return AnswerRule(status=status, reason="", scope=Scope.KEY, error=error, meaning=meaning, source=_HEAD)


HEAD_ANSWERS = (
    _row(404, SourceNotFound, "the source does not have it"),
    _row(405, SourceNotFound, "the source has a delete marker there"),
    _row(403, SourceForbidden, "S3 refuses to tell of it, though it tells of others"),
    _row(
        400,
        SourceEncrypted,
        "S3 does not tell of it without more: it is encrypted with a customer's own key (SSE-C), or its version id is none",
    ),
)
SKIPPED: dict[type[TransferError], SkipReason] = {
    SourceNotFound: SkipReason.ABSENT,
    SourceForbidden: SkipReason.FORBIDDEN,
    SourceEncrypted: SkipReason.ENCRYPTED,
}
"""As the manifest of a run has them."""
RULE_OF = {SKIPPED[rule.error]: rule for rule in reversed(HEAD_ANSWERS)}
"""The rule that stands for each of them when the run is reconciled."""
