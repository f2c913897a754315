"""The findings of preflight: one line of its table for each check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from transfer.errors import RetryableError, TokenRefused, TransferError


class Mark(StrEnum):
    """How a check ended, as the table shows it."""

    PASSED = "✓"
    WARNED = "!"
    NOT_MADE = "–"
    FAILED = "✗"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table: a check and how it ended."""

    mark: Mark
    check: str
    """What was checked, as a verb phrase."""
    detail: str = ""
    """What the check showed; when it failed or warns, also what to change."""
    is_temporary: bool = False
    """Whether it failed for a reason that may be gone at the next attempt."""

    def __str__(self) -> str:
        return f"{self.mark} {self.check}{': ' if self.detail else ''}{self.detail}"


def table(findings: Iterable[Finding]) -> str:
    """The findings as text, one line each."""
    return "\n".join(map(str, findings))


def passed(check: str, detail: str = "") -> Finding:
    """The finding of a check that passed."""
    return Finding(mark=Mark.PASSED, check=check, detail=detail)


def failed(check: str, error: TransferError) -> Finding:
    """The finding of a check that ended with this error."""
    is_temporary = isinstance(error, RetryableError) and not isinstance(error, TokenRefused)
    return Finding(mark=Mark.FAILED, check=check, detail=error.message, is_temporary=is_temporary)
