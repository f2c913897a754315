"""Downloads of a run's records from a real server of Cloud Storage, by the run's own connection."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from localcloud.faults import Fault
from localcloud.gcs import GcsServer
from operators.run_identity import run_name
from seeded_runs import REPORT, SeededRun
from transfer.backends.gcs import files
from transfer.records import csv_file

RUN_ID = "manual__2026-11-29T10:00:00+00:00"
QUERY = {"dag_id": "s3_to_gcs", "run_id": RUN_ID}
FOLDER = f".edgehaul/{run_name('s3_to_gcs', RUN_ID)}/"
HOSTILE = ["<img src=x onerror=alert(1)>", "=cmd()", "\u202egnp.exe", "é" * 500, 'a,"b"\r\nc']


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    running = GcsServer(tmp_path_factory.mktemp("gcs"), buckets=["archive"])
    running.start()
    yield running
    running.stop()


@pytest.fixture
def bucket(server: GcsServer, google: Callable[[str], None]) -> storage.Bucket:
    server.faults.replace([])
    google(server.url)
    client = storage.Client("test", AnonymousCredentials(), client_options={"api_endpoint": server.url})
    found = client.bucket("archive")
    for blob in client.list_blobs(found):
        blob.delete()
    return found


@pytest.fixture
def opened(seed: Callable[..., SeededRun]) -> SeededRun:
    run = seed(RUN_ID, state="failed")
    run.listed(10, 100)
    run.task("verify", "failed")
    run.xcom("verify", "report", REPORT)
    run.session.commit()
    return run


class Records:
    """The store that CsvFile writes to."""

    def __init__(self, bucket: storage.Bucket) -> None:
        self._bucket = bucket

    def write(self, name: str, body: bytes, *, content_type: str, metadata: object = None) -> None:
        self._bucket.blob(FOLDER + name).upload_from_string(body, content_type)

    def entries(self, prefix: str) -> Iterator[object]:
        return iter(())


def get(client: TestClient, name: str) -> tuple[int, str]:
    answer = client.get("/run/download", params={**QUERY, "name": name})
    return answer.status_code, answer.text


def test_all_parts_of_a_csv_file_are_one_download(
    bucket: storage.Bucket, opened: SeededRun, viewer: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "MAX_ROWS", 2)  # three files
    monkeypatch.setattr(files, "PIECE_BYTES", 100)  # each read in several pieces
    written = csv_file.CsvFile(Records(bucket), "failures", ("key", "reason"))  # type: ignore[arg-type]
    for key in HOSTILE:
        written.add((key, "SourceForbidden"))
    written.close()
    answer = viewer.get("/run/download", params={**QUERY, "name": "failures.csv"})
    rows = list(csv.reader(io.StringIO(answer.content.decode(), newline="")))
    assert rows[0] == ["key", "reason"]
    assert [csv_file.unescape_cell(row[0]) for row in rows[1:]] == HOSTILE
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    name = f"{run_name('s3_to_gcs', RUN_ID)}-failures.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_a_page_of_one_file_is_never_shown_by_the_browser(
    bucket: storage.Bucket, opened: SeededRun, viewer: TestClient
) -> None:
    bucket.blob(f"{FOLDER}report.html").upload_from_string("<script>alert(1)</script>", "text/html")
    answer = viewer.get("/run/download", params={**QUERY, "name": "report.html"})
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-disposition"].startswith("attachment;")


def test_a_record_that_is_missing_says_so(bucket: storage.Bucket, opened: SeededRun, viewer: TestClient) -> None:
    status, text = get(viewer, "archived.csv")
    assert status == 404
    assert "archived.csv is not among the records of this run in gs://archive" in text
    assert "keep_runs" in text
    assert "Back to the run" in text


def test_a_download_of_another_name_says_which_there_are(opened: SeededRun, viewer: TestClient) -> None:
    status, text = get(viewer, "../../other/secret")
    assert status == 404
    assert "choose failures.csv, archived.csv" in text


def test_what_cloud_storage_refuses_is_one_sentence(
    server: GcsServer, bucket: storage.Bucket, opened: SeededRun, viewer: TestClient
) -> None:
    server.faults.replace([Fault(match="GET ", action="status", status=403)])
    status, text = get(viewer, "failures.csv")
    assert status == 502
    assert "failures.csv cannot be read with the connection" in text


def test_a_connection_that_the_api_server_does_not_have_is_named(
    opened: SeededRun, viewer: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", raising=False)
    status, text = get(viewer, "failures.csv")
    assert status == 502
    assert "google_cloud_default" in text


def test_a_run_that_was_never_opened_has_no_records(seed: Callable[..., SeededRun], viewer: TestClient) -> None:
    run = seed(RUN_ID, state="failed")
    run.task("preflight", "failed")
    run.session.commit()
    status, text = get(viewer, "failures.csv")
    assert status == 404
    assert "it was never opened" in text


def test_what_a_task_handed_over_cannot_point_to_other_objects(
    bucket: storage.Bucket, seed: Callable[..., SeededRun], viewer: TestClient
) -> None:
    bucket.blob("secret/failures.csv").upload_from_string("secret")
    run = seed(RUN_ID, state="failed")
    run.task("open_run")
    run.render("open_run")
    run.xcom("open_run", "return_value", {"transfer_id": "../secret-1-x", "state_bucket": "", "open_task": "../secret"})
    run.session.commit()
    assert get(viewer, "failures.csv")[0] == 404
