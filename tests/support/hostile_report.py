"""A report in which every text tries to be more than text."""

from __future__ import annotations

from typing import Any

from seeded_runs import REPORT

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "=cmd()",
    "\u202egnp.exe\u2066",
    "\ud800\x00\r\n",
    "é" * 512,
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}",
]


def hostile_report() -> dict[str, Any]:
    """A report.json that somebody else has written."""
    reason = {"verdict": "failed", "reason": HOSTILE[0], "count": 1, "advice": HOSTILE[1], "message": HOSTILE[6]}
    return {
        **REPORT,
        "run_id": HOSTILE[1],
        "source": f"s3://b/{HOSTILE[0]}",
        "destination": f"gs://b/{HOSTILE[3]}",
        "day": HOSTILE[6],
        "parameters": {HOSTILE[0]: HOSTILE, "x": {"y": HOSTILE[1]}},
        "evidence": {HOSTILE[0]: {HOSTILE[1]: 3}},
        "phases": {HOSTILE[0]: 3.0},
        "reasons": [{**reason, "samples": [key]} for key in HOSTILE],
        "prices_scope": HOSTILE[1],
    }
