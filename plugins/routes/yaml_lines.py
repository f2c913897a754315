"""YAML with line numbers: a loader that keeps dates as texts, and the line of each field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MAX_VALUES = 50_000
"""The most values of a file, with its aliases expanded: enough for some thousand routes."""
MAX_DEPTH = 50

Path = tuple[str | int, ...]
"""The way from an entry to one of its fields: names and, in lists, positions."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Loads plain values only, and dates as texts; with libyaml where it is available, because every task reads the file."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def size_problem(text: str) -> tuple[str, int] | None:
    """The reason not to load a file that is too large, and its line: nested aliases can stand for billions of values.

    Raises YAMLError for invalid YAML.
    """
    sizes: dict[str, tuple[int, int]] = {}
    """The number of values and levels of each anchor."""
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
    """The line of a field's name, counted from 1; of the nearest enclosing node when there is no such field."""
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
    """Line and path of each field that is given twice, of which YAML would silently keep the last.

    Raises ConstructorError for an alias inside its own anchor.
    """
    if id(node) in around:
        raise yaml.constructor.ConstructorError(None, None, "an alias stands inside its own anchor", node.start_mark)
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
