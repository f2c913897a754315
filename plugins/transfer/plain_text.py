"""What others wrote (a server, a key, a library) as text that may be shown: no secrets, one printable line, not endless.

Applied where an error gets its message, so that logs, the error topic, failures.csv and report.json all have it.
"""

from __future__ import annotations

import re

REDACTED = "[redacted]"
MAX_CHARACTERS = 2_000
"""Of a message. A server may answer with a page, a proxy with a book."""
_CUT = " … "
_END = 200
"""Characters kept of the end: what to do stands there."""

# A parameter begins at a word boundary, or after an escape where a URL stands inside another one's query.
_PARAMETER = (
    r"(?:\b|(?<=%[0-9A-F]{2}))"
    r"((?:Signature|Policy|X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-Signature|upload_id)(?:=|%3D))"
)
_SIGNED_QUERY = re.compile(rf"\?[^\s\"'<>?]*?{_PARAMETER}[^\s\"'<>]*", re.IGNORECASE)
_BARE_PARAMETER = re.compile(rf"{_PARAMETER}[^\s\"'<>&]*", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_TOKEN = re.compile(
    r"(\b(?:access_token|refresh_token|id_token|client_secret|assertion)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+"
)
# To the end of the text when the END line is missing: a key that was cut short is still a key.
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)


def redact(text: str) -> str:
    """The text without anything that opens a door: signed query strings, upload sessions, bearer tokens, private keys.

    A URL loses its whole query string as soon as one parameter of it is secret.
    """
    text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _SIGNED_QUERY.sub(f"?{REDACTED}", text)
    text = _BARE_PARAMETER.sub(rf"\1{REDACTED}", text)
    text = _TOKEN.sub(rf"\1{REDACTED}", text)
    return _BEARER.sub(rf"\1{REDACTED}", text)


def one_line(text: str, most: int = MAX_CHARACTERS) -> str:
    """The text redacted, what cannot be printed escaped as Python writes it, and cut in its middle if it is long.

    Escaped are control characters, line breaks, marks that turn the direction of writing, and lone surrogates. Twice is as
    good as once.
    """
    text = redact(_shortened(text, 16 * most))  # what is far too long is not even searched for secrets
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else repr(character)[1:-1] for character in _shortened(text, most)
        )
    return _shortened(text, most)


def block(text: str) -> str:
    """Many lines, as of a traceback, each of them plain and behind a bar: none can pass for a line of the log itself."""
    return "\n".join(f"    | {one_line(line)}" for line in redact(text).split("\n") if line)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = min(_END, most // 4)
    return text[: most - end - len(_CUT)] + _CUT + text[len(text) - end :]
