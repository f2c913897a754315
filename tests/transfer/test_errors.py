"""The tree of errors."""

from __future__ import annotations

from transfer.errors import (
    TransferError,
)


def test_every_error_is_retryable_an_objects_or_fatal() -> None:
    from transfer import errors

    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TransferError)]
    roots = (errors.RetryableError, errors.ObjectError, errors.FatalError)
    for kind in tree:
        assert kind is TransferError or sum(issubclass(kind, root) for root in roots) == 1, kind
        assert kind.__name__ in (errors.__doc__ or ""), f"{kind.__name__} is not drawn in the tree"
