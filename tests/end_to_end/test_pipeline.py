"""The whole job under a real scheduler, with parallel worker processes, signed URLs, and the errors of practice."""

from __future__ import annotations

import os
import signal
import time

from inventories import Row, put_inventory
from pipeline import event_texts, fill, subscriptions
from report_checks import check_report

COUNTS = {"listed", "copied", "skipped", "failed", "matched", "missing", "differing", "extra", "bytes_copied"}
SUMMARY = COUNTS | {"run_id", "seconds", "report_uri"}
HOSTILE = ["with space", "a+b%2B#?&=", "x//y", "p/../q", "./r", "emoji-🚚-e\u0301", "k" * 900, "marker/"]


def test_the_main_job(pipeline) -> None:
    bodies = fill(pipeline, "main/", count=300) | {
        f"main/{key}": key.encode() for key in HOSTILE
    }  # enough for two workers
    for key in HOSTILE:
        pipeline.put(f"main/{key}", key.encode(), ContentType="text/x-test", Metadata={"from": "the test"})
    large = os.urandom(20 * 1024 * 1024 + 1)
    pipeline.put("main/large", large)
    bodies["main/large"] = large

    state, run = pipeline.finish("main/", part_size_mib=5, bandwidth_limit_mib_s=900.5, max_requests_per_s=9_000)

    assert state == "success", pipeline.logs(run)[-4000:]
    summary = pipeline.airflow.xcom(run, "verify")
    assert set(summary) == SUMMARY
    assert summary["run_id"] == run.run_id
    assert summary["listed"] == summary["matched"] == summary["copied"] == len(bodies)
    assert summary["bytes_copied"] == sum(map(len, bodies.values()))
    assert not any(summary[name] for name in ("skipped", "failed", "missing", "differing", "extra"))
    assert pipeline.stored("main/") == bodies
    blob = pipeline.gcs.bucket(pipeline.cloud.destination_bucket).get_blob("main/emoji-🚚-e\u0301")
    assert (blob.content_type, blob.metadata["from"]) == ("text/x-test", "the test")

    workers = [task for task in pipeline.airflow.task_instances(run) if task.task_id == "transfer"]
    assert len({task.pid for task in workers}) == 2
    assert [slot["workers"] for slot in pipeline.airflow.xcom(run, "list")] == [2, 2]
    counts = [pipeline.airflow.xcom(run, "transfer", map_index=task.map_index) for task in workers]
    assert sum(count["copied"] for count in counts) == len(bodies)
    logs = pipeline.logs(run)
    assert "copied, 0 skipped, 0 failed" in logs
    for secret in ("Signature=", "Policy=", "PRIVATE KEY", pipeline.cloud.secret_access_key):
        assert secret not in logs
    for line in pipeline.cloud.private_key_pem.splitlines()[1:-1]:
        assert line not in logs
    assert "too short" not in logs and logs.count("credentials retrieved") == 2, "of preflight and of list, once each"
    assert subscriptions(pipeline) == []
    check_report(pipeline, run, summary, [count["edge_requests"] for count in counts])


def test_a_second_run_copies_nothing_and_a_prefix_can_be_renamed(pipeline) -> None:
    bodies = fill(pipeline, "again/", 20)
    assert pipeline.finish("again/")[0] == "success"
    state, run = pipeline.finish("again/")
    assert state == "success"
    summary = pipeline.airflow.xcom(run, "verify")
    assert (summary["listed"], summary["copied"], summary["skipped"]) == (len(bodies), 0, len(bodies))

    state, run = pipeline.finish("again/", destination_prefix="renamed/", cloudfront_conn_id="cloudfront_public")
    assert state == "success"
    assert pipeline.stored("renamed/") == {key.replace("again/", "renamed/"): body for key, body in bodies.items()}


