"""`python -m localcloud.pubsub --data DIR --port 0`: prints its ready line and serves until it is stopped."""

import argparse
from pathlib import Path

from localcloud.lifecycle import serve_until_stopped
from localcloud.pubsub.server import PubSubServer

parser = argparse.ArgumentParser(prog="localcloud.pubsub", description="A local Google Cloud Pub/Sub.")
parser.add_argument("--data", type=Path, metavar="DIR", help="keep everything here across restarts; default: memory")
parser.add_argument("--host", default="127.0.0.1", help="a loopback address; default: %(default)s")
parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
arguments = parser.parse_args()

serve_until_stopped("pubsub", PubSubServer(arguments.data, host=arguments.host, port=arguments.port))
