"""Requests and failures come back from their messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import (
    InvalidMessage,
    Stage,
)
from transfer.model import ObjectMeta, TransferFailure, TransferRequest
from transfer.records.messages import decode_failure, decode_request, encode_failure, encode_request

metas = st.builds(
    ObjectMeta,
    key=st.text(min_size=1),
    size_bytes=st.integers(0, 2**45),
    etag=st.text(min_size=1, max_size=40),
    last_modified_s=st.integers(0, 2**33),
    storage_class=st.sampled_from(["STANDARD", "STANDARD_IA"]),
    replaces_generation=st.integers(0, 2**60),
)
requests = st.builds(
    TransferRequest,
    run_id=st.text(),
    listing=st.text(),
    number=st.integers(0, 2**40),
    objects=st.lists(metas, min_size=1, max_size=5).map(tuple),
)


@given(requests)
def test_a_request_comes_back_from_its_message(request: TransferRequest) -> None:
    assert decode_request(*encode_request(request)) == request


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(lambda x: repr(x).encode()))
def test_anything_else_is_an_invalid_message(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_request(body, {"run": "r", "listing": "1"})
    with pytest.raises(InvalidMessage):
        decode_failure(body)


def test_a_failure_comes_back_from_its_message() -> None:
    failure = TransferFailure(
        key="kéy", stage=Stage.DOWNLOAD, error_code="SourceNotFound", http_status=404, attempts=2, message="gone"
    )
    body, attributes = encode_failure(failure, run_id="r")
    assert decode_failure(body) == failure
    assert attributes == {"run": "r", "stage": "download", "error_code": "SourceNotFound"}