def test_a_plan_is_copied_and_the_bucket_kept_in_step(pipeline) -> None:
    bodies = fill(pipeline, "step/", 20)
    planned, compared = pipeline.trigger("step/", mode="plan"), pipeline.trigger("step/", mode="verify")
    assert (pipeline.wait(planned), pipeline.wait(compared)) == ("success", "failed")

    plan = pipeline.airflow.xcom(planned, "list", key="plan")
    assert plan["to_copy"] == {"objects": len(bodies), "bytes": sum(map(len, bodies.values()))}
    assert plan["usage"]["edge_requests"] == len(bodies)
    assert "← cheapest" in pipeline.logs(planned)
    states = {task.task_id: task.state for task in pipeline.airflow.task_instances(planned)}
    skipped = dict.fromkeys(("transfer", "reconcile", "retry", "verify", "delete_extraneous"), "skipped")
    assert states == {
        "preflight": "success",
        "open_run": "success",
        "list": "success",
        **skipped,
        "close_run": "success",
    }
    summary = pipeline.airflow.xcom(compared, "verify")
    assert (summary["listed"], summary["missing"], summary["copied"]) == (len(bodies), len(bodies), 0)
    assert "are missing or differ" in pipeline.logs(compared)
    assert pipeline.stored("step/") == {}

    pipeline.put("step/after-the-plan", b"not in it")
    state, copied = pipeline.finish("step/", plan_run=planned.run_id, delete_extraneous="delete")
    assert state == "success", pipeline.logs(copied)[-4000:]
    assert pipeline.stored("step/") == bodies
    assert pipeline.airflow.task_instance(copied, "delete_extraneous").state == "skipped"

    del bodies["step/0/0000"], bodies["step/1/0001"]
    for key in ("step/0/0000", "step/1/0001"):
        pipeline.s3.delete_object(Bucket=pipeline.cloud.source_bucket, Key=key)
    state, run = pipeline.finish("step/", delete_extraneous="delete")
    assert state == "success", pipeline.logs(run)[-4000:]
    swept = pipeline.airflow.xcom(run, "delete_extraneous")
    assert (swept["deleted"], swept["still_in_source"], swept["new"]) == (2, 0, 0)
    assert pipeline.stored("step/") == bodies | {"step/after-the-plan": b"not in it"}


def test_an_inventory_and_a_selection(pipeline) -> None:
    """Only the selected objects of an inventory are copied; objects that it does not name may still be in the source."""
    bodies = fill(pipeline, "some/", 12)
    pipeline.s3.create_bucket(Bucket="inventories")
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=pipeline.cloud.source_bucket, Prefix="some/")
    rows = [
        Row(key=item["Key"], size=item["Size"], modified=item["LastModified"], etag=item["ETag"].strip('"'))
        for page in pages
        for item in page["Contents"]
    ]
    unknown = rows.pop()
    rows.append(Row(key="elsewhere/not under the prefix"))
    uri = put_inventory(
        pipeline.s3,
        "inventories",
        [rows[1::2], rows[::2]],
        of_bucket=pipeline.cloud.source_bucket,
        file_format="Parquet",
    )
    selected = {"exclude": ["3/", "# no comment"], "min_size": "1", "modified_since": "1d"}
    run = pipeline.trigger("some/", source_listing=uri, **selected)
    refused = pipeline.trigger("some/", source_listing=uri, delete_extraneous="delete")
    unselected = pipeline.trigger("some/", source_listing=uri, include=["*.none"])
    assert [pipeline.wait(each) for each in (run, refused, unselected)] == ["success", "failed", "failed"]

    chosen = {
        key: body for key, body in bodies.items() if body and not key.startswith("some/3/") and key != unknown.key
    }
    assert pipeline.stored("some/") == chosen
    summary = pipeline.airflow.xcom(run, "verify")
    assert (summary["listed"], summary["matched"], summary["extra"]) == (len(rows) - 1, len(chosen), 0)
    assert "not-selected-name" in pipeline.logs(run)
    assert "an inventory or a manifest may not name every object of the source" in pipeline.logs(refused)
    assert "of the 12 objects of" in pipeline.logs(unselected)


