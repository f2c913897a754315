"""What the services document, as data: the rules that the stand-ins enforce, the limits of what the engine sends, and the rest.

One TOML file a service, in this folder. `docs/local-cloud.md` shows the same as tables (`python -m localcloud.rules`
writes them), and `tests/localcloud/test_rules.py` holds both to the code:

    [[rule]]          what the stand-in refuses or does, its source, and the test that shows it
    [[sent]]          a constant of ours that a service limits
    [[not_enforced]]  what the service does and the stand-in does not
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent.parent / "docs" / "local-cloud.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the stand-in enforces."""

    name: str
    says: str
    """One sentence."""
    source: str
    """The vendor's page."""
    refusal: str
    """Status and reason of the answer to what breaks the rule; what happens instead where nothing is refused."""
    test: str
    """`path::function`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A constant that we send, or that decides what we send."""

    constant: str
    """`module:NAME`, or `module:Class.field` for the default of a dataclass's field."""
    what: str
    source: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEnforced:
    """What the service does and the stand-in does not."""

    says: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One file."""

    name: str
    title: str
    rules: Sequence[Rule]
    sent: Sequence[Sent]
    not_enforced: Sequence[NotEnforced]


_Entry = TypeVar("_Entry", Rule, Sent, NotEnforced)


def services() -> list[Service]:
    """Every service's file, by name. Raises ValueError for a file that has another form."""
    return [load(path) for path in sorted(FOLDER.glob("*.toml"))]


def load(path: Path) -> Service:
    """One service's file. Raises ValueError for one that has another form."""
    document = tomllib.loads(path.read_text())
    if unknown := set(document) - {"title", "rule", "sent", "not_enforced"}:
        raise ValueError(f"{path.name}: unknown tables {', '.join(sorted(unknown))}")
    return Service(
        name=path.stem,
        title=str(document["title"]),
        rules=_entries(Rule, document.get("rule", ()), path),
        sent=_entries(Sent, document.get("sent", ()), path),
        not_enforced=_entries(NotEnforced, document.get("not_enforced", ()), path),
    )


def _entries(kind: type[_Entry], rows: Iterable[dict[str, Any]], path: Path) -> list[_Entry]:
    known = {field.name for field in fields(kind)}
    entries = []
    for row in rows:
        if unknown := set(row) - known:
            raise ValueError(f"{path.name}: a {kind.__name__} has the unknown fields {', '.join(sorted(unknown))}")
        try:
            entries.append(kind(**row))
        except TypeError as error:
            raise ValueError(f"{path.name}: {row}: {error}") from error
    return entries


def tables(service: Service) -> str:
    """The service's part of the page, between its two marks."""
    lines = [_mark(service, "begin"), ""]
    if service.rules:
        lines += ["| rule | answer to what breaks it | source |", "|---|---|---|"]
        lines += [_row(f"**{rule.name}**: {rule.says}", rule.refusal, rule.source) for rule in service.rules]
        lines.append("")
    if service.sent:
        lines += ["| sent | constant | limits | source |", "|---|---|---|---|"]
        lines += [_row(sent.what, f"`{sent.constant}`", _limits(sent), sent.source) for sent in service.sent]
        lines.append("")
    if service.not_enforced:
        lines += ["Not enforced here:", ""]
        lines += [f"- {entry.says} ({entry.source})" for entry in service.not_enforced]
        lines.append("")
    return "\n".join([*lines, _mark(service, "end")])


def page_of(text: str, of: Iterable[Service]) -> str:
    """The page with every service's tables as the data has them; a service that it lacks is added at its end."""
    for service in of:
        begin, end = _mark(service, "begin"), _mark(service, "end")
        if begin not in text:
            text = f"{text.rstrip()}\n\n## {service.title}\n\n{begin}\n{end}\n"
        before, _, rest = text.partition(begin)
        text = before + tables(service) + rest.partition(end)[2]
    return text


def _mark(service: Service, which: str) -> str:
    return f"<!-- {which} localcloud/rules/{service.name}.toml -->"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _limits(sent: Sent) -> str:
    low = f"{sent.minimum:,}" if sent.minimum is not None else ""
    high = f"{sent.maximum:,}" if sent.maximum is not None else ""
    said = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    multiple = f"a multiple of {sent.multiple_of:,}" if sent.multiple_of else ""
    return ", ".join(part for part in (said, multiple) if part) + (f" {sent.unit}" if sent.unit else "")
