"""Makes text from servers, keys and libraries safe to show: without secrets, one printable line, of limited length.

It is applied when an error gets its message, so logs, the error topic, failures.csv and report.json all contain safe text.
"""

from __future__ import annotations

import re

REDACTED = "[redacted]"
MAX_CHARACTERS = 2_000
"""The longest message; a server or proxy may answer with a whole page."""
_CUT = " … "
_END = 200
"""The number of characters kept of the end, which often says what to do."""

# A parameter starts at a word boundary, or after an escape if the URL is inside the query of another URL.
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
# To the end of the text when the END line is missing: a truncated key is still secret.
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)


def redact(text: str) -> str:
    """The text without secrets: signed query strings, upload sessions, bearer tokens, private keys.

    The whole query string of a URL is removed if one of its parameters is secret.
    """
    text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _SIGNED_QUERY.sub(f"?{REDACTED}", text)
    text = _BARE_PARAMETER.sub(rf"\1{REDACTED}", text)
    text = _TOKEN.sub(rf"\1{REDACTED}", text)
    return _BEARER.sub(rf"\1{REDACTED}", text)


def one_line(text: str, most: int = MAX_CHARACTERS) -> str:
    """The text redacted, with unprintable characters escaped as in Python, and shortened in the middle to `most` characters.

    Control characters, line breaks, bidirectional marks and lone surrogates are escaped. The function is idempotent.
    """
    text = redact(_shortened(text, 16 * most))  # far longer text is cut first, to limit the search for secrets
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else repr(character)[1:-1] for character in _shortened(text, most)
        )
    return _shortened(text, most)


def block(text: str) -> str:
    """Several lines (a traceback), each made safe and prefixed with a bar, so that none can imitate a line of the log."""
    return "\n".join(f"    | {one_line(line)}" for line in redact(text).split("\n") if line)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = min(_END, most // 4)
    return text[: most - end - len(_CUT)] + _CUT + text[len(text) - end :]
