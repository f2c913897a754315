"""`python -m localcloud.cloudlogging --data DIR --port 0`: prints its ready line and serves until it is stopped."""

import argparse
from pathlib import Path

from localcloud.cloudlogging.server import LoggingServer
from localcloud.lifecycle import serve_until_stopped

parser = argparse.ArgumentParser(prog="localcloud.cloudlogging", description="A local Google Cloud Logging.")
parser.add_argument("--data", type=Path, metavar="DIR", help="keep everything here across restarts; default: memory")
parser.add_argument("--host", default="127.0.0.1", help="a loopback address; default: %(default)s")
parser.add_argument("--port", type=int, default=0, help="of the JSON API; 0, the default, takes a free one")
arguments = parser.parse_args()

server = LoggingServer(arguments.data, host=arguments.host, port=arguments.port)
serve_until_stopped("logging", server, grpc_url=server.grpc_url)
