"""The local S3, by clients that are not ours: boto3, s5cmd and rclone."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from localcloud.s3 import S3Server
from localcloud.s3_rules import metadata_value
from needs import program

BUCKET = "local-s3"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server(buckets=[BUCKET])
    server.start()
    yield server
    server.stop()


def connect(s3: S3Server, access_key_id: str, secret_access_key: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        region_name=s3.region,
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def client(s3: S3Server) -> Any:
    return connect(s3, s3.access_key_id, s3.secret_access_key)


def control(s3: S3Server, method: str, path: str, document: object = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    with urlopen(Request(f"{s3.url}/_localcloud/{path}", data=body, method=method), timeout=10) as answer:
        return json.load(answer)


def test_boto3_puts_lists_and_gets(client: Any) -> None:
    keys = [
        "a!b",
        "a/b",
        "a b+c%d#e?f&g",
        "a//b",
        "/a",
        "a/../b",
        "a\nb",
        "c/\r\n",
        "é",
        "e\u0301",
        "🦀",
        "z" * 1024,
        "dir/",
    ]
    for key in keys:
        client.put_object(
            Bucket=BUCKET, Key=key, Body=key.encode(), Metadata={"kept_as": "is"}, StorageClass="GLACIER_IR"
        )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 3})
    listed = [item for page in pages for item in page["Contents"]]
    assert [item["Key"] for item in listed] == sorted(keys, key=lambda key: key.encode())
    assert {item["StorageClass"] for item in listed} == {"GLACIER_IR"}
    for key in keys:
        answer = client.get_object(Bucket=BUCKET, Key=key)
        assert (answer["Body"].read(), answer["Metadata"]) == (key.encode(), {"kept_as": "is"})
        client.delete_object(Bucket=BUCKET, Key=key)


def test_a_multipart_etag_is_the_digest_of_digests(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * (17 << 20))
    client.upload_file(str(file), BUCKET, "large")
    head = client.head_object(Bucket=BUCKET, Key="large")
    assert head["ETag"].endswith('-3"')
    assert head["ContentLength"] == 17 << 20
    client.delete_object(Bucket=BUCKET, Key="large")


def test_s5cmd_puts_lists_and_gets(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("by s5cmd")
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
        "AWS_REGION": s3.region,
    }

    def s5cmd(*arguments: str) -> str:
        command = [program("s5cmd"), "--endpoint-url", s3.url, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout

    s5cmd("cp", str(tmp_path / "in.txt"), f"s3://{BUCKET}/s5/a b.txt")
    assert "a b.txt" in s5cmd("ls", f"s3://{BUCKET}/s5/*")
    s5cmd("cp", f"s3://{BUCKET}/s5/a b.txt", str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text() == "by s5cmd"


def test_rclone_puts_lists_and_gets(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("by rclone")
    remote = f":s3,provider=Other,access_key_id={s3.access_key_id},region={s3.region}:{BUCKET}/rc"
    environment = os.environ | {
        "RCLONE_S3_ENDPOINT": s3.url,
        "RCLONE_S3_SECRET_ACCESS_KEY": s3.secret_access_key,
        "RCLONE_CONFIG": os.devnull,
    }

    def rclone(*arguments: str) -> str:
        command = [program("rclone"), "--s3-no-check-bucket", "--retries", "1", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout

    rclone("copyto", str(tmp_path / "in.txt"), f"{remote}/a+b.txt")
    assert rclone("lsf", remote) == "a+b.txt\n"
    assert rclone("cat", f"{remote}/a+b.txt") == "by rclone"


def test_credentials_are_checked(s3: S3Server) -> None:
    for access_key_id, secret, code in [
        (s3.access_key_id, "wrong", "SignatureDoesNotMatch"),
        ("AKIAUNKNOWNUNKNOWN00", s3.secret_access_key, "InvalidAccessKeyId"),
    ]:
        stranger = connect(s3, access_key_id, secret)
        with pytest.raises(ClientError) as refused:
            stranger.list_objects_v2(Bucket=BUCKET)
        assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(HTTPError) as unsigned:
        urlopen(f"{s3.url}/{BUCKET}", timeout=10)
    assert unsigned.value.code == 403
    unsigned.value.close()


def test_the_origins_identity_may_only_read(s3: S3Server, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="readable", Body=b"x")
    origin = connect(s3, s3.origin_access_key_id, s3.origin_secret_access_key)
    assert origin.get_object(Bucket=BUCKET, Key="readable")["Body"].read() == b"x"
    refused: list[Callable[[], object]] = [
        lambda: origin.list_objects_v2(Bucket=BUCKET),
        lambda: origin.put_object(Bucket=BUCKET, Key="written", Body=b"x"),
        lambda: origin.delete_object(Bucket=BUCKET, Key="readable"),
        lambda: origin.get_object(Bucket=BUCKET, Key="missing"),
    ]
    for call in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket=BUCKET, Key="missing")


def test_faults_and_counts_over_the_control_path(s3: S3Server, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="faulty", Body=b"x" * 1000)
    control(s3, "DELETE", "requests")
    slow_down = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
    faults = [
        {"match": "GET .*faulty", "action": "status", "status": 503, "body": slow_down, "times": 1},
        {"match": "PUT .*faulty", "action": "lose_answer", "times": 1},
    ]
    control(s3, "PUT", "faults", {"seed": 1, "faults": faults})
    with pytest.raises(ClientError, match="SlowDown"):
        client.get_object(Bucket=BUCKET, Key="faulty")
    assert client.get_object(Bucket=BUCKET, Key="faulty")["ContentLength"] == 1000
    with pytest.raises(ConnectionClosedError):
        client.put_object(Bucket=BUCKET, Key="faulty", Body=b"done all the same")
    assert client.get_object(Bucket=BUCKET, Key="faulty")["Body"].read() == b"done all the same"
    assert [fault["hits"] for fault in control(s3, "DELETE", "faults")["faults"]] == []
    counts = control(s3, "GET", "requests")
    assert (counts["GET object 200"], counts["PUT object broken"]) == (2, 1)


def test_two_servers_keep_apart(s3: S3Server) -> None:
    other = S3Server(buckets=["other-account"])
    other.start()
    client = connect(other, other.access_key_id, other.secret_access_key)
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["other-account"]
    client.put_bucket_versioning(Bucket="other-account", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket="other-account", Key="versioned", Body=b"x")
    client.delete_object(Bucket="other-account", Key="versioned")
    other.stop()
    assert connect(s3, s3.access_key_id, s3.secret_access_key).head_bucket(Bucket=BUCKET)


def test_only_loopback_is_bound() -> None:
    with pytest.raises(ValueError, match="loopback"):
        S3Server(host="0.0.0.0")


def test_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "localcloud.s3", "--port", "0", "--bucket", "made"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert select.select([process.stdout], [], [], 30)[0]
        ready = json.loads(process.stdout.readline())
        client = boto3.client(
            "s3",
            endpoint_url=ready["url"],
            aws_access_key_id=ready["access_key_id"],
            aws_secret_access_key=ready["secret_access_key"],
            region_name=ready["region"],
        )
        client.put_object(Bucket="made", Key="x", Body=b"x")
        process.terminate()
        assert (ready["service"], process.wait(timeout=10), process.stderr.read()) == ("s3", 0, "")


SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}


def test_a_customers_key_is_wanted_for_every_look_at_its_object(s3: S3Server, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="sse-c", Body=b"secret", **SSE_C)
    for ask in (client.get_object, client.head_object):
        with pytest.raises(ClientError) as caught:
            ask(Bucket=BUCKET, Key="sse-c")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        with pytest.raises(ClientError, match=r"403|AccessDenied"):
            ask(Bucket=BUCKET, Key="sse-c", SSECustomerAlgorithm="AES256", SSECustomerKey="x" * 32)
    with pytest.raises(ClientError, match=r"InvalidRequest.*form of Server Side Encryption"):
        client.get_object(Bucket=BUCKET, Key="sse-c")
    assert client.get_object(Bucket=BUCKET, Key="sse-c", **SSE_C)["Body"].read() == b"secret"
    client.put_object(Bucket=BUCKET, Key="sse-c", Body=b"plain")
    assert client.get_object(Bucket=BUCKET, Key="sse-c")["Body"].read() == b"plain"


def test_a_kms_key_that_cannot_be_used_refuses_its_objects(s3: S3Server, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="kms", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1")
    for kept, said in (("denied_keys", "AccessDenied.*kms:Decrypt"), ("disabled_keys", "KMS.DisabledException")):
        setattr(s3.encryption, kept, frozenset({"key-1"}))
        with pytest.raises(ClientError, match=said):
            client.get_object(Bucket=BUCKET, Key="kms")
        setattr(s3.encryption, kept, frozenset())
    assert client.get_object(Bucket=BUCKET, Key="kms")["Body"].read() == b"x"


def test_metadata_come_as_headers_can_carry_them(client: Any) -> None:
    word = "a =?x-unknown?Q?abc?= b"
    client.put_object(Bucket=BUCKET, Key="meta", Body=b"", Metadata={"plain": "text", "word": word})
    found = client.head_object(Bucket=BUCKET, Key="meta")["Metadata"]
    assert found["plain"] == "text"
    for sent, value in ((found["word"], word), (metadata_value("\u00e4"), "\u00e4")):  # boto3 itself puts ASCII only
        assert sent.startswith("=?UTF-8?B?")
        assert str(make_header(decode_header(sent))) == value
