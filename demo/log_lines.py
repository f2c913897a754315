"""Events of a task's log as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def log_line(event: Any) -> str:
    """An event as the UI shows it: its text, followed by its fields as `name=value`, and its exceptions."""
    if isinstance(event, str):
        return event
    shown = {
        name: value for name, value in event.items() if name not in ("timestamp", "event", "level", "error_detail")
    }
    text = f"{event.get('timestamp') or ''} {str(event.get('level') or '').upper():7} {event.get('event')}".strip()
    line = " ".join([text, *(f"{name}={value}" for name, value in shown.items() if value is not None)])
    return "\n".join([line, *(text for error in event.get("error_detail") or () for text in _error_lines(error))])


def _error_lines(error: Mapping[str, Any]) -> Iterator[str]:
    """An exception as the UI shows it: type and message, and then its frames."""
    yield f"{error['exc_type']}: {error['exc_value']}"
    for frame in error["frames"]:
        yield f"    File {frame['filename']}, line {frame['lineno']} in {frame['name']}"
