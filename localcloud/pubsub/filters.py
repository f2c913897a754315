"""The filter language of Pub/Sub subscriptions.

Rules (Cloud Pub/Sub documentation, "Filter messages from a subscription"): a filter sees attributes only, is at most
256 bytes long and knows `attributes:key`, `attributes.key = "value"`, `!=`, `hasPrefix(attributes.key, "value")` and
AND, OR and NOT (or `-`) in capitals. NOT binds tightest; AND and OR mix only inside parentheses. A key that is more
than letters, digits, `-` and `_` is a string literal. `!=` is also true of a message without the attribute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_FILTER_BYTES = 256

Predicate = Callable[[Mapping[str, str]], bool]

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)|(?P<mark>!=|[-().,:=]))'
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[xX]([0-9A-Fa-f]{2})|([0-3][0-7]{2})|(.))")
_PLAIN_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?",
}  # fmt: skip


class FilterError(ValueError):
    """The text is no filter."""


def compile_filter(text: str) -> Predicate:
    """A predicate over a message's attributes. Raises FilterError; the predicate itself raises nothing."""
    if len(text.encode()) > MAX_FILTER_BYTES:
        raise FilterError(f"a filter has at most {MAX_FILTER_BYTES} bytes")
    parser = _Parser(_tokens(text))
    predicate = parser.expression()
    parser.expect("end")
    return predicate


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """A mark or an operator itself, or `string`, `word`, `end`."""
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise FilterError(f"unexpected character at {at}")
        piece = match[match.lastgroup]
        kind = match.lastgroup
        if kind == "mark" or piece in ("AND", "OR", "NOT"):
            kind = piece
        tokens.append(_Token(kind, _unescape(piece[1:-1], at) if kind == "string" else piece, at))
        at = match.end()
    return [*tokens, _Token("end", "the end", at)]


def _unescape(text: str, at: int) -> str:
    def replace(match: re.Match[str]) -> str:
        short, long, byte, octal, plain = match.groups()
        if plain is not None:
            if plain not in _PLAIN_ESCAPES:
                raise FilterError(f"unknown escape \\{plain} in the string at {at}")
            return _PLAIN_ESCAPES[plain]
        code = int(octal, 8) if octal else int(short or long or byte, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise FilterError(f"no such character: {match[0]} in the string at {at}")
        return chr(code)

    return _ESCAPE.sub(replace, text)


class _Parser:
    """Recursive descent; the filter's length bounds the depth."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def _peek(self) -> str:
        return self._tokens[self._next].kind

    def expect(self, *kinds: str) -> str:
        token = self._tokens[self._next]
        if token.kind not in kinds:
            raise FilterError(f"expected {' or '.join(kinds)} at {token.at}, not {token.text}")
        self._next += 1
        return token.text

    def _expect_word(self, word: str) -> None:
        if self.expect("word") != word:
            raise FilterError(f"expected {word} at {self._tokens[self._next - 1].at}")

    def expression(self) -> Predicate:
        terms = [self._term()]
        operator = self._peek()
        if operator not in ("AND", "OR"):
            return terms[0]
        while self._peek() == operator:
            self._next += 1
            terms.append(self._term())
        if self._peek() in ("AND", "OR"):
            raise FilterError("AND and OR together need parentheses")
        if operator == "AND":
            return lambda attributes: all(term(attributes) for term in terms)
        return lambda attributes: any(term(attributes) for term in terms)

    def _term(self) -> Predicate:
        if self._peek() in ("NOT", "-"):
            self._next += 1
            inner = self._term()
            return lambda attributes: not inner(attributes)
        if self._peek() == "(":
            self._next += 1
            inner = self.expression()
            self.expect(")")
            return inner
        if self._tokens[self._next].text == "hasPrefix":
            return self._has_prefix()
        return self._comparison()

    def _has_prefix(self) -> Predicate:
        self._expect_word("hasPrefix")
        self.expect("(")
        self._expect_word("attributes")
        self.expect(".")
        key = self.expect("word", "string")
        self.expect(",")
        prefix = self.expect("string")
        self.expect(")")
        return lambda attributes: key in attributes and attributes[key].startswith(prefix)

    def _comparison(self) -> Predicate:
        self._expect_word("attributes")
        if self.expect(":", ".") == ":":
            key = self.expect("word", "string")
            return lambda attributes: key in attributes
        key = self.expect("word", "string")
        operator = self.expect("=", "!=")
        value = self.expect("string")
        if operator == "=":
            return lambda attributes: attributes.get(key) == value
        return lambda attributes: attributes.get(key) != value
