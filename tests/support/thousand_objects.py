"""A thousand objects of the local S3, and an independent reader's comparison of what a run has made of them.

python thousand_objects.py fill|compare DESTINATION_PREFIX, with the environment that `python -m localcloud` prints
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from demo.upload import s3_client
from demo.verify import Verification, gcs_client, verify

OBJECTS = 1000
SOURCE_PREFIX = "data/"
SOURCE_BUCKET, DESTINATION_BUCKET = "edgehaul-source", "edgehaul-destination"


def fill(cloud: Mapping[str, str]) -> None:
    """Put the objects into the source: small ones, empty ones, and one that is copied in parts."""
    draw = random.Random(20261129)
    bodies = {
        f"{SOURCE_PREFIX}{index % 17:02}/{index:05}": draw.randbytes(draw.choice((0, 1, 100, 4096, 20_000)))
        for index in range(OBJECTS - 1)
    }
    bodies[f"{SOURCE_PREFIX}large"] = draw.randbytes(17 * 1024 * 1024)
    s3 = _s3(cloud)
    for number, (key, body) in enumerate(bodies.items()):
        s3.put_object(Bucket=SOURCE_BUCKET, Key=key, Body=body, Metadata={"number": str(number)})


def compared(cloud: Mapping[str, str], destination_prefix: str) -> Verification:
    """What a reader that shares no code with the engine finds on both sides."""
    return verify(
        _s3(cloud),
        SOURCE_BUCKET,
        gcs_client(cloud["STORAGE_EMULATOR_HOST"], cloud["GOOGLE_CLOUD_PROJECT"]),
        DESTINATION_BUCKET,
        source_prefix=SOURCE_PREFIX,
        destination_prefix=destination_prefix,
    )


def conf(destination_prefix: str, **more: object) -> dict[str, object]:
    """The parameters of a run that copies all of them."""
    return {
        "source_bucket": SOURCE_BUCKET,
        "source_prefix": SOURCE_PREFIX,
        "destination_bucket": DESTINATION_BUCKET,
        "destination_prefix": destination_prefix,
        "workers": 4,
        "threads": 8,
        "part_size_mib": 8,
        **more,
    }


def _s3(cloud: Mapping[str, str]) -> Any:
    keys = ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    return s3_client(*(cloud[key] for key in keys))


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(os.environ)
    else:
        print(json.dumps(asdict(compared(os.environ, sys.argv[2]))))
