"""Every failure code has its advice, and says whether a retry helps."""

from __future__ import annotations

from transfer import errors
from transfer.errors import ObjectError, RetriesExhausted, RetryableError
from transfer.reconciliation.advice import FAILURES, advice_for, is_worth_retrying


def test_every_failure_has_its_remedy() -> None:
    """There is one entry for each class that can be in a failure record, and no other."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    leaves = {kind.__name__ for kind in kinds if issubclass(kind, ObjectError | RetryableError)}
    assert set(FAILURES) == leaves - {ObjectError.__name__, RetryableError.__name__, RetriesExhausted.__name__}
    assert all(advice_for(code) for code in FAILURES)
    hopeless = {"SourceArchived", "InvalidName", "TooLarge", "SourceNotFound"}
    assert not any(is_worth_retrying(code) for code in hopeless)
    assert all(is_worth_retrying(kind.__name__) for kind in RetryableError.__subclasses__())
