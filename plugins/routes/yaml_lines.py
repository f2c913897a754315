"""YAML with its lines: a loader that keeps dates as texts, and where in the file a field stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MAX_VALUES = 50_000
"""Of a file, with what its aliases stand for: some thousand routes."""
MAX_DEPTH = 50

Path = tuple[str | int, ...]
"""From an entry to a field of it: names and, in lists, positions."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only, and dates as texts; with libyaml, where there is one: every task reads the file."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def what_is_too_much(text: str) -> tuple[str, int] | None:
    """Why a file is not even composed, and the line: aliases of aliases stand for billions of values in a few lines.

    Raises YAMLError for what is no YAML.
    """
    sizes: dict[str, tuple[int, int]] = {}
    """Of each anchor: values, and levels."""
    around: list[list[Any]] = [["", 0, 0]]
    for event in yaml.parse(text, Loader=Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            around.append([event.anchor, 0, 0])
            if len(around) > MAX_DEPTH:
                return f"it is nested deeper than {MAX_DEPTH} levels: write plain values only", line
            continue
        anchor, values, levels = "", 1, 1
        if isinstance(event, yaml.AliasEvent):
            values, levels = sizes.get(event.anchor or "", (1, 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, values, levels = around.pop()
            values, levels = values + 1, levels + 1
        elif isinstance(event, yaml.ScalarEvent):
            anchor = event.anchor or ""
        else:
            continue
        if anchor:
            sizes[anchor] = values, levels
        around[-1][1] += values
        around[-1][2] = max(around[-1][2], levels)
        if around[-1][1] > MAX_VALUES or len(around) + levels > MAX_DEPTH:
            return (
                f"it stands for more than {MAX_VALUES:,} values or {MAX_DEPTH} levels: write it without aliases (*)",
                line,
            )
    return None


def line_of(node: yaml.Node, path: Path = ()) -> int:
    """The line of a field's name, counted from 1, or of the nearest thing around it that is there."""
    line = node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = [(key, value) for key, value in pairs if key.value == str(step)]
        if not found:
            break
        key, node = found[-1]
        line = key.start_mark.line + 1
    return int(line)


def doubled_fields(
    node: yaml.Node, path: Path = (), around: frozenset[int] = frozenset()
) -> Iterator[tuple[int, Path]]:
    """Line and path of each field that is given twice, of which YAML would keep the last without a word.

    Raises ConstructorError for an alias inside of what it stands for.
    """
    if id(node) in around:
        raise yaml.constructor.ConstructorError(None, None, "an alias stands inside of its own anchor", node.start_mark)
    around |= {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from doubled_fields(item, (*path, index), around)
    elif isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in names and name != "<<":
                yield key.start_mark.line + 1, (*path, name)
            names.add(name)
            yield from doubled_fields(value, (*path, name), around)


def field(path: Path) -> str:
    """The path as people write it: `source.bucket`, `tags[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
