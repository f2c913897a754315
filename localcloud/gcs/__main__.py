"""`python -m localcloud.gcs --data DIR`: serve until SIGTERM."""

from __future__ import annotations

import argparse
from pathlib import Path

from localcloud.gcs.server import GcsServer
from localcloud.lifecycle import serve_until_stopped


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="localcloud.gcs", description="Cloud Storage on loopback")
    parser.add_argument("--data", type=Path, required=True, help="directory of the buckets; made if absent")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to bind")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--bucket", action="append", default=[], help="bucket to create; may be repeated")
    options = parser.parse_args()
    server = GcsServer(options.data, host=options.host, port=options.port, buckets=options.bucket)
    serve_until_stopped("gcs", server, console_url=server.console_url)


if __name__ == "__main__":
    main()
