"""The peers of the engine, each of which copies one folder in a separate process.

rclone is a program; the rest are Python, run as `python -m benchmarks.peers` with a task on standard input.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycurl

from benchmarks.measure import Meter, PeerFailed

CHUNK_BYTES = 32 * 1024 * 1024
"""`upload_chunks_concurrently`'s own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTask:
    """One copy of one folder: `keys` all have `size_bytes`."""

    peer: str
    s3_url: str
    edge_url: str
    edge_query: str
    gcs_url: str
    run_id: str
    folder: str
    keys: list[str]
    size_bytes: int
    threads: int
    source_bucket: str
    destination_bucket: str


def rclone_command(
    s3_url: str, gcs_url: str, source: str, destination: str, *, threads: int, is_checked: bool
) -> list[str]:
    """A copy with what a careful user would set: as many transfers as threads, one listing, no HEAD for each object.

    `is_checked` keeps rclone's look at the destination and its comparison of hashes, where there are any.
    """
    rclone = Path(sys.executable).with_name("rclone")
    command = [str(rclone) if rclone.exists() else shutil.which("rclone") or "rclone"]
    command += ["copy", f":s3:{source}", f":gcs:{destination}", "--config", ""]
    command += ["--s3-provider", "Other", "--s3-endpoint", s3_url, "--s3-list-version", "2"]
    command += ["--s3-access-key-id", os.environ.get("AWS_ACCESS_KEY_ID", "bench")]
    command += ["--s3-secret-access-key", os.environ.get("AWS_SECRET_ACCESS_KEY", "bench")]
    command += ["--gcs-endpoint", f"{gcs_url}/storage/v1/", "--gcs-anonymous"]
    command += ["--gcs-bucket-policy-only", "--gcs-no-check-bucket"]
    command += ["--transfers", str(threads), "--checkers", str(max(threads, 8))]
    command += ["--use-server-modtime", "--fast-list", "--retries", "1", "--stats", "0"]
    return command if is_checked else [*command, "--no-check-dest", "--ignore-checksum"]


def operator(task: PeerTask) -> None:
    """`S3ToGCSOperator.execute`, which copies one object after another through a temporary file."""
    from airflow.providers.google.cloud.transfers.s3_to_gcs import S3ToGCSOperator

    S3ToGCSOperator(
        task_id="bench",
        bucket=task.source_bucket,
        prefix=f"{task.folder}/",
        dest_gcs=f"gs://{task.destination_bucket}/{task.run_id}/",
        replace=True,
    ).execute(context={})


def transfer_manager(task: PeerTask) -> None:
    """Files fetched by a pool of boto3 clients, then google-cloud-storage's `transfer_manager` on as many threads."""
    import boto3
    from google.cloud.storage import transfer_manager as manager

    bucket = _bucket(task)
    s3 = boto3.client("s3", endpoint_url=task.s3_url, region_name="us-east-1")
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder, ThreadPoolExecutor(task.threads) as pool:

        def fetch(key: str) -> None:
            s3.download_file(task.source_bucket, key, f"{folder}/{Path(key).name}")

        list(pool.map(fetch, task.keys))
        names = [Path(key).name for key in task.keys]
        if task.size_bytes > CHUNK_BYTES:
            for name in names:
                blob = bucket.blob(f"{task.run_id}/{name}")
                manager.upload_chunks_concurrently(
                    f"{folder}/{name}", blob, worker_type=manager.THREAD, max_workers=task.threads
                )
            return
        manager.upload_many_from_filenames(
            bucket,
            names,
            source_directory=folder,
            blob_name_prefix=f"{task.run_id}/",
            worker_type=manager.THREAD,
            max_workers=task.threads,
            raise_exception=True,
        )


def script(task: PeerTask) -> None:
    """A thread pool; for each object a GET into a temporary file and `upload_from_filename`."""
    bucket = _bucket(task)
    local = threading.local()

    def copy(key: str) -> None:
        if not hasattr(local, "curl"):
            local.curl = pycurl.Curl()
        with tempfile.NamedTemporaryFile(dir=_scratch()) as file:
            local.curl.setopt(pycurl.URL, f"{task.edge_url}/{key}?{task.edge_query}".rstrip("?"))
            local.curl.setopt(pycurl.FAILONERROR, 1)
            local.curl.setopt(pycurl.NOSIGNAL, 1)
            local.curl.setopt(pycurl.WRITEDATA, file)
            local.curl.perform()
            file.flush()
            bucket.blob(f"{task.run_id}/{Path(key).name}").upload_from_filename(file.name)

    with ThreadPoolExecutor(task.threads) as pool:
        list(pool.map(copy, task.keys))


PYTHON_PEERS: dict[str, Callable[[PeerTask], None]] = {
    "operator": operator,
    "transfer_manager": transfer_manager,
    "script": script,
}


def _bucket(task: PeerTask) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(
        project="bench", credentials=AnonymousCredentials(), client_options={"api_endpoint": task.gcs_url}
    )
    return client.bucket(task.destination_bucket)


def _scratch() -> str | None:
    """tmpfs where there is one, so that no peer waits for a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def main() -> None:
    """Run one task and print its numbers as the last line."""
    fields: dict[str, Any] = json.load(sys.stdin)
    task = PeerTask(**fields)
    run = PYTHON_PEERS.get(task.peer)
    if run is None:
        raise PeerFailed(f"no such peer: {task.peer}")
    if task.peer == "operator":  # its imports are Airflow: not part of the copying
        import airflow.providers.google.cloud.transfers.s3_to_gcs  # noqa: F401
    meter = Meter()
    run(task)
    usage = meter.stop()
    print(json.dumps({**usage.to_json(), "objects": len(task.keys), "bytes": len(task.keys) * task.size_bytes}))


if __name__ == "__main__":
    main()
