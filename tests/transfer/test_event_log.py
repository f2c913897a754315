"""What never leaves in a log, and what an entry is called."""

from __future__ import annotations

import pytest

from transfer.errors import Stage
from transfer.event_log import EventName, failure_name
from transfer.plain_text import redact

SIGNED = "Policy=eyJTdGF0~_-&Signature=AbC~_-x&Key-Pair-Id=K2EXAMPLE&Hash-Algorithm=SHA256"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"GET https://d1.net/a%20b?{SIGNED} failed", "GET https://d1.net/a%20b?[redacted] failed"),
        (f"'https://d1.net/a?{SIGNED}'", "'https://d1.net/a?[redacted]'"),
        (f"https://d1.net/a?versionId=3&{SIGNED}", "https://d1.net/a?[redacted]"),
        ("https://d1.net/a?Expires=1&Signature=x&Key-Pair-Id=K", "https://d1.net/a?[redacted]"),
        (f"query {SIGNED}", "query Policy=[redacted]&Signature=[redacted]&Key-Pair-Id=K2EXAMPLE&Hash-Algorithm=SHA256"),
        ("u=https%3A%2F%2Fd1%3FSignature%3DAbC%26Key-Pair-Id%3DK", "u=https%3A%2F%2Fd1%3FSignature%3D[redacted]"),
        ("https://s3/b/k?X-Amz-Credential=A&X-Amz-Signature=b", "https://s3/b/k?[redacted]"),
        ("PUT https://gcs/upload?name=x&upload_id=ABPtc", "PUT https://gcs/upload?[redacted]"),
        ("Authorization: Bearer ya29.a0-_x.Y/z==", "Authorization: Bearer [redacted]"),
        ("key -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n!", "key [redacted]\n!"),
        ("key -----BEGIN PRIVATE KEY-----\nMIIE cut", "key [redacted]"),
        ("https://d1.net/a?versionId=3 is left alone", "https://d1.net/a?versionId=3 is left alone"),
        ("Signature mismatch? Policy: none", "Signature mismatch? Policy: none"),
        ("", ""),
    ],
)
def test_redact(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact(expected) == expected, "twice is as good as once"


def test_every_stage_has_a_name() -> None:
    names = {stage: failure_name(stage) for stage in Stage}
    assert names.pop(Stage.DOWNLOAD) is EventName.OBJECT_DOWNLOAD_ERROR
    assert names.pop(Stage.UPLOAD) is EventName.OBJECT_UPLOAD_ERROR
    assert set(names.values()) == {EventName.FILE_HANDLING_ERROR}


def test_redact_takes_linear_time() -> None:
    assert redact("?" * 1_000_000) == "?" * 1_000_000
    assert redact("-----BEGIN PRIVATE KEY-----" * 10_000) == "[redacted]"
