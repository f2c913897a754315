"""One small request to a CloudFront distribution, to see whether it takes our signature."""

from __future__ import annotations

import io

import pycurl

from transfer.backends.http.exchange import parse_headers
from transfer.backends.http.tls import ca_bundle
from transfer.preflight.edge_answers import EdgeAnswer

CONNECT_TIMEOUT_S = 10
TIMEOUT_S = 30
MAX_BODY_BYTES = 16 * 1024


class EdgeUnreachable(Exception):
    """No HTTP answer: name resolution, connection, TLS or time-out. The message is libcurl's own, without the URL."""


def probe_edge(base_url: str, path: str, query: str) -> EdgeAnswer:
    """Ask for the first byte of an object, with the certificate verified and no redirect followed.

    Args:
        base_url: scheme and host without a trailing slash.
        path: escaped, without a leading slash.
        query: what an authorizer returned for a prefix of the path.

    Raises:
        EdgeUnreachable: there was no answer.
    """
    body = io.BytesIO()
    headers = io.BytesIO()

    def keep(piece: bytes) -> int:
        if body.tell() < MAX_BODY_BYTES:
            body.write(piece)
        return len(piece)

    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, f"{base_url}/{path}?{query}".rstrip("?"))
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.RANGE, "0-0")
        curl.setopt(pycurl.CAINFO, ca_bundle())
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S)
        curl.setopt(pycurl.TIMEOUT, TIMEOUT_S)
        curl.setopt(pycurl.NOSIGNAL, 1)  # libcurl's alarm() would hit whatever thread is running
        curl.setopt(pycurl.WRITEFUNCTION, keep)
        curl.setopt(pycurl.HEADERFUNCTION, headers.write)
        curl.perform()
        status = curl.getinfo(pycurl.RESPONSE_CODE)
    except pycurl.error as error:
        raise EdgeUnreachable(str(error.args[1])) from None
    finally:
        curl.close()
    return EdgeAnswer(
        status=status,
        headers=parse_headers([headers.getvalue()]),
        text=body.getvalue().decode("utf-8", "replace"),
    )
