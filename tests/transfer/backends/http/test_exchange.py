"""Every error of libcurl becomes an error of the engine."""

from __future__ import annotations

import pycurl
import pytest

from transfer.backends.http.exchange import curl_error
from transfer.errors import (
    EndpointRejected,
    SinkUnavailable,
    SourceUnavailable,
    Stage,
)

CURL_ERRORS = sorted(
    {value for name, value in vars(pycurl).items() if name.startswith("E_") and isinstance(value, int)}
)


@pytest.mark.parametrize("number", [number for number in CURL_ERRORS if number > 0])
def test_every_libcurl_error_is_mapped(number: int) -> None:
    error = curl_error(pycurl.error(number, "said"), unavailable=SourceUnavailable, stage=Stage.DOWNLOAD)
    assert isinstance(error, SourceUnavailable | EndpointRejected)
    assert "said" in error.message


def test_an_untrusted_certificate_is_fatal_and_a_broken_connection_is_not() -> None:
    for number, kind in ((pycurl.E_PEER_FAILED_VERIFICATION, EndpointRejected), (pycurl.E_RECV_ERROR, SinkUnavailable)):
        assert isinstance(curl_error(pycurl.error(number, ""), unavailable=SinkUnavailable, stage=Stage.UPLOAD), kind)
