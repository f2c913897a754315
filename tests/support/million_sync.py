"""Lists a million objects on both sides in a separate process, and prints its peak memory, seconds and counts as JSON.

python million_sync.py URL FOLDER, where URL is that of benchmarks.listing_server
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import boto3
from google.auth.credentials import AnonymousCredentials

from benchmarks.listing_server import BUCKET
from benchmarks.measure import Meter
from counting_publisher import CountingPublisher
from hooks.assembly import Destination, GcsEndpoint
from memory_state import DirectoryState
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.s3.listing import list_objects
from transfer.config import Overwrite
from transfer.listing.publish import Lister, ListingJob
from transfer.naming import Naming
from transfer.records.manifest import Manifest


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    publisher = CountingPublisher()
    s3 = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    endpoint = GcsEndpoint(base_url=url, token=GoogleToken(AnonymousCredentials()))
    destination = Destination(endpoint=endpoint, bucket=BUCKET)
    meter, started = Meter(), time.monotonic()
    naming = Naming(source_prefix="", destination_prefix="", state_prefix=".edgehaul/")
    job = ListingJob(run_id="run", listing="1", naming=naming, overwrite=Overwrite.CHANGED)
    counts = (
        Lister(job, publisher=publisher, manifest=Manifest(DirectoryState(folder), "1"))
        .run(
            list_objects(s3, BUCKET, ""),
            destination.listing().objects("", leave_out=".edgehaul/", is_dated=False),
            stop=destination.stop,
        )
        .counts
    )
    seconds, usage = time.monotonic() - started, meter.stop()
    found = {
        "listed": counts.listed,
        "skipped": counts.skipped,
        "published": publisher.objects,
        "messages": publisher.messages,
        "seconds": seconds,
        "cpu_us_per_key": usage.cpu_s / counts.listed * 1e6,
        "peak_mib": usage.peak_rss_bytes / 1024**2,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
