"""One of everything, under a real scheduler: ordinary objects are copied, and each odd one is copied or reported by name."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1

from demo.airflow_api import Run
from demo.airflow_stack import AirflowStack
from everything import (
    ARCHIVED,
    BY_KEY,
    CONFLICTING,
    COPIED,
    DELETED,
    LOCKED,
    REPLACED,
    SECRET,
    ending,
    table,
)
from frugal import SAME_DAGS
from localcloud.supervisor import LocalCloud, create_topics
from odd_bucket import ORDINARY, Bucket
from pipeline import Pipeline, control
from transfer.reconciliation.advice import FAILURES

WATCH = "everything-watch"
SCREEN_LINES, SCREEN_COLUMNS = 80, 100


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with (
        LocalCloud(tmp_path_factory.mktemp("cloud")) as cloud,
        AirflowStack(
            tmp_path_factory.mktemp("airflow"), environment=cloud.environment(), settings=SAME_DAGS
        ) as airflow,
    ):
        yield Bucket(Pipeline(cloud, airflow))


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


def reasons_of(text: str) -> dict[str, str]:
    """The reasons in failures.csv, by key."""
    return {_cell(row[0]): row[2] for row in rows_of(text)}


def _cell(text: str) -> str:
    return text.removeprefix("'") if re.match(r"'[=+\-@\t＝]", text) else text


def screen_of(log: str) -> list[str]:
    """The message of the task's failure: the table of reasons, and where the report is. No frame of ours follows."""
    assert log.count(" failed: SourceForbidden\n") == 1, "each reason is said once"
    message, _, frames = log.split("AirflowFailException: ", 1)[1].partition("\n    File ")
    assert frames.count("plugins/operators/") == 1
    return message.splitlines()


def check_plain(text: str, *, is_record: bool = False) -> None:
    """Check that a text has no secret, and nothing that would mislead a terminal or a person."""
    for secret in (SECRET.removeprefix("S3"), "PRIVATE KEY", "Policy=eyJ"):
        assert secret not in text, text[max(0, text.index(secret) - 300) :][:600]
    hidden = {at: character for at, character in enumerate(text) if unicodedata.category(character) in ("Cc", "Cf")}
    bad = {at: char for at, char in hidden.items() if char not in ("\n", "\r", "\t") or is_record}
    assert not bad, [ascii(text[max(0, at - 80) : at + 20]) for at in list(bad)[:5]]


def watch_failures(cloud: LocalCloud) -> str:
    """Subscribe to the topic of failures before the first run, and return the subscription."""
    os.environ["PUBSUB_EMULATOR_HOST"] = cloud.pubsub_host
    create_topics(cloud.pubsub_host, cloud.project, ["edgehaul-failures"])
    with pubsub_v1.SubscriberClient() as client:
        watch: str = client.subscription_path(cloud.project, WATCH)
        client.create_subscription(name=watch, topic=f"projects/{cloud.project}/topics/edgehaul-failures")
    return watch


def first_run(bucket: Bucket) -> Run:
    """A run during which one object is replaced, one is deleted, and somebody else writes the copy of a third."""
    pipeline, cloud = bucket.pipeline, bucket.pipeline.cloud
    bucket.plan(is_held=True)
    run = pipeline.trigger("", workers=2, threads=16, part_size_mib=5)
    listed = pipeline.airflow.wait_for_task(run, "list", states=frozenset({"success", "failed"}), timeout_s=90)
    assert listed.state == "success", pipeline.logs(run)[-6000:]
    bucket.put(REPLACED, b"another object by now")
    bucket.odd[REPLACED] = b"another object by now"
    bucket.s3.delete_object(Bucket=cloud.source_bucket, Key=DELETED)
    del bucket.odd[DELETED]
    bucket.destination.blob(CONFLICTING).upload_from_string(b"somebody else's")
    time.sleep(2)  # so that each of the three is held up by now
    bucket.plan()
    assert pipeline.airflow.wait(run, timeout_s=400) == "failed"
    return run


def check_records(bucket: Bucket, run: Run, failed: dict[str, str]) -> None:
    """Every object is on record as it ended, and both sides are as the records say."""
    workers = [task for task in bucket.pipeline.airflow.task_instances(run) if task.task_id == "transfer"]
    assert [(task.state, task.try_number) for task in workers] == [("success", 1)] * 2
    reasons, report = reasons_of(bucket.record(run, "failures.csv")), json.loads(bucket.record(run, "report.json"))
    assert reasons == failed
    assert {key for key in LOCKED if reasons[key] == "SourceForbidden"} == set(LOCKED)
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
    assert verdict["said"].startswith(f"{len(failed):,} of {len(ORDINARY) + len(BY_KEY):,} objects were not copied")
    assert bucket.ordinary_differences() == []
    assert set(bucket.missing()) == set(failed) - {DELETED} | ending(ARCHIVED)


