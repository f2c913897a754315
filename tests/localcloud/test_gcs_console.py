"""The pages that links to Google's console open on the local cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import requests

from demo.verify import gcs_client
from localcloud.gcs import GcsServer
from operators.links import CONSOLE_SETTING, destination_url, object_url

HOSTILE = "runs/<img src=x onerror=alert(1)>; ?#&.json"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    server = GcsServer(tmp_path, buckets=["records"])
    server.start()
    monkeypatch.setenv(CONSOLE_SETTING, server.console_url)
    bucket = gcs_client(server.url, "p").bucket("records")
    bucket.blob("runs/1/report.json").upload_from_string('{"copied": 1}')
    bucket.blob(HOSTILE).upload_from_string("<script>alert(1)</script>", content_type="text/html")
    yield server
    server.stop()


def test_a_folder_lists_its_folders_and_objects_as_text(server: GcsServer) -> None:
    page = requests.get(destination_url("records", "runs/"), timeout=10)
    assert page.status_code == 200
    assert "runs/1/</a> folder" in page.text
    assert "runs/&lt;img src=x onerror=alert(1)&gt;; ?#&amp;.json</a> 25 bytes" in page.text
    assert "<img" not in page.text
    assert "runs/1/" in requests.get(destination_url("records", "runs/1"), timeout=10).text, "the filter of the folder"
    assert "runs/" in requests.get(destination_url("records", ""), timeout=10).text


def test_an_object_is_shown_as_text_whatever_it_is(server: GcsServer) -> None:
    assert urlopen(object_url("gs://records/runs/1/report.json")).read() == b'{"copied": 1}'
    page = requests.get(object_url(f"gs://records/{HOSTILE}"), timeout=10)
    assert page.text == "<script>alert(1)</script>"
    assert page.headers["Content-Type"].startswith("text/plain")
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_it_only_reads_and_has_nothing_else(server: GcsServer) -> None:
    address = object_url("gs://records/runs/1/report.json")
    assert requests.delete(address, timeout=10).status_code == 404
    assert requests.get(address, timeout=10).status_code == 200
    assert requests.get(f"{server.console_url}/logs/query", timeout=10).status_code == 404
    assert requests.get(object_url("gs://records/runs/2/report.json"), timeout=10).status_code == 404
    assert requests.get(destination_url("missing", ""), timeout=10).status_code == 404
