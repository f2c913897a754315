"""`python -m localcloud.edge`: a distribution as a separate process."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from localcloud.edge.server import EdgeServer
from localcloud.lifecycle import serve_until_stopped


def _read_key_pair(pair: str) -> tuple[str, str]:
    key_pair_id, separator, file = pair.partition("=")
    if not separator:
        raise ValueError(f"--key-pair {pair}: expected ID=PEM_FILE")
    return key_pair_id, Path(file).read_text()


def main() -> None:
    """Run the server until it is stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m localcloud.edge",
        description="a local CloudFront distribution; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY open its origin",
    )
    parser.add_argument("--origin", required=True, metavar="URL", help="the S3 endpoint")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--region", default=os.environ.get("AWS_REGION", "us-east-1"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--public", action="store_true", help="serve unsigned URLs too")
    parser.add_argument("--key-pair", action="append", default=[], metavar="ID=PEM_FILE", help="may be repeated")
    parser.add_argument("--caching", choices=("disabled", "optimized"), default="disabled")
    parser.add_argument("--error-ttl", type=float, default=10, metavar="SECONDS", help="how long errors are cached")
    options = parser.parse_args()
    try:
        key_pairs = dict(_read_key_pair(pair) for pair in options.key_pair)
        server = EdgeServer(
            options.origin,
            options.bucket,
            access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            region=options.region,
            host=options.host,
            port=options.port,
            key_pairs=key_pairs,
            restrict=not options.public,
            caching=options.caching,
            error_ttl_s=options.error_ttl,
        )
    except KeyError as error:
        parser.error(f"the origin's credentials are missing: set {error}")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    serve_until_stopped("edge", server)


if __name__ == "__main__":
    main()
