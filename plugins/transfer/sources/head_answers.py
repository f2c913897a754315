"""Maps S3's refusals of the HEAD of one key to errors, while S3 answers for other keys; such answers have no body."""

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
    _row(403, SourceForbidden, "S3 refuses access to it, but not to others"),
    _row(
        400,
        SourceEncrypted,
        "S3 refuses the request for it: it is encrypted with a customer-provided key (SSE-C), or its version id is invalid",
    ),
)
SKIPPED: dict[type[TransferError], SkipReason] = {
    SourceNotFound: SkipReason.ABSENT,
    SourceForbidden: SkipReason.FORBIDDEN,
    SourceEncrypted: SkipReason.ENCRYPTED,
}
"""How the manifest of a run records each of these errors."""
RULE_OF = {SKIPPED[rule.error]: rule for rule in reversed(HEAD_ANSWERS)}
"""The rule that explains each of these records when the run is reconciled."""
