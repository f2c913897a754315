"""`python -m localcloud [--data DIR]`: run the local cloud, print what to export, wait for Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import threading
from pathlib import Path

from localcloud.supervisor import LocalCloud, ServiceFailed


def main() -> int:
    """Run the local cloud until a signal stops it; returns 1 if it did not start."""
    parser = argparse.ArgumentParser(
        prog="python -m localcloud",
        description="S3, CloudFront, Pub/Sub, Cloud Storage and Cloud Logging on loopback. Prints the environment to "
        "export, for `. FILE` in a shell, then runs until Ctrl-C or SIGTERM.",
    )
    parser.add_argument("--data", type=Path, help="keep the data here; default: a directory removed at the end")
    parser.add_argument("--source-bucket", default="edgehaul-source", help="the S3 bucket; default: %(default)s")
    parser.add_argument(
        "--destination-bucket", default="edgehaul-destination", help="the GCS bucket; default: %(default)s"
    )
    options = parser.parse_args()

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with tempfile.TemporaryDirectory(prefix="localcloud-") as temporary:
        cloud = LocalCloud(
            options.data or Path(temporary),
            source_bucket=options.source_bucket,
            destination_bucket=options.destination_bucket,
        )
        try:
            with cloud:
                for name, value in cloud.environment().items():
                    print(f"export {name}={shlex.quote(value)}")
                print(f"# the public distribution: {cloud.public_edge_url}", flush=True)
                while not stopped.wait(1.0):
                    pass
        except ServiceFailed as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