def test_each_mistake_of_a_user_is_one_clear_failure(pipeline) -> None:
    """Several wrong runs at a time: each reports all its mistakes and where they are, is not retried, and copies nothing."""
    fill(pipeline, "wrong/", 30)
    runs = {
        "key": pipeline.trigger("wrong/", cloudfront_conn_id="cloudfront_wrong", destination_bucket="no-such-bucket"),
        "secret": pipeline.trigger("wrong/", aws_conn_id="aws_wrong"),
        "empty": pipeline.trigger("nothing-here/"),
        "allowed": pipeline.trigger("nothing-here/", allow_empty=True),
        "source": pipeline.trigger("wrong/", source_bucket="no-such-source"),
        "connection": pipeline.trigger("wrong/", cloudfront_conn_id="not_there", gcp_conn_id="not_there"),
        "names": pipeline.trigger("wrong/", exclud=["huge/"], dry_run=True, workers=2.0, mode="verify"),
        "earlier": pipeline.trigger("wrong/", only_failed="nonsense"),
    }
    states = {name: pipeline.wait(run) for name, run in runs.items()}
    logs = {name: pipeline.logs(run) for name, run in runs.items()}
    assert states == dict.fromkeys(runs, "failed") | {"allowed": "success"}
    for name in ("key", "secret", "source", "connection", "names", "earlier"):
        tasks = {task.task_id: (task.state, task.try_number) for task in pipeline.airflow.task_instances(runs[name])}
        assert tasks.pop("preflight") == ("failed", 1)
        assert {state for state, _ in tasks.values()} == {"upstream_failed"}
        assert "nothing was copied" in logs[name]

    assert "2 of " in logs["key"]
    assert "connection 'cloudfront_wrong': the edge answered HTTP 403 InvalidKey" in logs["key"]
    assert "does gs://no-such-bucket exist?" in logs["key"]
    assert "SignatureDoesNotMatch" in logs["secret"]
    assert "'aws_wrong'" in logs["secret"]
    assert "holds no objects" in logs["empty"]
    assert "allow_empty" in logs["empty"]
    assert pipeline.airflow.xcom(runs["allowed"], "verify")["listed"] == 0
    assert "s3://no-such-source" in logs["source"]
    assert logs["connection"].count("there is no connection 'not_there'") >= 4
    assert "3 parameters are wrong" in logs["names"]
    for said in (
        "there is no parameter exclud; did you mean exclude?",
        "there is no parameter dry_run; use ",
        "workers is '2.0': choose a whole number, 1 to 64",
    ):
        assert said in logs["names"]
    assert "only_failed names the run 'nonsense'" in logs["earlier"]
    assert subscriptions(pipeline) == []
    assert pipeline.stored("wrong/") == {}
    assert pipeline.stored(".edgehaul/preflight/") == {}


def test_a_signature_that_becomes_invalid_is_one_clear_failure(pipeline, edge_faults) -> None:
    """An error that preflight cannot foresee ends the run at once, is an event, and every object is accounted for."""
    fill(pipeline, "spoilt/", 30)
    refusal = {"action": "status", "status": 403, "body": "<Error><Code>AccessDenied</Code></Error>"}
    edge_faults([{"match": "GET /spoilt/", "after": 2, **refusal}])
    state, run = pipeline.finish("spoilt/", workers=1, log_name="edgehaul-wrong")
    assert state == "failed"
    logs = pipeline.logs(run)
    assert "SignatureRejected" in logs
    assert "'cloudfront_default'" in logs
    worker = pipeline.airflow.task_instance(run, "transfer", 0)
    assert (worker.state, worker.try_number) == ("failed", 1)
    summary = pipeline.airflow.xcom(run, "verify")
    assert (summary["failed"], summary["missing"]) == (0, summary["listed"])
    assert any("transfer" in event for event in rejections(pipeline))
    assert subscriptions(pipeline) == []


def rejections(pipeline) -> list[str]:
    events = [text for text in event_texts(pipeline, "edgehaul-wrong") if "SignatureRejected" in text]
    assert all("MAIN_PROGRAM_ERROR" in event and "Traceback" in event for event in events)
    return events


def test_a_killed_worker_loses_nothing(pipeline, edge_faults) -> None:
    bodies = fill(pipeline, "killed/", 80)
    edge_faults([{"match": "GET", "action": "delay", "seconds": 0.5}])
    run = pipeline.trigger("killed/")
    pipeline.airflow.wait_for_task(run, "transfer", 0, states=frozenset({"running"}), timeout_s=60)
    deadline = time.monotonic() + 30
    while not pipeline.airflow.task_state(run, "transfer", map_index=0).get("progress", {}).get("copied"):
        assert time.monotonic() < deadline, "the worker never started"
        time.sleep(0.2)
    os.kill(pipeline.airflow.task_instance(run, "transfer", 0).pid, signal.SIGKILL)
    edge_faults([])

    assert pipeline.wait(run) == "success", pipeline.logs(run)[-4000:]
    assert pipeline.airflow.task_instance(run, "transfer", 0).try_number > 1
    assert pipeline.stored("killed/") == bodies
    summary = pipeline.airflow.xcom(run, "verify")
    assert summary["matched"] == summary["listed"] == len(bodies)


