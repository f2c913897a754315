"""What the page of a run shows. Numbers are plain; the templates write them for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run of a copy."""

    dag_id: str
    run_id: str
    is_live: bool = False
    """Whether anything on the page may still change."""
