"""A bucket with one of everything, under a real scheduler: all that is ordinary is copied, and each odd one copied or named."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1

from demo.airflow_api import Run
from demo.airflow_stack import AirflowStack
from demo.upload import cancelling_pool, s3_client
from demo.verify import gcs_client, verify
from everything import (
    ARCHIVED,
    BY_KEY,
    CONFLICTING,
    COPIED,
    DELETED,
    EVERYTHING,
    LOCKED,
    REPLACED,
    SECRET,
    ending,
    faults,
    table,
)
from localcloud.supervisor import LocalCloud, create_topics
from pipeline import Pipeline, control
from transfer.reconciliation.advice import FAILURES

MIB = 1024 * 1024
WATCH = "everything-watch"
ORDINARY = {
    **{f"l-before/{number:03d}": os.urandom(number * 9) for number in range(100)},
    **{f"n-after/{number:03d}": os.urandom(number * 9) for number in range(100)},
    **{f"o-ordinary/{number % 9}/{number:03d}": os.urandom(number * 5) for number in range(797)},
    **{f"o-ordinary/large/{number}": os.urandom(8 * MIB + number) for number in range(2)},
    "o-ordinary/streamed": os.urandom(300 * 1024),
}
FOLDERS = ("l-before/", "n-after/", "o-ordinary/")
SCREEN_LINES, SCREEN_COLUMNS = 60, 120
FIELDS = re.compile(r" (?:run_id|dag_id|task_id|ti_id|try_number|map_index|logger|filename|lineno)=.*")
"""What Airflow has behind the last line of an event."""


@dataclass
class Bucket:
    """Both sides, and what was put there."""

    pipeline: Pipeline
    odd: dict[str, bytes] = field(default_factory=dict)
    """What the source has beside what is ordinary."""

    def __post_init__(self) -> None:
        cloud = self.pipeline.cloud
        self.s3 = s3_client(cloud.s3_url, cloud.access_key_id, cloud.secret_access_key, cloud.region)
        self.gcs = gcs_client(cloud.gcs_url, cloud.project)
        self.destination = self.gcs.bucket(cloud.destination_bucket)

    def put(self, key: str, body: bytes, **arguments: Any) -> None:
        self.s3.put_object(Bucket=self.pipeline.cloud.source_bucket, Key=key, Body=body, **arguments)

    def put_in_parts(self, key: str, body: bytes) -> None:
        at = {"Bucket": self.pipeline.cloud.source_bucket, "Key": key}
        upload = at | {"UploadId": self.s3.create_multipart_upload(**at)["UploadId"]}
        pieces = [body[: 5 * MIB], body[5 * MIB :]]
        parts = [
            {"PartNumber": number, "ETag": self.s3.upload_part(**upload, PartNumber=number, Body=piece)["ETag"]}
            for number, piece in enumerate(pieces, 1)
        ]
        self.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    def fill(self) -> None:
        with cancelling_pool(4) as pool:
            jobs = [pool.submit(self._put_ordinary, key, body) for key, body in ORDINARY.items()]
            jobs += [pool.submit(self._put_odd, key) for key in BY_KEY]
            for job in jobs:
                job.result()

    def _put_ordinary(self, key: str, body: bytes) -> None:
        if len(body) > MIB:
            self.put_in_parts(key, body)
        else:
            self.put(key, body, ContentType="text/x-test", Metadata={"from": "the test"})

    def _put_odd(self, key: str) -> None:
        one = BY_KEY[key]
        self.put(key, one.body, **one.put)
        self.odd[key] = one.body
        if one.before is not None:
            self.destination.blob(key).upload_from_string(b"kept")
            self.patch(key, one.before)

    def patch(self, key: str, attributes: Mapping[str, Any]) -> None:
        path = f"{self.destination.blob(key).path}?overrideUnlockedRetention=true"
        self.gcs._connection.api_request(method="PATCH", path=path, data=dict(attributes))

    def plan(self, *, is_held: bool = False, only: str = "") -> None:
        """What goes wrong from now on: all of it, or what ends as `only` says."""
        cloud = self.pipeline.cloud
        wanted = [one for one in EVERYTHING if not only or one.then not in (COPIED, ARCHIVED)]
        if not is_held:
            wanted = [one for one in wanted if one.keys[0] not in (CONFLICTING, REPLACED, DELETED)]
        control(cloud.s3_url, faults("s3", cloud.source_bucket, wanted))
        control(cloud.edge_url, faults("edge", cloud.source_bucket, wanted))
        control(cloud.gcs_url, faults("insert", cloud.destination_bucket, wanted))

    def missing(self) -> list[str]:
        """The odd ones that did not arrive as they are, with how they differ."""
        blobs = {blob.name: blob for blob in self.gcs.list_blobs(self.pipeline.cloud.destination_bucket)}
        found = []
        for key, body in self.odd.items():
            blob = blobs.get(key)
            if blob is None or blob.download_as_bytes(raw_download=True) != body or self._differs(key, blob):
                found.append(key)
        return found

    def _differs(self, key: str, blob: Any) -> bool:
        put, kept = BY_KEY[key].put if key in BY_KEY else {}, blob.metadata or {}
        wanted = {
            "content_type": put.get("ContentType", "binary/octet-stream"),
            "content_encoding": put.get("ContentEncoding"),
            "content_language": put.get("ContentLanguage"),
            **put.get("Metadata", {}),
            **(BY_KEY[key].stored if key in BY_KEY else {}),
        }
        there = {name: kept.get(name, getattr(blob, name, None)) for name in wanted}
        if wanted != there:
            print(ascii(key), wanted, there)
        return wanted != there

    def ordinary_differences(self) -> list[object]:
        """By demo/verify.py, which reads both sides with the clouds' own clients."""
        cloud = self.pipeline.cloud
        found: list[object] = []
        for folder in FOLDERS:
            outcome = verify(
                self.s3,
                cloud.source_bucket,
                self.gcs,
                cloud.destination_bucket,
                source_prefix=folder,
                destination_prefix=folder,
            )
            found += [*outcome.missing, *outcome.differing, *outcome.extra]
        return found

    def record(self, run: Run, name: str) -> str:
        identity = self.pipeline.airflow.xcom(run, "open_run")
        folder = f".edgehaul/{identity['transfer_id'].rsplit('-', 2)[0]}/"
        return self.destination.blob(folder + name).download_as_bytes().decode()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with (
        LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud,
        AirflowStack(tmp_path_factory.mktemp("airflow"), environment=cloud.environment()) as airflow,
    ):
        yield Bucket(Pipeline(cloud, airflow))


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


