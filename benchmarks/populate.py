"""Puts the objects of a benchmark into a source bucket that somebody else serves."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig

from benchmarks.servers import Endpoints
from benchmarks.workloads import ETAG_PART_BYTES, Workload, write_content

THREADS = 8


def populate(endpoints: Endpoints, workloads: Iterable[Workload]) -> None:
    """Upload what is missing of each folder; credentials and region come from the environment, as everywhere.

    Objects that are there with the right size are left alone. Nothing is removed afterwards.
    """
    client = boto3.client("s3", endpoint_url=endpoints.s3_url)
    config = TransferConfig(multipart_threshold=ETAG_PART_BYTES, multipart_chunksize=ETAG_PART_BYTES)
    for workload in workloads:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=endpoints.source_bucket, Prefix=f"{workload.name}/"
        )
        present = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}
        wanted = [workload.key(index) for index in range(workload.count)]
        missing = [key for key in wanted if present.get(key) != workload.size_bytes]
        if not missing:
            continue
        print(f"uploading {len(missing):,} objects of {workload}", flush=True)
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(THREADS) as pool:
            path = Path(folder) / "content"
            write_content(path, workload.size_bytes)
            uploads = [
                pool.submit(client.upload_file, str(path), endpoints.source_bucket, key, Config=config)
                for key in missing
            ]
            for upload in uploads:
                upload.result()
