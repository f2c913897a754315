"""Compiles include and exclude globs in gitignore's syntax (https://git-scm.com/docs/gitignore), which pathspec parses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from transfer.backends.linear_globs import linear
from transfer.errors import InvalidSelection
from transfer.naming import NameFilter


def compile_globs(include: Sequence[str], exclude: Sequence[str]) -> NameFilter | None:
    """A filter that keeps names that match an include (or there is none) and no exclude; None without any glob.

    A name is a path as in git: a leading `/` is ignored. Unlike git, which never looks into an excluded folder, a pattern with
    `!` takes back names inside one. Raises InvalidSelection.
    """
    included, excluded = _matcher("include", include), _matcher("exclude", exclude)
    if included is None and excluded is None:
        return None

    def name_filter(name: str) -> bool:
        path = _path(name)
        return (included is None or included(path)) and (excluded is None or not excluded(path))

    return name_filter


def _path(name: str) -> str:
    """A name in the form that pathspec's expressions match: relative, and without line feeds, which a dot does not match."""
    if name.startswith(("/", "./")):
        name = name.lstrip("/").removeprefix("./")
    return name.replace("\n", "\r") if "\n" in name else name


def _check(field: str, line: str) -> None:
    """Raise InvalidSelection for a pattern that is invalid, or that git accepts but that matches nothing."""
    try:
        patterns = GitIgnoreSpec.from_lines([line]).patterns
    except (GitIgnorePatternError, re.error) as error:
        raise InvalidSelection(
            field, f"{field} has {line!r}, which is not a valid gitignore pattern: {error}"
        ) from error
    if line.strip() and not line.startswith("#") and not any(pattern.regex for pattern in patterns):
        raise InvalidSelection(field, f"{field} has {line!r}, which matches nothing: correct it, or take it out")


def _linear(field: str, line: str, expression: str) -> str:
    try:
        return linear(expression)
    except ValueError as error:
        raise InvalidSelection(field, f"{field} has {line!r}, which cannot be matched: {error}; correct it") from error


def _matcher(field: str, lines: Sequence[str]) -> NameFilter | None:
    for line in lines:
        _check(field, line)
    patterns = [
        (_linear(field, line, pattern.regex.pattern), pattern.include)
        for line in lines
        for pattern in GitIgnoreSpec.from_lines([line]).patterns
        if pattern.regex is not None
    ]
    if not patterns:
        return None  # blank lines and comments only
    if field == "include" and not any(chooses for _, chooses in patterns):
        raise InvalidSelection(
            field, "include has only patterns with !, which take names back: add patterns that choose names"
        )
    if not all(chooses for _, chooses in patterns):
        # The last pattern that matches decides.
        return GitIgnoreSpec(
            [GitIgnoreSpecPattern(re.compile(pattern), chooses) for pattern, chooses in patterns]
        ).match_file
    # Without a "!" any match decides; one expression for all patterns takes a tenth of the time.
    joined = re.compile("|".join(pattern.replace("(?P<ps_d>", "(?:") for pattern, _ in patterns))
    return lambda path: joined.match(path) is not None