def check_screen(screen: list[str], failed: dict[str, str]) -> None:
    """The table of reasons has each with its count, examples and advice, and fits a screen."""
    print("\n".join(screen))
    for reason in {*failed.values()}:
        count = sum(one == reason for one in failed.values())
        (at,) = (at for at, line in enumerate(screen) if line.endswith(f" failed: {reason}"))
        assert screen[at].split()[0] == str(count)
        assert screen[at + 1].startswith(f"    fix: {FAILURES[reason].advice.split(',')[0][:60]}"), "the remedy first"
        examples = next(line for line in screen[at:] if line.startswith("    e.g. "))
        assert examples.count(", '") + examples.count(', "') + examples.count("e.g. ") >= min(count, 3)
    assert len([line for line in screen if " failed: " in line]) == len({*failed.values()})
    assert len(screen) <= SCREEN_LINES
    assert max(len(line) for line in screen if not line.startswith("report: ")) <= SCREEN_COLUMNS


def check_texts(bucket: Bucket, run: Run, failed: dict[str, str], watch: str) -> None:
    """Logs, failures.csv, the report and the messages of failures mislead nobody, and hold no secret."""
    check_plain(bucket.pipeline.logs(run))
    for row in rows_of(bucket.record(run, "failures.csv")):
        check_plain("\n".join(row[1:]))
        assert not any(re.match(r"[=+\-@\t\r\n＝＋－＠]", cell) for cell in row), row
    report = json.loads(bucket.record(run, "report.json"))
    check_plain("\n".join(reason["message"] + reason["advice"] for reason in report["reasons"]))
    records = failures_on(watch)
    assert {message["key"] for message in records} >= set(failed)
    for message in records:
        check_plain(message["message"], is_record=True)


def lift_what_blocks(bucket: Bucket) -> None:
    """End the faults, the holds and the retention that only a first attempt is to meet."""
    bucket.plan(is_final=True)
    for key, one in BY_KEY.items():
        if one.before is not None:
            bucket.patch(
                key, dict.fromkeys(one.before, None) if "retention" in one.before else dict.fromkeys(one.before, False)
            )


def check_cleared_reconcile(bucket: Bucket, run: Run, left: dict[str, str]) -> None:
    """Clearing `reconcile` repeats what failed; only what needs a person is left."""
    pipeline = bucket.pipeline
    pipeline.airflow.clear_task(run, "reconcile")
    assert pipeline.airflow.wait(run, timeout_s=400) == "failed"
    assert reasons_of(bucket.record(run, "failures.csv")) == left
    assert set(bucket.missing()) == set(left) - {DELETED} | ending(ARCHIVED)
    check_plain(pipeline.logs(run))


def mend(bucket: Bucket) -> None:
    """Do what the advice says: end all faults, replace what cannot be read, and rename what has no valid name."""
    cloud = bucket.pipeline.cloud
    for url in (cloud.s3_url, cloud.edge_url, cloud.gcs_url):
        control(url, None)
    for key in ending("SourceEncrypted", then=True) | {"odd/missing-meta", "odd/too-much-metadata"}:
        bucket.put(key, b"mended")
        bucket.odd[key] = b"mended"
    for number, key in enumerate(sorted(ending("InvalidName", then=True))):
        bucket.s3.delete_object(Bucket=cloud.source_bucket, Key=key)
        bucket.put(f"renamed/{number}", bucket.odd.pop(key))
        bucket.odd[f"renamed/{number}"] = BY_KEY[key].body


def check_run_after_mending(bucket: Bucket, left: dict[str, str]) -> None:
    """The next run copies exactly what was left."""
    pipeline = bucket.pipeline
    state, again = pipeline.finish("", workers=2, threads=16, part_size_mib=5)
    assert state == "success", pipeline.logs(again)[-4000:]
    assert set(bucket.missing()) == ending(ARCHIVED)
    summary = pipeline.airflow.xcom(again, "verify")
    assert summary["copied"] == len(set(left) - {DELETED})


def test_one_of_everything(bucket: Bucket) -> None:
    began = time.monotonic()

    def lap(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}")

    failed = {key: one.ends for key, one in BY_KEY.items() if one.ends not in (COPIED, ARCHIVED)}
    left = {key: one.then for key, one in BY_KEY.items() if one.then not in (COPIED, ARCHIVED)}
    watch = watch_failures(bucket.pipeline.cloud)
    bucket.fill()
    lap("filled")
    run = first_run(bucket)
    lap("the first run has ended")
    check_records(bucket, run, failed)
    lap("both sides were compared")
    check_screen(screen_of(bucket.pipeline.airflow.task_log(run, "verify")), failed)
    check_texts(bucket, run, failed, watch)
    lap("texts were read")
    lift_what_blocks(bucket)
    check_cleared_reconcile(bucket, run, left)
    lap("reconcile was cleared, and has ended")
    mend(bucket)
    check_run_after_mending(bucket, left)
    lap("the run after mending has ended")


def failures_on(watch: str) -> list[dict[str, Any]]:
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
