"""One listing of the benchmark's bucket by the engine or by boto3, in a separate process.

Reads a task from standard input and prints its numbers as the last line, as `benchmarks.engine` does.
"""

from __future__ import annotations

import json
import sys

import boto3

from benchmarks.listing import ENGINE
from benchmarks.listing_server import BUCKET
from benchmarks.measure import Meter, PeerFailed
from transfer.backends.s3.listing import list_objects


def main() -> None:
    """Run one task: `client`, `url`, and `keys`, how many to list."""
    task = json.load(sys.stdin)
    s3 = boto3.client("s3", endpoint_url=task["url"])
    meter = Meter()
    if task["client"] == ENGINE:
        keys = sum(1 for _ in list_objects(s3, BUCKET, ""))
    else:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"MaxItems": task["keys"]})
        keys = sum(1 for page in pages for _ in page["Contents"])
    usage = meter.stop()
    if keys != task["keys"]:
        raise PeerFailed(f"{keys} of {task['keys']} keys were listed")
    print(json.dumps({**usage.to_json(), "keys": keys}))


if __name__ == "__main__":
    main()