def reasons_of(text: str) -> dict[str, str]:
    """Reason by key, of failures.csv."""
    return {_cell(row[0]): row[2] for row in rows_of(text)}


def _cell(text: str) -> str:
    return text.removeprefix("'") if re.match(r"'[=+\-@\t＝]", text) else text


def screen_of(log: str) -> list[str]:
    """The table of reasons in a task's log."""
    lines = log.split("not copied, by reason:\n", 1)[1].splitlines()
    return [FIELDS.sub("", line) for line in lines if re.match(r" {6,}\S", line)]


def check_plain(text: str, *, is_record: bool = False) -> None:
    """No secret, and nothing that a terminal or a person would take for something else."""
    for secret in (SECRET.removeprefix("S3"), "PRIVATE KEY", "Policy=eyJ"):
        assert secret not in text, text[max(0, text.index(secret) - 300) :][:600]
    hidden = {at: character for at, character in enumerate(text) if unicodedata.category(character) in ("Cc", "Cf")}
    bad = {at: char for at, char in hidden.items() if char not in ("\n", "\r", "\t") or is_record}
    assert not bad, [ascii(text[max(0, at - 80) : at + 20]) for at in list(bad)[:5]]


def test_one_of_everything(bucket: Bucket) -> None:
    pipeline, cloud = bucket.pipeline, bucket.pipeline.cloud
    began = time.monotonic()

    def lap(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}")

    os.environ["PUBSUB_EMULATOR_HOST"] = cloud.pubsub_host
    create_topics(cloud.pubsub_host, cloud.project, ["edgehaul-failures"])
    with pubsub_v1.SubscriberClient() as client:
        watch = client.subscription_path(cloud.project, WATCH)
        client.create_subscription(name=watch, topic=f"projects/{cloud.project}/topics/edgehaul-failures")
    bucket.fill()
    bucket.plan(is_held=True)
    lap("filled")

    run = pipeline.trigger("", workers=2, threads=16, part_size_mib=5)
    listed = pipeline.airflow.wait_for_task(run, "list", states=frozenset({"success", "failed"}), timeout_s=90)
    assert listed.state == "success", pipeline.logs(run)[-6000:]
    bucket.put(REPLACED, b"another object by now")
    bucket.odd[REPLACED] = b"another object by now"
    bucket.s3.delete_object(Bucket=cloud.source_bucket, Key=DELETED)
    del bucket.odd[DELETED]
    bucket.destination.blob(CONFLICTING).upload_from_string(b"somebody else's")
    time.sleep(2)  # so that each of the three is held by now
    bucket.plan()
    assert pipeline.airflow.wait(run, timeout_s=400) == "failed"
    lap("the first run has ended")

    workers = [task for task in pipeline.airflow.task_instances(run) if task.task_id == "transfer"]
    assert [(task.state, task.try_number) for task in workers] == [("success", 1)] * 2
    failed = {key: one.ends for key, one in BY_KEY.items() if one.ends not in (COPIED, ARCHIVED)}
    failures, report = bucket.record(run, "failures.csv"), json.loads(bucket.record(run, "report.json"))
    assert reasons_of(failures) == failed
    assert ending(ARCHIVED) == {row[0] for row in rows_of(bucket.record(run, "archived.csv"))}
    assert (report["matched"], report["failed"], report["skipped"], report["missing"], report["differing"]) == (
        len(ORDINARY) + len(ending(COPIED)),
        len(failed),
        len(ending(ARCHIVED)),
        0,
        0,
    )
    verdict = json.loads(bucket.record(run, "verdict.json"))
    assert not verdict["is_green"]
    assert verdict["said"].startswith(f"{len(failed):,} of {len(ORDINARY) + len(BY_KEY):,} objects did not arrive")
    assert bucket.ordinary_differences() == []
    assert set(bucket.missing()) == set(failed) - {DELETED} | ending(ARCHIVED)
    lap("both sides were compared")

    screen = screen_of(pipeline.airflow.task_log(run, "verify"))
    print("\n".join(screen))
    for reason in {*failed.values()}:
        count = sum(one == reason for one in failed.values())
        (head,) = (line for line in screen if f" failed: {reason}," in line)
        assert head.split()[0] == str(count)
        assert head.count(", '") + head.count(', "') + head.count("e.g. ") >= min(count, 3)
        assert FAILURES[reason].advice.split(",")[0][:60] in "\n".join(screen)
    assert len([line for line in screen if " failed: " in line]) == len({*failed.values()})
    assert len(screen) <= SCREEN_LINES
    assert max(map(len, screen)) <= SCREEN_COLUMNS
    assert {key for key in LOCKED if reasons_of(failures)[key] == "SourceForbidden"} == set(LOCKED)

    check_plain(pipeline.logs(run))
    for row in rows_of(failures):
        check_plain("\n".join(row[1:]))
        assert not any(re.match(r"[=+\-@\t\r\n＝＋－＠]", cell) for cell in row), row
    check_plain("\n".join(reason["message"] + reason["advice"] for reason in report["reasons"]))
    told = told_on(watch)
    assert {message["key"] for message in told} >= set(failed)
    for message in told:
        check_plain(message["message"], is_record=True)
    lap("texts were read")

    bucket.plan(only="those that stay")
    for key, one in BY_KEY.items():
        if one.before is not None:
            bucket.patch(
                key, dict.fromkeys(one.before, None) if "retention" in one.before else dict.fromkeys(one.before, False)
            )
    pipeline.airflow.clear_task(run, "reconcile")
    assert pipeline.airflow.wait(run, timeout_s=400) == "failed"
    left = {key: one.then for key, one in BY_KEY.items() if one.then not in (COPIED, ARCHIVED)}
    assert reasons_of(bucket.record(run, "failures.csv")) == left
    assert set(bucket.missing()) == set(left) - {DELETED} | ending(ARCHIVED)
    check_plain(pipeline.logs(run))
    lap("reconcile was cleared, and has ended")

    for url in (cloud.s3_url, cloud.edge_url, cloud.gcs_url):
        control(url, None)
    for key in ending("SourceEncrypted", then=True) | {"odd/missing-meta", "odd/too-much-metadata"}:
        bucket.put(key, b"mended")
        bucket.odd[key] = b"mended"
    for number, key in enumerate(sorted(ending("InvalidName", then=True))):
        bucket.s3.delete_object(Bucket=cloud.source_bucket, Key=key)
        bucket.put(f"renamed/{number}", bucket.odd.pop(key))
        bucket.odd[f"renamed/{number}"] = BY_KEY[key].body
    state, again = pipeline.finish("", workers=2, threads=16, part_size_mib=5)
    assert state == "success", pipeline.logs(again)[-4000:]
    assert set(bucket.missing()) == ending(ARCHIVED)
    summary = pipeline.airflow.xcom(again, "verify")
    assert summary["copied"] == len(set(left) - {DELETED})
    lap("the run after mending has ended")


def told_on(watch: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with pubsub_v1.SubscriberClient() as client:
        while messages := client.pull(
            subscription=watch, max_messages=500, timeout=5, return_immediately=True
        ).received_messages:
            for item in messages:
                text = item.message.data.decode()
                assert not any(unicodedata.category(character) == "Cc" for character in text), ascii(text)
                found.append(json.loads(text))
            client.acknowledge(subscription=watch, ack_ids=[item.ack_id for item in messages])
    return found


def test_the_table_in_the_documents() -> None:
    assert table() in (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
