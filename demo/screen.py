"""The demo's output: phases with their durations, one line of live progress, and a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LINE_EVERY_S = 5.0
"""How often progress is printed where it cannot be rewritten in place."""


class Screen:
    """Writes to a terminal, where a line of progress is rewritten in place, or to a file, where it is repeated."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._started_s = time.monotonic()
        self._live_characters = 0
        self._last_line_s = 0.0

    def title(self, text: str) -> None:
        """Print the title, which is the first line of the output."""
        print(f"{self._bold(text)}\n", flush=True)

    @contextmanager
    def phase(self, text: str) -> Iterator[None]:
        """Print a step when it begins, and again with its duration when it has ended."""
        started_s = time.monotonic()
        self._last_line_s = 0.0
        self.live(f"  … {text}")
        yield
        self.say(f"  ✓ {text}  {time.monotonic() - started_s:.1f} s")

    def live(self, text: str) -> None:
        """Show the progress of the current step: in place on a terminal, else at most every LINE_EVERY_S seconds."""
        if self._is_terminal:
            print(f"\r{text[:120]:<{min(120, self._live_characters)}}", end="", flush=True)
            self._live_characters = len(text)
        elif time.monotonic() - self._last_line_s >= LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            print(text, flush=True)

    def say(self, text: str = "") -> None:
        """Print a line that is not overwritten."""
        if self._is_terminal and self._live_characters:
            print(f"\r{'':<{min(120, self._live_characters)}}\r", end="")
            self._live_characters = 0
        print(text, flush=True)

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print names and values as a table, with the values aligned to the right."""
        names = max(len(name) for name, _ in rows)
        values = max(len(value) for _, value in rows)
        self.say()
        for name, value in rows:
            self.say(f"  {name:<{names}}  {value:>{values}}")
        self.say()

    def elapsed_s(self) -> float:
        """Seconds since this object was created."""
        return time.monotonic() - self._started_s

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._is_terminal else text


def human_bytes(count: float) -> str:
    """A number of bytes as text, in the largest binary unit that leaves at least 1."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.2f} TiB"
