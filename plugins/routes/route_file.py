"""The routes of a YAML file: valid ones as `Route`, and sentences that name file, line and field of every problem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from routes.route import Route, route_problems
from routes.schema import schema_problems
from routes.yaml_lines import Loader, doubled_fields, line_of, size_problem
from routes.yaml_lines import field as field_name

MAX_CHARACTERS = 1024**2
"""The most characters of a file, enough for some thousand routes."""
SETTING = "EDGEHAUL_ROUTES"
"""The environment variable that names another file than the default."""


class BrokenRoutes(Exception):
    """The problems of a routes file, one sentence per line. The message is for people."""


@dataclass(slots=True, kw_only=True)
class RoutesFile:
    """The content of a file: its valid routes, and a sentence for each problem with the others."""

    path: Path
    routes: list[Route] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def complain(self, text: str, *, line: int | None = None, entry: str = "", where: str = "") -> None:
        """Add a sentence to the problems."""
        place = [str(self.path), f"line {line}" if line else "", entry, where]
        self.problems.append(f"{', '.join(filter(None, place))}: {text}")


def read_routes(default: Path) -> RoutesFile:
    """Read and check the file that EDGEHAUL_ROUTES names, or else `default`, which may be missing. Raises nothing."""
    asked = os.environ.get(SETTING)
    found = RoutesFile(path=Path(asked or default))
    try:
        with found.path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except FileNotFoundError:
        if asked:
            found.complain(
                f"there is no such file; change {SETTING}, which names it, or remove it from the environment"
            )
        return found
    except (OSError, UnicodeDecodeError) as error:
        found.complain(f"it cannot be read as UTF-8 text: {error}")
        return found
    if len(text) > MAX_CHARACTERS:
        found.complain(f"it has more than {MAX_CHARACTERS:,} characters: this is not a routes file")
        return found
    try:
        if too_much := size_problem(text):
            found.complain(too_much[0], line=too_much[1])
            return found
        loader = Loader(text)
        _Reader(loader, found).read(loader.get_single_node())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(filter(None, (getattr(error, "problem", None), getattr(error, "context", None)))) or error
        found.complain(
            f"this is not YAML, so no route can be read ({problem}): check the indentation, and put values with : or #"
            " in them, or with % @ * & or ! in front, in quotes",
            line=mark and mark.line + 1,
        )
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    loader: Loader
    found: RoutesFile

    def read(self, root: yaml.Node | None) -> None:
        entries = list(self._entries(root))
        names = [_name(entry) for entry in entries]
        for index, entry in enumerate(entries):
            title = f"route {names[index]}" if names[index] else f"routes[{index}]"
            is_twice = bool(names[index]) and names.count(names[index]) > 1
            try:
                self._entry(entry, title, is_twice=is_twice)
            except yaml.constructor.ConstructorError as error:
                line = error.problem_mark.line + 1 if error.problem_mark else line_of(entry)
                self.found.complain(f"{error.problem}: write plain values only", line=line, entry=title)

    def _entries(self, root: yaml.Node | None) -> Iterator[yaml.Node]:
        if root is None:
            return
        if not isinstance(root, yaml.MappingNode):
            self.found.complain("the file must begin with routes: and list the routes under it", line=line_of(root))
            return
        for key, value in root.value:
            if key.value == "routes" and isinstance(value, yaml.SequenceNode):
                yield from value.value
            elif key.value == "routes":
                if value.tag != "tag:yaml.org,2002:null":
                    self.found.complain("it must be a list: begin each route with -", line=line_of(key), where="routes")
            elif not str(key.value).startswith("x-"):
                text = "there is no such field: put routes under routes, and shared values under a name that begins with x-"
                self.found.complain(text, line=line_of(key), where=str(key.value))

    def _entry(self, node: yaml.Node, title: str, *, is_twice: bool) -> None:
        """Add the route, or its problems. Raises ConstructorError for anything but plain values."""
        wrong = [(line, path, "it is given twice: keep one") for line, path in doubled_fields(node)]
        entry = self.loader.construct_document(node)
        problems = list(schema_problems(entry)) or list(route_problems(entry))
        if is_twice:
            problems.append((("name",), "another route has this name: give each route its own name"))
        wrong += [(line_of(node, path), path, text) for path, text in problems]
        for line, path, text in sorted(wrong, key=lambda found: found[0]):
            self.found.complain(text, line=line, entry=title, where=field_name(path))
        if not wrong:
            self.found.routes.append(Route.of(entry))


def _name(entry: yaml.Node) -> str:
    """The name of an entry, whether it is valid or not."""
    pairs = entry.value if isinstance(entry, yaml.MappingNode) else []
    names = [str(value.value) for key, value in pairs if key.value == "name" and isinstance(value, yaml.ScalarNode)]
    return names[0] if names else ""
