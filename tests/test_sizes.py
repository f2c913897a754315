"""No file and no function is longer than a reader keeps in mind."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MAX_FILE_LINES = 310
MAX_FUNCTION_LINES = 60
EXCEPTIONS = {
    "tests/support/everything.py": "one table of data: every odd object, with how it ends",
}
"""Why each may be longer: a file by its path, a function as `path::name`, a method as `path::Class.name`."""


def python_files() -> list[str]:
    """The files of the repository; without git, such as in an unpacked archive, those of the tree outside hidden folders."""
    if (REPOSITORY / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
        names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    else:
        names = [str(path.relative_to(REPOSITORY)) for path in REPOSITORY.rglob("*.py")]
    return sorted(name for name in names if name[0] != "." and (REPOSITORY / name).exists())


def functions_in(node: ast.AST, names: tuple[str, ...] = ()) -> Iterator[tuple[str, int]]:
    """Each function within, by its qualified name, with its number of lines."""
    for child in ast.iter_child_nodes(node):
        inner = names
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = (*names, child.name)
            if not isinstance(child, ast.ClassDef):
                yield ".".join(inner), (child.end_lineno or child.lineno) - child.lineno + 1
        yield from functions_in(child, inner)


def too_long(path: str, text: str) -> Iterator[tuple[str, str]]:
    """What in a file is too long, by its name among the exceptions, with the sentence that says so."""
    if (lines := len(text.splitlines())) > MAX_FILE_LINES:
        yield path, f"{path} has {lines} lines, more than {MAX_FILE_LINES}: split it by topic."
    for name, lines in functions_in(ast.parse(text)):
        if lines > MAX_FUNCTION_LINES:
            named = f"{path}::{name}"
            yield (
                named,
                f"{named} has {lines} lines, more than {MAX_FUNCTION_LINES}: give its steps names of their own.",
            )


def test_files_and_functions_are_short() -> None:
    found = dict(item for path in python_files() for item in too_long(path, (REPOSITORY / path).read_text()))
    wrong = [sentence for name, sentence in found.items() if name not in EXCEPTIONS]
    wrong += [
        f"{name} is not too long any more: remove it from EXCEPTIONS." for name in EXCEPTIONS if name not in found
    ]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_what_is_too_long_is_named() -> None:
    body = "\n".join(["        pass"] * MAX_FUNCTION_LINES)
    text = f"class A:\n    def long(self):\n{body}\n" + "\n" * MAX_FILE_LINES
    assert [name for name, _ in too_long("a.py", text)] == ["a.py", "a.py::A.long"]
    assert list(too_long("b.py", "def short():\n    pass\n")) == []
