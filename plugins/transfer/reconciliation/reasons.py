"""Why keys did not end as matched: counted by reason, and as text with what to do about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from transfer.reconciliation.advice import advice_for
from transfer.reconciliation.verdicts import Verdict

SAMPLES = 3
"""How many keys are shown for each reason."""
WIDTH = 100
"""The longest line, in characters, which Airflow's log view shows whole."""
_INDENT = " " * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason why keys did not end as matched, and how many did not."""

    verdict: Verdict
    reason: str
    count: int
    samples: tuple[str, ...]
    """Some of the keys."""
    advice: str
    """What to do about it; empty for nothing."""
    message: str = ""
    """The error message of the first of these failures."""


class Reasons:
    """Counts the reasons why keys did not match. `was_copied` is whether the run was to copy anything."""

    def __init__(self, *, was_copied: bool = True) -> None:
        self._was_copied = was_copied
        self._counts: Counter[tuple[Verdict, str]] = Counter()
        self._samples: dict[tuple[Verdict, str], list[str]] = {}
        self._messages: dict[tuple[Verdict, str], str] = {}

    def add(self, verdict: Verdict, reason: str, key: str, message: str = "") -> None:
        """Count one key."""
        group = (verdict, reason)
        self._counts[group] += 1
        samples = self._samples.setdefault(group, [])
        if len(samples) < SAMPLES:
            samples.append(key)
        self._messages.setdefault(group, message)

    def sorted(self) -> tuple[Reason, ...]:
        """The reasons, most frequent first; those of skipped objects last."""
        groups = sorted(self._counts.items(), key=lambda item: (item[0][0] is Verdict.SKIPPED, -item[1]))
        return tuple(
            Reason(
                verdict=verdict,
                reason=reason,
                count=count,
                samples=tuple(self._samples[verdict, reason]),
                advice=advice_for(reason, was_copied=self._was_copied),
                message=self._messages[verdict, reason],
            )
            for (verdict, reason), count in groups
        )


def reason_table(reasons: Sequence[Reason]) -> str:
    """The reasons as one screen of text: for each the number of objects, what to do, the error message, and some keys."""
    return "\n".join(line for reason in reasons for line in _lines(reason))


def reason_line(reasons: Sequence[Reason]) -> str:
    """The reasons in a few words, such as `157 SourceForbidden, 6 InvalidName`."""
    return ", ".join(f"{reason.count:,} {reason.reason}" for reason in reasons)


def _lines(reason: Reason) -> Iterator[str]:
    yield f"{reason.count:,} {reason.verdict}: {reason.reason}"
    if reason.advice:
        yield from wrap(reason.advice, WIDTH, initial_indent=f"{_INDENT}fix: ", subsequent_indent=f"{_INDENT}     ")
    if reason.message:
        yield f"{_INDENT}why: {_cut(reason.message, WIDTH - len(_INDENT) - 5)}"
    if reason.samples:
        room = (WIDTH - len(_INDENT) - 6) // SAMPLES - 2
        yield f"{_INDENT}e.g. {', '.join(_cut(repr(sample), room) for sample in reason.samples)}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
