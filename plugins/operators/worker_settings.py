"""Builds a worker's settings from its parameters, which templates render as texts."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException

from operators.parameters import InvalidParameter, number, whole
from transfer.config import TransferConfig
from transfer.limits import MIB


def transfer_config(
    *,
    threads: int | str,
    part_size_mib: int | str,
    bandwidth_limit_mib_s: float | str | None,
    max_requests_per_s: float | str | None,
    is_ramped: bool,
    workers: int,
) -> TransferConfig:
    """The engine's settings. Raises AirflowFailException, which names the parameter, its value and what to choose."""
    try:
        bandwidth_mib_s = number("bandwidth_limit_mib_s", bandwidth_limit_mib_s)
        return TransferConfig(
            threads=whole("threads", threads),
            part_size_bytes=whole("part_size_mib", part_size_mib) * MIB,
            bandwidth_limit_bytes_per_s=None if bandwidth_mib_s is None else bandwidth_mib_s * MIB,
            max_requests_per_s=number("max_requests_per_s", max_requests_per_s),
            is_ramped=is_ramped,
            workers=workers,
        )
    except InvalidParameter as error:
        raise AirflowFailException(str(error)) from error
