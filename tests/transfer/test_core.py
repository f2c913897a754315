"""The small rooms of the core: naming, messages, metadata, retries, verdicts."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.backends.http.loop import complete
from transfer.comparison import evidence_of, holds
from transfer.config import Overwrite, RetryPolicy, TransferConfig
from transfer.copying.metadata import resource_of
from transfer.errors import (
    InvalidMessage,
    InvalidName,
    RetriesExhausted,
    SourceMetadataWithheld,
    SourceUnavailable,
    Stage,
    Stopped,
    Throttled,
    TransferError,
)
from transfer.listing.decision import decide
from transfer.model import DestinationObject, Evidence, ObjectMeta, SkipReason, TransferFailure, TransferRequest
from transfer.naming import Naming, escape_key
from transfer.reconciliation.verdicts import Verdict, judge
from transfer.records.messages import decode_failure, decode_request, encode_failure, encode_request
from transfer.retry import Retrier
from transfer.steps import Pause, Step

NAMING = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/")
ITEM = ObjectMeta(key="in/k", size_bytes=5, etag="5d41402abc4b2a76b9719d911017c592", last_modified_s=1_700_000_000)
BOUND: dict[str, Any] = {"crc32c": "AAAAAA==", "proof": "crc32c=AAAAAA==; proof=etag-multipart"}
SAME = DestinationObject(name="out/k", size_bytes=5, generation=3, source_etag=ITEM.etag, **BOUND)
OTHER = DestinationObject(name="out/k", size_bytes=5, generation=3, source_etag="f" * 32, **BOUND)
AGAIN = replace(ITEM, replaces_generation=3)


# Naming


@given(st.text(min_size=1, max_size=300))
def test_an_escaped_key_is_plain_and_comes_back(key: str) -> None:
    escaped = escape_key(key)
    assert unquote(escaped) == key
    assert escaped.isascii()
    assert not set(escaped) & set(' ?#+&=\\"<>')


def test_dots_and_slashes_stay_as_they_are() -> None:
    assert escape_key("a/../b//c/./~d") == "a/../b//c/./~d"
    with pytest.raises(InvalidName, match="Unicode"):
        escape_key("\ud800")


@given(st.text(max_size=50))
def test_names_and_keys_map_to_each_other(rest: str) -> None:
    assert NAMING.name_of(f"in/{rest}") == f"out/{rest}"
    assert NAMING.key_of(f"out/{rest}") == f"in/{rest}"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "empty"),
        ("a" * 1025, "1025 bytes"),
        ("é" * 513, "1026 bytes"),
        ("a\nb", "line break"),
        ("a\rb", "line break"),
        (".", "relative"),
        ("..", "relative"),
        (".well-known/acme-challenge/x", "reserves"),
        (".edgehaul/run/report.json", "keeps its records"),
    ],
)
def test_names_that_cloud_storage_cannot_hold(name: str, complaint: str) -> None:
    with pytest.raises(InvalidName, match=complaint):
        NAMING.check(name)


def test_a_key_outside_the_prefix_has_no_name() -> None:
    with pytest.raises(InvalidName, match="not under the prefix"):
        NAMING.name_of("elsewhere/k")


# Messages

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


# Metadata


def test_metadata_comes_from_the_one_get() -> None:
    headers = {
        "content-type": "text/plain",
        "content-encoding": "aws-chunked, gzip",
        "x-amz-meta-plain": "value",
        "x-amz-meta-encoded": "=?UTF-8?B?w6kgw7w=?=",
        "etag": '"x"',
    }
    resource = resource_of(ITEM, headers)
    assert resource["contentType"] == "text/plain"
    assert resource["contentEncoding"] == "gzip"
    assert resource["storageClass"] == "STANDARD"
    assert resource["metadata"] == {
        "plain": "value",
        "encoded": "é ü",
        "goog-reserved-file-mtime": "1700000000",
        "x-goog-source-etag": ITEM.etag,
    }


def test_a_source_that_is_itself_a_copy_brings_no_proof_of_its_own() -> None:
    """It would be believed of whatever bytes arrive."""
    headers = {
        "x-amz-meta-edgehaul-proof": "crc32c=AAAAAA==; proof=etag-md5",
        "x-amz-meta-x-goog-source-etag": "theirs",
    }
    metadata = resource_of(ITEM, headers)["metadata"]
    assert metadata == {"goog-reserved-file-mtime": "1700000000", "x-goog-source-etag": ITEM.etag}
    known = resource_of(ITEM, {**headers, "x-amz-checksum-crc32c": "BBBBBB=="})
    assert known["metadata"] == metadata | {"edgehaul-proof": "crc32c=BBBBBB==; proof=s3-crc32c"}
    assert known["crc32c"] == "BBBBBB=="


def test_metadata_that_s3_withholds_is_not_lost_in_silence() -> None:
    with pytest.raises(SourceMetadataWithheld, match="withholds 2"):
        resource_of(ITEM, {"x-amz-missing-meta": "2"})


# Retries


def down() -> Step[None]:
    raise SourceUnavailable("down", stage=Stage.DOWNLOAD)
    yield  # a step is a generator


def pauses_of(step: Step[None]) -> tuple[list[float], Exception]:
    """What a step that never succeeds waits for, and what it raises in the end."""
    waits: list[float] = []
    try:
        wait = next(step)
        while True:
            assert isinstance(wait, Pause)
            waits.append(wait.seconds)
            wait = step.send(None)
    except TransferError as error:
        return waits, error


def test_retries_end_with_the_last_error() -> None:
    retrier = Retrier(RetryPolicy(attempts=4, base_s=1, cap_s=3), jitter=lambda: 1.0)
    waits, error = pauses_of(retrier.call(down))
    assert waits == [2, 3, 3]
    assert isinstance(error, RetriesExhausted)
    assert error.code == "SourceUnavailable"
    assert error.message == "down (SourceUnavailable, after 4 attempts)"
    assert retrier.attempts == 4


def test_retry_after_is_honoured_and_the_total_is_bounded() -> None:
    def throttled() -> Step[None]:
        raise Throttled("slow down", stage=Stage.UPLOAD, retry_after_s=50)
        yield

    retrier = Retrier(RetryPolicy(total_s=60), clock=iter([0.0, 0.0, 50.0]).__next__, jitter=lambda: 0.0)
    waits, error = pauses_of(retrier.call(throttled))
    assert waits == [50]
    assert isinstance(error, RetriesExhausted)


def test_a_stop_cuts_the_wait_short() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        complete(Retrier(RetryPolicy(base_s=60)).call(down), stop)


# Decisions


@pytest.mark.parametrize(
    ("stored", "overwrite", "reason"),
    [
        (None, Overwrite.CHANGED, None),
        (None, Overwrite.NEVER, None),
        (SAME, Overwrite.CHANGED, SkipReason.UNCHANGED),
        (OTHER, Overwrite.CHANGED, None),
        (OTHER, Overwrite.NEVER, SkipReason.EXISTS),
        (SAME, Overwrite.ALWAYS, None),
    ],
)
def test_what_the_listing_decides(stored, overwrite, reason) -> None:
    assert decide(ITEM, stored, overwrite) is reason


KEPT = DestinationObject(name="n", size_bytes=5, generation=1, source_etag=ITEM.etag, **BOUND)
BARE = DestinationObject(name="n", size_bytes=5, generation=1)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (KEPT, Evidence.MULTIPART_ETAG),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=s3-crc32c"), Evidence.S3_CRC32C),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=crc32c"), Evidence.TRANSPORT),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=etag-md5"), Evidence.MD5),  # a server that names no MD5
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=of-another-version"), Evidence.LABEL),
        (replace(KEPT, proof="crc32c=AAAAAA=="), Evidence.LABEL),
        (
            replace(KEPT, proof="crc32c=AAAAAA==; proof=crc32c", md5="0" * 32),
            Evidence.TRANSPORT,
        ),  # KMS: an ETag like an MD5
        (replace(BARE, md5=ITEM.etag), Evidence.MD5),
        (replace(KEPT, md5=ITEM.etag, crc32c="BBBBBB=="), Evidence.MD5),  # the strongest of all
        (replace(KEPT, crc32c="BBBBBB=="), None),  # other bytes under a kept label
        (replace(KEPT, crc32c=""), None),  # nobody asked what is stored
        (replace(KEPT, proof=""), None),  # a label of another tool's
        (replace(KEPT, proof="crc32c=; proof=crc32c", crc32c=""), None),
        (replace(KEPT, proof=" crc32c=AAAAAA=="), None),
        (replace(KEPT, proof="crc32c=AAAAAA==; proof=etag-md5", md5="0" * 32), None),  # it contradicts itself
        (replace(KEPT, source_etag="f" * 32), None),
        (replace(KEPT, size_bytes=6), None),
        (replace(BARE, md5="0" * 32), None),
        (BARE, None),
    ],
)
def test_what_shows_that_an_object_holds_another_and_never_the_name_alone(stored, expected) -> None:
    assert evidence_of(stored, ITEM) is expected
    assert holds(stored, ITEM) is (expected is not None)


@pytest.mark.parametrize(
    ("kept", "listed", "expected"),
    [
        (str(ITEM.last_modified_s), ITEM.last_modified_s, True),
        (f"{ITEM.last_modified_s}.75", ITEM.last_modified_s, True),  # of a tool that keeps fractions
        (str(ITEM.last_modified_s - 1), ITEM.last_modified_s, False),
        (str(ITEM.last_modified_s + 1), ITEM.last_modified_s, False),
        ("", ITEM.last_modified_s, True),  # not kept
        ("yesterday", ITEM.last_modified_s, True),
        ("nan", ITEM.last_modified_s, True),
        ("inf", ITEM.last_modified_s, True),
        ("1", 0, True),  # not listed
    ],
)
def test_metadata_alone_that_changed_is_a_change(kept: str, listed: int, expected: bool) -> None:
    """S3 leaves the ETag of an object whose metadata alone is replaced as it is."""
    item = replace(ITEM, last_modified_s=listed)
    for stored in (replace(KEPT, source_mtime=kept), replace(BARE, md5=ITEM.etag, source_mtime=kept)):
        assert holds(stored, item) is expected
        assert decide(item, stored, Overwrite.CHANGED) is (SkipReason.UNCHANGED if expected else None)


FAILURE = TransferFailure(key="in/k", stage=Stage.DOWNLOAD, error_code="X", http_status=None, attempts=1, message="m")


@pytest.mark.parametrize(
    ("item", "skipped", "stored", "failure", "verdict"),
    [
        (None, None, OTHER, None, Verdict.EXTRA),
        (ITEM, SkipReason.ARCHIVED, None, None, Verdict.SKIPPED),
        (ITEM, SkipReason.PREFIX_ITSELF, None, None, Verdict.SKIPPED),
        (ITEM, SkipReason.EXISTS, OTHER, None, Verdict.SKIPPED),
        (ITEM, SkipReason.EXISTS, None, None, Verdict.MISSING),
        (ITEM, SkipReason.UNCHANGED, SAME, None, Verdict.SKIPPED),
        (ITEM, SkipReason.UNCHANGED, OTHER, None, Verdict.DIFFERING),
        (ITEM, SkipReason.UNCHANGED, None, None, Verdict.MISSING),
        (ITEM, None, SAME, None, Verdict.MATCHED),
        (ITEM, None, SAME, FAILURE, Verdict.MATCHED),
        (ITEM, None, OTHER, FAILURE, Verdict.FAILED),
        (ITEM, None, None, FAILURE, Verdict.FAILED),
        (ITEM, None, None, None, Verdict.MISSING),
        (ITEM, None, OTHER, None, Verdict.DIFFERING),
        # What the listing saw there is still there, and had to be replaced (overwrite=always).
        (AGAIN, None, SAME, None, Verdict.DIFFERING),
        (AGAIN, None, SAME, FAILURE, Verdict.FAILED),
        (AGAIN, None, replace(SAME, generation=4), FAILURE, Verdict.MATCHED),
        (AGAIN, SkipReason.UNCHANGED, SAME, None, Verdict.SKIPPED),
        (AGAIN, SkipReason.EXISTS, OTHER, None, Verdict.SKIPPED),
    ],
)
def test_the_truth_table_of_verdicts(item, skipped, stored, failure, verdict) -> None:
    is_held = item is not None and stored is not None and holds(stored, item)
    assert judge(item, skipped, stored, failure, is_held=is_held) is verdict


# The error tree and the settings


def test_every_error_is_retryable_an_objects_or_fatal() -> None:
    from transfer import errors

    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TransferError)]
    roots = (errors.RetryableError, errors.ObjectError, errors.FatalError)
    for kind in tree:
        assert kind is TransferError or sum(issubclass(kind, root) for root in roots) == 1, kind
        assert kind.__name__ in (errors.__doc__ or ""), f"{kind.__name__} is not drawn in the tree"


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0},
        {"threads": 1000},
        {"part_size_bytes": 0},
        {"part_size_bytes": 5 * 1024 * 1024 - 1},
        {"bandwidth_limit_bytes_per_s": 0.0},
        {"bandwidth_limit_bytes_per_s": float("nan")},
        {"max_requests_per_s": -1.0},
        {"max_requests_per_s": float("inf")},
        {"workers": 0},
    ],
)
def test_bad_settings_say_what_to_choose(wrong) -> None:
    with pytest.raises(ValueError, match="choose"):
        TransferConfig(**wrong)