def test_failures_are_reported_and_logged(pipeline, edge_faults) -> None:
    fill(pipeline, "partly/", 10)
    edge_faults(
        [{"match": "partly/3/", "action": "status", "status": 404, "body": "<Error><Code>NoSuchKey</Code></Error>"}]
    )
    state, run = pipeline.finish("partly/", log_name="edgehaul-test", verbose=True)
    assert state == "failed"
    summary = pipeline.airflow.xcom(run, "verify")
    assert (summary["listed"], summary["matched"], summary["failed"]) == (11, 10, 1)
    logs = pipeline.logs(run)
    assert "1 of 11 objects were not copied" in logs
    assert "SourceNotFound" in logs

    entries = event_texts(pipeline, "edgehaul-test")
    for name, count in (("PUBSUB_MESSAGE_PUBLISHED", 1), ("OBJECT_INITIATED", 11), ("OBJECT_DOWNLOAD_ERROR", 1)):
        assert sum(name in entry for entry in entries) >= count, (name, entries)
    assert not any("Signature" in entry for entry in entries)


def test_failed_objects_are_replayed_without_listing_again(pipeline, edge_faults) -> None:
    """Clearing `reconcile` does it, and so does another run that names this one."""
    bodies = fill(pipeline, "replay/", 20)
    refused = [key for key in bodies if key.startswith("replay/3/")]
    gone = {"match": "replay/3/", "action": "status", "status": 404, "body": "<Error><Code>NoSuchKey</Code></Error>"}
    edge_faults([gone])
    first, also = pipeline.trigger("replay/"), pipeline.trigger("replay/", destination_prefix="other/")
    assert [pipeline.wait(first), pipeline.wait(also)] == ["failed", "failed"]
    assert pipeline.airflow.xcom(first, "verify")["failed"] == len(refused)
    assert {task.state for task in pipeline.airflow.task_instances(first) if task.task_id == "retry"} == {"skipped"}
    edge_faults([])
    before = pipeline.requests()

    pipeline.airflow.clear_task(first, "reconcile")
    assert pipeline.wait(first) == "success", pipeline.logs(first)[-4000:]
    assert pipeline.airflow.task_instance(first, "list").try_number == 1
    assert pipeline.airflow.task_instance(first, "transfer", 0).try_number == 1
    summary = pipeline.airflow.xcom(first, "verify")
    assert summary["matched"] == summary["listed"] == len(bodies)
    assert pipeline.stored("replay/") == bodies

    by_name = pipeline.trigger("replay/", destination_prefix="other/", only_failed=also.run_id)
    assert pipeline.wait(by_name) == "success", pipeline.logs(by_name)[-4000:]
    summary = pipeline.airflow.xcom(by_name, "verify")
    assert (summary["listed"], summary["copied"], summary["extra"]) == (len(refused), len(refused), 0)
    assert len(pipeline.stored("other/")) == len(bodies)

    after = pipeline.requests()
    assert after["edge"]["GET object 200"] - before["edge"]["GET object 200"] == 2 * len(refused)
    assert after["s3"].get("GET bucket 200", 0) == before["s3"].get("GET bucket 200", 0)

    state, last = pipeline.finish("replay/", destination_prefix="other/", only_failed="last")
    assert (state, pipeline.airflow.xcom(last, "verify")["listed"]) == ("success", 0)
    state, unknown = pipeline.finish("replay/", only_failed="no-such-run")
    assert state == "failed"
    assert "only_failed names the run 'no-such-run'" in pipeline.logs(unknown)
    assert subscriptions(pipeline) == []


def test_records_are_kept_in_their_own_bucket_and_old_ones_deleted(pipeline) -> None:
    records = pipeline.gcs.create_bucket("run-records")
    bodies = fill(pipeline, "records/", 3)
    runs = [pipeline.finish("records/", state_bucket="run-records", keep_runs=1, overwrite="always") for _ in range(2)]
    assert [state for state, _ in runs] == ["success"] * 2
    names = [blob.name for blob in pipeline.gcs.list_blobs(records)]
    (folder,) = {name.split("/")[1] for name in names} - {"runs", "uploads"}
    assert {name.split("/")[2] for name in names if name.startswith(".edgehaul/uploads/")} == {folder}
    assert sum(name.endswith("/report.json") for name in names) == 1
    uri = pipeline.airflow.xcom(runs[1][1], "verify")["report_uri"]
    assert uri == f"gs://run-records/.edgehaul/{folder}/report.json"
    assert pipeline.stored("records/") == bodies
