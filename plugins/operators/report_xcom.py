"""The XCom `report`: the same JSON object as report.json, bounded, for pages that have Airflow's database alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from operators.xcom_record import plain_json

if TYPE_CHECKING:
    from transfer.reconciliation.report import ReconciliationReport

REPORT_KEY = "report"
"""The XCom key of the report, of `reconcile` and of `verify`."""
MAX_BYTES = 48 * 1024
"""The longest report in Airflow's database; the whole one is report.json."""
KEYS = frozenset({"key", "samples"})
"""The fields with keys, which are cut at another length than other texts."""
WHOLE = frozenset({"sizes", "band_ends_bytes", "ways", "computed"})
"""Short lists, which are kept whole."""
LIMITS = ((1024, 50, 300), (256, 50, 300), (128, 20, 150), (64, 5, 60), (16, 2, 20))
"""How many bytes a key may have, how many entries a list, and how many characters a text: the first of these with which the
report is short enough."""


def bounded_report(report: ReconciliationReport) -> dict[str, Any]:
    """The report as JSON of at most MAX_BYTES."""
    document = plain_json(report.to_dict())
    for limits in LIMITS:
        bounded = _cut(document, "", limits)
        if len(json.dumps(bounded)) <= MAX_BYTES:
            break
    return dict(bounded)


def _cut(value: Any, name: str, limits: tuple[int, int, int]) -> Any:
    max_key_bytes, max_entries, max_characters = limits
    if isinstance(value, str):
        if name in KEYS:
            return value.encode()[:max_key_bytes].decode("utf-8", "ignore")
        return value if len(value) <= max_characters else f"{value[: max_characters - 1]}…"
    if isinstance(value, list):
        return [_cut(each, name, limits) for each in (value if name in WHOLE else value[:max_entries])]
    if isinstance(value, Mapping):
        return {each: _cut(inner, each, limits) for each, inner in value.items()}
    return value
