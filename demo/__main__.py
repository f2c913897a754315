"""`python -m demo`: the main job on real files. `python -m demo up` and `down`: the same stack, left running."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo import keeper
from demo.airflow_api import AirflowApi, AirflowError
from demo.airflow_stack import REPOSITORY
from demo.following import failures, follow
from demo.input import DemoInput, InputError, directory_input, sample_input
from demo.keeper import DemoError, Session
from demo.screen import Screen, human_bytes
from demo.upload import UploadRefused, s3_client, upload
from demo.verify import Verification, gcs_client, verify

LOCAL = REPOSITORY / ".local"
DEMO, UP = LOCAL / "demo", LOCAL / "up"
REPORT = LOCAL / "demo-report.json"
SOURCE_BUCKET, DESTINATION_BUCKET = "edgehaul-source", "edgehaul-destination"
WORKERS, THREADS = 2, 8
RUN_TIMEOUT_S = 1800.0
COUNTS = ("listed", "copied", "skipped", "failed", "matched", "missing", "differing")


def main() -> int:
    """Run the command and return its exit status: 0 only if the command succeeded and, for `run`, every object was verified."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "up", "down"), default="run")
    parser.add_argument("--source", type=Path, help="copy this directory instead of the sample input")
    parser.add_argument("--keep", action="store_true", help="leave the services running at the end")
    parser.add_argument("--routes", type=Path, help="up: a routes file, whose routes start at once")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # run the `finally` blocks, which stop all services
    screen = Screen()
    try:
        if options.command == "down":
            return down(screen)
        if options.command == "up":
            return up(screen, options.source, options.routes)
        return run(screen, options.source, keep=options.keep)
    except (InputError, DemoError, UploadRefused, AirflowError) as error:
        screen.say(f"\nThe demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        screen.say("\nInterrupted.")
        return 130


def run(screen: Screen, source: Path | None, *, keep: bool) -> int:
    """Start everything, copy the input with the DAG, and verify the copies independently; returns the exit status."""
    screen.title("Edgehaul: S3 → CloudFront → Cloud Storage, on this machine alone")
    data = _input(screen, source)
    REPORT.unlink(missing_ok=True)
    session = None
    try:
        with screen.phase("start the local cloud and Airflow"):
            session = _start(DEMO, outlive=keep)
        data = _upload(screen, session, data)
        airflow = AirflowApi(session.airflow_url)
        conf = _conf()
        with screen.phase("run the DAG s3_to_gcs"):
            dag_run = airflow.trigger("s3_to_gcs", conf)
            state = follow(airflow, dag_run, screen, workers=WORKERS, timeout_s=RUN_TIMEOUT_S)
        summary = airflow.xcom(dag_run, "verify") or {}
        if state != "success":
            for task, words in failures(airflow, dag_run).items():
                screen.say(f"  ✗ {task}\n{words}")
        checked = _verify(screen, session)
        is_green = state == "success" and _all_explained(summary, checked, data)
        _tell(screen, summary, checked)
        _write_report(state, summary, checked, data, is_green=is_green)
        screen.say(f"  report: {REPORT.relative_to(REPOSITORY)}")
        if keep:
            screen.say(f"  Airflow is at {airflow.run_url(dag_run)} until you run: make down")
        screen.say(f"  {'Every object arrived, byte for byte' if is_green else 'NOT every object arrived'}")
        return 0 if is_green else 1
    except BaseException:
        keep = False
        raise
    finally:
        if session is not None and not keep:
            keeper.stop(DEMO)


def up(screen: Screen, source: Path | None, routes: Path | None) -> int:
    """Start everything, upload the input, and leave the services running; returns the exit status."""
    if routes is not None and not routes.is_file():
        raise InputError(f"ROUTES={routes} is not a file.")
    if (session := keeper.running(UP)) is not None:
        with screen.phase("ask the stack that is up whether all of it works"):
            found = keeper.problems(session)
        if found:
            log = (UP / "keeper.log").relative_to(REPOSITORY)
            raise DemoError(f"{'; '.join(found)}. {log} says more. Start it again with: make down up")
        screen.say(f"Already up: Airflow is at {session.airflow_url}; stop it with: make down")
        return 0
    screen.title("Edgehaul: a local cloud and Airflow")
    data = _input(screen, source)
    with screen.phase("start the local cloud and Airflow"):
        session = _start(UP, outlive=True, routes=routes and routes.resolve())
    try:
        _upload(screen, session, data)
    except BaseException:
        keeper.stop(UP)
        raise
    screen.say(f"\n  Airflow is at {session.airflow_url}/dags/s3_to_gcs")
    screen.say(
        f"  Trigger it with source_bucket {session.source_bucket}, destination_bucket {session.destination_bucket}."
    )
    screen.say("  Connections: cloudfront_default (signed URLs), cloudfront_public. Stop everything with: make down")
    return 0


def down(screen: Screen) -> int:
    """Stop the services that `up` or a demo with `--keep` left running; returns the exit status."""
    stopped = [keeper.stop(folder) for folder in (UP, DEMO)]
    screen.say("Stopped." if any(stopped) else "Nothing was running.")
    return 0


def _start(folder: Path, *, outlive: bool, routes: Path | None = None) -> Session:
    return keeper.start(
        folder, source_bucket=SOURCE_BUCKET, destination_bucket=DESTINATION_BUCKET, outlive=outlive, routes=routes
    )


def _input(screen: Screen, source: Path | None) -> DemoInput:
    with screen.phase(f"choose the input from {source or 'the installed packages'}"):
        data = directory_input(source.resolve()) if source is not None else sample_input(LOCAL / "cache")
    _show_left_out(screen, data.left_out)
    screen.say(f"    {len(data.objects):,} objects, {human_bytes(data.size_bytes)}")
    return data


def _upload(screen: Screen, session: Session, data: DemoInput) -> DemoInput:
    count = size_bytes = 0

    def on_object(object_bytes: int) -> None:
        nonlocal count, size_bytes
        count, size_bytes = count + 1, size_bytes + object_bytes
        screen.live(f"    {count:,} of {len(data.objects):,} objects, {human_bytes(size_bytes)}")

    with screen.phase("upload it to the local S3"):
        uploaded = upload(_s3(session), session.source_bucket, data, on_object)
    _show_left_out(screen, uploaded.left_out[len(data.left_out) :])
    return uploaded


def _show_left_out(screen: Screen, left_out: Iterable[tuple[str, str]]) -> None:
    for name, reason in left_out:
        screen.say(f"    left out: {name!r}: {reason}")


def _s3(session: Session) -> Any:
    return s3_client(session.s3_url, session.access_key_id, session.secret_access_key, session.region)


def _conf() -> dict[str, Any]:
    return {
        "source_bucket": SOURCE_BUCKET,
        "destination_bucket": DESTINATION_BUCKET,
        "source_prefix": None,
        "destination_prefix": None,
        "workers": WORKERS,
        "threads": THREADS,
        "overwrite": "changed",
        "aws_conn_id": "aws_default",
        "gcp_conn_id": "google_cloud_default",
        "cloudfront_conn_id": "cloudfront_default",
    }


def _verify(screen: Screen, session: Session) -> Verification:
    count = 0

    def on_object(_: int) -> None:
        nonlocal count
        count += 1
        screen.live(f"    {count:,} objects read from both sides")

    with screen.phase("read everything back from both sides and compare (independent of the engine)"):
        return verify(
            _s3(session),
            session.source_bucket,
            gcs_client(session.gcs_url, session.project),
            session.destination_bucket,
            on_object=on_object,
        )


def _all_explained(summary: Mapping[str, Any], checked: Verification, data: DemoInput) -> bool:
    return (
        checked.matched == checked.objects == len(data.objects) == summary.get("listed")
        and not (checked.missing or checked.differing or checked.extra)
        and summary["matched"] + summary["skipped"] == summary["listed"]
    )


def _tell(screen: Screen, summary: Mapping[str, Any], checked: Verification) -> None:
    if summary:
        rows = [(name, f"{summary[name]:,}") for name in COUNTS]
        rows += [("bytes", f"{summary['bytes_copied']:,}"), ("seconds", f"{summary['seconds']:,.1f}")]
        screen.table([*rows, ("same bytes, headers and metadata", f"{checked.matched:,}")])
    for key in checked.missing[:10]:
        screen.say(f"    missing: {key!r}")
    for key, how in checked.differing[:10]:
        screen.say(f"    differing: {key!r}: {how}")
    for name in checked.extra[:10]:
        screen.say(f"    not from the source: {name!r}")


def _write_report(
    state: str, summary: Mapping[str, Any], checked: Verification, data: DemoInput, *, is_green: bool
) -> None:
    report = {
        "green": is_green,
        "run_state": state,
        "input": {"objects": len(data.objects), "bytes": data.size_bytes, "left_out": dict(data.left_out)},
        "run": dict(summary),
        "verification": asdict(checked),
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
