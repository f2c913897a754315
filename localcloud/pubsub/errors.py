"""What the broker refuses, with the service's own wording where that is known."""

from __future__ import annotations

import grpc

from localcloud.grpc_control import RefusedError


def invalid(details: str) -> RefusedError:
    """INVALID_ARGUMENT."""
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, details)


def not_found(name: str) -> RefusedError:
    """NOT_FOUND, naming the last part of the resource name as the service does."""
    return RefusedError(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name.rpartition('/')[2]}).")


def already_exists(name: str) -> RefusedError:
    """ALREADY_EXISTS."""
    details = f"Resource already exists in the project (resource={name.rpartition('/')[2]})."
    return RefusedError(grpc.StatusCode.ALREADY_EXISTS, details)


def unimplemented(details: str) -> RefusedError:
    """UNIMPLEMENTED."""
    return RefusedError(grpc.StatusCode.UNIMPLEMENTED, details)
