"""Hostile answers of the services: the object fails by name, or an error of a known class says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from google.api_core import exceptions as google_errors
from google.auth.credentials import AnonymousCredentials
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import EngineRig, engine_rig
from hostile import Parrot, answer_bytes, bodies, document, few, fuzz, header_values, headers, statuses, texts
from transfer.backends.cloudfront.source import edge_error
from transfer.backends.gcs.answers import gcs_error
from transfer.backends.gcs.client import GcsClient
from transfer.backends.gcs.token import GoogleToken
from transfer.backends.http.client import CurlClient
from transfer.backends.http.exchange import Answer, parse_headers
from transfer.backends.pubsub.answers import pubsub_error
from transfer.backends.s3.answers import listing_error
from transfer.config import RetryPolicy, Timeouts
from transfer.copying.metadata import resource_of
from transfer.copying.proof import SourceDigest
from transfer.errors import FatalError, SinkUnavailable, Stage, TransferError
from transfer.model import Copied, Failed, ObjectMeta, Skipped

CLIENT = GcsClient(
    CurlClient(unavailable=SinkUnavailable, stage=Stage.UPLOAD, timeouts=Timeouts()),
    base_url="http://127.0.0.1:1",
    bucket="b",
    token=GoogleToken(AnonymousCredentials()),
)
ITEM = ObjectMeta(key="k", size_bytes=7, etag="9a0364b9e99bb480dd25e1f0284c8555", last_modified_s=1)
BODY = b"content"
GCS = GcsClient(
    CurlClient(unavailable=SinkUnavailable, stage=Stage.UPLOAD, timeouts=Timeouts()),
    base_url="http://127.0.0.1:1",
    bucket="b",
    token=GoogleToken(AnonymousCredentials()),
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory) -> Iterator[EngineRig]:
    with (
        pytest.MonkeyPatch.context() as patch,
        engine_rig(tmp_path_factory.mktemp("fuzz"), patch.setenv) as made,
    ):
        made.config = replace(made.config, retry=RetryPolicy(attempts=2, base_s=0.001, cap_s=0.002, total_s=1))
        made.put("k", BODY)
        yield made


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    made = Parrot()
    yield made
    made.stop()


def outcome_of(rig: EngineRig, item: ObjectMeta) -> None:
    """Copy an object: it is copied, skipped or failed, or an error that concerns every object ends the attempt."""
    with suppress(FatalError):
        outcome = rig.copy(item)
        assert isinstance(outcome, Copied | Failed | Skipped)
        if isinstance(outcome, Failed):
            assert outcome.failure.error_code != "UnexpectedError", outcome.failure.message
            assert outcome.failure.message.isprintable()


sizes = st.sampled_from([7, 7, 0, 300_000])


@few
@given(statuses, headers, st.just(BODY) | st.binary(max_size=20) | bodies(), sizes)
def test_the_edge(rig: EngineRig, parrot: Parrot, status: int, fields: dict[str, str], body: bytes, size: int) -> None:
    parrot.says = answer_bytes(status, fields, body)
    outcome_of(replace(rig, edge=SimpleNamespace(url=parrot.url)), replace(ITEM, size_bytes=size))  # type: ignore[arg-type]


RESOURCE = {
    "name": "k",
    "bucket": "destination-bucket",
    "size": "7",
    "generation": "1",
    "crc32c": "X",
    "md5Hash": "mgNkuembtIDdJeHwKEyFVQ==",
    "timeCreated": "2026-01-01T00:00:00Z",
    "metadata": {"x-goog-source-etag": ITEM.etag},
}
REFUSAL = {"error": {"code": 403, "message": "no", "errors": [{"reason": "forbidden"}]}}
answers = bodies(
    document(**RESOURCE), document(**REFUSAL), document(error=REFUSAL["error"], items=[RESOURCE], prefixes=[])
)


@few
@given(statuses, headers, answers)
def test_cloud_storage(rig: EngineRig, parrot: Parrot, status: int, fields: dict[str, str], body: bytes) -> None:
    parrot.says = answer_bytes(status, fields, body)
    other = replace(rig, gcs=SimpleNamespace(url=parrot.url))  # type: ignore[arg-type]
    outcome_of(other, ITEM)
    for read in (
        lambda: list(other.destination_listing().objects("", leave_out=".edgehaul/")),
        lambda: list(other.state().entries("ledger/")),
        lambda: other.state().read("report.json"),
    ):
        with suppress(TransferError):
            read()


HEAD = b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
tags = st.sampled_from(
    [
        "Contents",
        "Key",
        "Size",
        "LastModified",
        "ETag",
        "IsTruncated",
        "NextContinuationToken",
        "KeyCount",
        "EncodingType",
        "Error",
        "Code",
    ]
)
xml_texts = texts.map(lambda text: text.replace("<", "").replace("&", "")[:500])
elements = st.recursive(
    xml_texts,
    lambda inner: st.lists(st.tuples(tags, inner), max_size=4).map(
        lambda pairs: "".join(f"<{tag}>{text}</{tag}>" for tag, text in pairs)
    ),
    max_leaves=6,
)
entry = st.tuples(xml_texts, st.just("1") | xml_texts, st.just("2026-01-01T00:00:00.000Z") | xml_texts).map(
    lambda cells: (
        f"<Contents><Key>{cells[0]}</Key><LastModified>{cells[2]}</LastModified><ETag>e</ETag><Size>{cells[1]}</Size></Contents>"
    )
)
pages = st.one_of(
    elements.map(lambda text: HEAD + text.encode("utf-8", "replace") + b"</ListBucketResult>"),
    st.lists(entry, max_size=3).map(
        lambda found: (
            HEAD
            + f"<IsTruncated>false</IsTruncated>{''.join(found)}".encode("utf-8", "replace")
            + b"</ListBucketResult>"
        )
    ),
    bodies(),
)


@few
@given(st.sampled_from([200, 200, 200, 400, 403, 404]), pages)
def test_pages_of_s3(rig: EngineRig, parrot: Parrot, status: int, body: bytes) -> None:
    import boto3
    from botocore.config import Config

    from transfer.backends.s3.listing import list_objects

    parrot.says = answer_bytes(status, {"Content-Length": str(len(body))}, body)
    client = boto3.client(
        "s3",
        endpoint_url=parrot.url,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with suppress(TransferError):
        for number, item in enumerate(list_objects(client, "b", "")):
            assert item.key
            if number > 100:
                break  # each page may refer to a further one without end, in another request


"""Sends nothing: it only reads answers."""


@fuzz
@given(st.lists(st.tuples(texts, header_values), max_size=6), st.integers(100, 599), bodies(document(**REFUSAL)))
def test_headers_and_refusals(lines: list[tuple[str, str]], status: int, body: bytes) -> None:
    raw = [b"HTTP/1.1 200 OK\r\n", *(f"{name}: {value}\r\n".encode("utf-8", "replace") for name, value in lines)]
    assert isinstance(parse_headers(raw), dict)
    answer = Answer(status=status, header_lines=raw, body=memoryview(body))
    for error in (edge_error(answer, ITEM), gcs_error(answer, bucket="b")):
        assert isinstance(error, TransferError) and error.message.isprintable()
    with suppress(TransferError):
        CLIENT.described(answer, "k")


@fuzz
@given(headers, st.binary(max_size=20))
def test_metadata_and_proofs(fields: dict[str, str], body: bytes) -> None:
    lower = {name.lower(): value for name, value in fields.items()}
    with suppress(TransferError):
        digest = SourceDigest(ITEM, lower)
        digest.update(body)
        digest.prove()
    with suppress(TransferError):
        resource_of(ITEM, lower)


@fuzz
@given(
    st.sampled_from(
        [
            google_errors.NotFound,
            google_errors.Forbidden,
            google_errors.InvalidArgument,
            google_errors.Unknown,
            google_errors.RetryError,
            ValueError,
        ]
    ),
    texts,
)
def test_answers_of_pubsub(kind: type, text: str) -> None:
    error = kind(text, None) if kind is google_errors.RetryError else kind(text)
    found = pubsub_error(error, "r", Stage.SETTLE)
    assert isinstance(found, TransferError) and found.message.isprintable()


@fuzz
@given(texts, st.integers(300, 599) | st.none(), texts)
def test_refusals_of_s3(code: str, status: int | None, message: str) -> None:
    from botocore.exceptions import ClientError

    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    found = listing_error(ClientError(response, "ListObjectsV2"), bucket="b")
    assert isinstance(found, TransferError) and found.message.isprintable()
