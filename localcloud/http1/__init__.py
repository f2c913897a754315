"""A small threaded HTTP/1.1 server: raw request targets, streamed bodies, sendfile, faults, and a control path.

Written for the edge and the Cloud Storage stand-ins: `http.server` unescapes nothing but parses slowly, and every
framework normalises paths (`//`, `..`, `%2B`), which are exactly what has to arrive untouched here.
"""

from localcloud.http1.connection import COPY_BYTES, ConnectionBroken
from localcloud.http1.exchange import Exchange
from localcloud.http1.server import HttpServer

__all__ = ["COPY_BYTES", "ConnectionBroken", "Exchange", "HttpServer"]
