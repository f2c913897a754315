"""A worker's settings from its parameters, as templates render them: texts into numbers, or one sentence on what to choose."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException

from transfer.model import TransferConfig

MIB = 1024 * 1024
MIN_PART_SIZE_MIB, MAX_PART_SIZE_MIB = 5, 1024
"""The least part that S3 and Cloud Storage take, and as much as one broken GET should cost."""


def transfer_config(
    *,
    threads: int | str,
    part_size_mib: int | str,
    bandwidth_limit_mib_s: float | str | None,
    max_requests_per_s: float | str | None,
    is_ramped: bool,
    workers: int,
) -> TransferConfig:
    """The engine's settings. Raises AirflowFailException, naming the parameter, its value and what to choose."""
    part_size = _whole("part_size_mib", part_size_mib)
    if not MIN_PART_SIZE_MIB <= part_size <= MAX_PART_SIZE_MIB:
        raise AirflowFailException(
            f"part_size_mib is {part_size}: choose {MIN_PART_SIZE_MIB} to {MAX_PART_SIZE_MIB:,} MiB"
        )
    bandwidth_mib_s = _limit("bandwidth_limit_mib_s", bandwidth_limit_mib_s, "MiB")
    try:
        return TransferConfig(
            threads=_whole("threads", threads),
            part_size_bytes=part_size * MIB,
            bandwidth_limit_bytes_per_s=None if bandwidth_mib_s is None else bandwidth_mib_s * MIB,
            max_requests_per_s=_limit("max_requests_per_s", max_requests_per_s, "requests"),
            is_ramped=is_ramped,
            workers=workers,
        )
    except ValueError as error:
        raise AirflowFailException(str(error)) from error


def _whole(name: str, value: int | str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise AirflowFailException(f"{name} is {value!r}: choose a whole number") from None


def _limit(name: str, value: float | str | None, unit: str) -> float | None:
    """None for no limit: an empty text, None or 0."""
    try:
        limit = float(value or 0)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise AirflowFailException(f"{name} is {value!r}: choose how many {unit} a second, or nothing for no limit")
    return limit or None
