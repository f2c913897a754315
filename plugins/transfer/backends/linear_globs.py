"""Rewrites gitignore patterns as regular expressions whose time is linear in the length of the name.

pathspec's expressions backtrack: four `*` take seconds on one hostile key, and nothing can interrupt that. They consist of few
elements (below), for each of which the leftmost match is as good as any other: a wildcard between two fixed texts may match as
little as possible, a folder's name ends at the next slash, and `**` may end at the first folders that fit. So each piece is
matched once and is not tried again (an atomic group).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

_ANY_HEAD, _ANY_FOLDERS = "(?:.+/)?", "(?:/.+)?"
_STAR, _WHOLE, _ONE = "[^/]*", "[^/]+", "[^/]"
_FOLDER = "(?P<ps_d>/)"
_EITHER = f"(?:{_FOLDER}|$)"
_SLASH = "/"
_TOKEN = re.compile(
    "|".join(map(re.escape, (_ANY_HEAD, _ANY_FOLDERS, _EITHER, _FOLDER, _STAR, _WHOLE)))
    + r"|\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.",
    re.DOTALL,
)
_FOLDERS = "(?:[^/]*/)*?"
_END = "(?=/|$)"

_Segment = list[str]


def linear(expression: str) -> str:
    """An expression that matches the same names as one of pathspec's, in linear time, and has its group `ps_d`.

    The group is set where a folder around the name matches, not the name itself. Raises ValueError, with the reason, for an
    expression that cannot be rewritten.
    """
    if expression == ".":
        return expression
    if expression in (_SLASH, _FOLDER):
        return f"^[^/]*{expression}"
    tokens = _TOKEN.findall(expression.removeprefix("^"))
    has_head = tokens[0] == _ANY_HEAD
    tail = tokens.pop() if tokens[-1] in (_EITHER, _FOLDER) else ""
    blocks = _blocks(tokens[has_head:])
    if not tail and not blocks[-1][-1]:  # `folder/**`
        blocks[-1].pop()
        tail = _SLASH
    if not all(block and block[0] for block in blocks[not has_head :]):
        raise ValueError("it has a folder without a name next to **")
    parts = [_SLASH.join(map(_name, block)) for block in blocks]
    # `.+/` matches at least one character before its slash, and `/.+` at least one after it.
    gaps = [f"{_FOLDERS}(?<!^/)" if has_head else ""]
    gaps += [f"/(?:(?!/){_FOLDERS}|/[^/]*/{_FOLDERS})"] * (len(parts) - 1)
    *before, last = [f"{gap}{part}" for gap, part in zip(gaps, parts, strict=True)]
    ends = (f"(?>{last}$)", f"(?>{last}){_FOLDER}") if tail == _EITHER else (f"(?>{last}){tail}",)
    return f"^{''.join(f'(?>{part})' for part in before)}(?:{'|'.join(ends)})"


def _blocks(tokens: Sequence[str]) -> list[list[_Segment]]:
    """The segments between one `**` and the next, each as its tokens."""
    blocks: list[list[_Segment]] = []
    for is_gap, group in groupby(tokens, lambda token: token == _ANY_FOLDERS):
        if is_gap:
            continue
        segments: list[_Segment] = [[]]
        for token in group:
            if token == _SLASH:
                segments.append([])
            else:
                segments[-1].append(token)
        blocks.append(segments[1:] if blocks else segments)  # the slash after a gap belongs to the gap
    return blocks


def _name(tokens: _Segment) -> str:
    """The expression for the name of one folder or file, to its end."""
    pieces = [""]
    for token in tokens:
        if token != _STAR:
            # Like in git, and unlike in pathspec, a character class never matches a slash.
            pieces[-1] += f"(?!/){token}" if token[0] == "[" and token not in (_ONE, _WHOLE) else token
        elif len(pieces) == 1 or pieces[-1]:
            pieces.append("")
    if len(pieces) == 1:
        return f"(?>{pieces[0]}{_END})"
    middle = "".join(f"(?>[^/]*?{piece})" for piece in pieces[1:-1])
    return f"(?>{pieces[0]}{middle}[^/]*{pieces[-1]}{_END})"
