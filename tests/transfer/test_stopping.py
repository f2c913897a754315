"""Whatever waits for a server that does not answer ends soon after a stop request, and so does a task of Airflow's."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

import engine_rig as rigs
from engine_rig import DESTINATION, SOURCE, EngineRig, fault
from localcloud.faults import Fault
from operators.engine_errors import engine_errors
from operators.stopping import StopsOnKill
from transfer.backends.pubsub.topics import PubSubFailures
from transfer.backends.s3.files import S3Files, head_all
from transfer.backends.s3.keys import S3Keys
from transfer.backends.s3.listing import list_objects
from transfer.backends.sample_readers import SampleReaders
from transfer.config import Timeouts, TransferConfig
from transfer.deletion.extraneous import DeleteExtraneous, Permission
from transfer.errors import Stage, Stopped, TransferError
from transfer.event_log import NoEventLog
from transfer.model import DestinationObject, ObjectMeta, TransferFailure
from transfer.reconciliation.failures import FailureRecords, FailureTable, drain_failures
from transfer.reconciliation.sampling import SAMPLE_COLUMNS, Sampling, compare_sample
from transfer.records.csv_file import CsvFile
from transfer.sources.files import on_disk
from transfer.stopping import Grace, StopRequest, call_in_thread, result_of

STALL_S = 60.0
SOON_S = 4.5
"""Airflow kills after 5 s."""
KEYS = 6


@pytest.fixture
def rig(tmp_path, monkeypatch) -> Iterator[EngineRig]:
    # As patient as in production: nothing but the stop request may end a wait.
    config = TransferConfig(threads=4, timeouts=Timeouts(connect_s=30, stall_s=60))
    with rigs.engine_rig(tmp_path, monkeypatch.setenv, config=config) as made:
        made.open()
        for number in range(KEYS):
            made.put(f"k{number}", b"content")
        yield made
        for server in (made.s3, made.edge, made.gcs, made.pubsub):
            assert server is not None
            server.faults.replace([])  # lets go of what it holds


def item(number: int = 0) -> ObjectMeta:
    return ObjectMeta(key=f"k{number}", size_bytes=7, etag="0" * 32, last_modified_s=1)


def list_s3(rig: EngineRig) -> None:
    list(list_objects(rig.client, SOURCE, "", stop=rig.stop))


def ask_s3(rig: EngineRig) -> None:
    head = [(f"k{number}", "") for number in range(KEYS)]
    list(head_all(rig.client, SOURCE, head, stop=rig.stop))


def sweep_keys(rig: EngineRig) -> None:
    S3Keys(rig.client, SOURCE, stop=rig.stop).ask([f"k{number}" for number in range(KEYS)])


def read_list(rig: EngineRig) -> None:
    with on_disk(S3Files(rig.client, SOURCE, stop=rig.stop), "k0", rig.stop):
        pass


def list_destination(rig: EngineRig) -> None:
    list(rig.destination_listing().objects("", leave_out="x"))


def write_record(rig: EngineRig) -> None:
    rig.state().write("record", b"x", content_type="text/plain")


def publish(rig: EngineRig) -> None:
    rig.list()


def publish_failures(rig: EngineRig) -> None:
    failure = TransferFailure(key="k", stage=Stage.DOWNLOAD, error_code="X", http_status=None, attempts=1, message="")
    PubSubFailures(rig.publisher, rigs.ERROR_TOPIC, run_id="run-1", stop=rig.stop).publish([failure])


def acknowledge(rig: EngineRig) -> None:
    rig.queue(rig.subscription).ack(["projects/p/1"])


def wait_for_failures(rig: EngineRig) -> None:
    with FailureTable() as table:
        table.expect(
            TransferFailure(key="k", stage=Stage.DOWNLOAD, error_code="X", http_status=None, attempts=1, message="")
        )
        queue = rig.queue(rig.error_subscription)
        drain_failures(queue, table, FailureRecords(rig.state(), listing="1", reader="r"), run_id="run-1")


def compare(rig: EngineRig) -> None:
    reader = SampleReaders(rig.client, SOURCE, lambda: rig.storage, DESTINATION)
    there = DestinationObject(name="k0", size_bytes=7, generation=1)
    rows = CsvFile(rig.state(), "sample", SAMPLE_COLUMNS)
    sampling = Sampling(reader=reader, percent=100, seed="s", stop=rig.stop)
    compare_sample(((item(number), there) for number in range(100)), rows, sampling)


STALLS: list[tuple[Callable[[EngineRig], None], str, str]] = [
    (list_s3, "s3", "GET"),
    (ask_s3, "s3", "HEAD"),
    (sweep_keys, "s3", "HEAD"),
    (read_list, "s3", "GET"),
    (list_destination, "gcs", "GET"),
    (write_record, "gcs", "POST"),
    (publish, "pubsub", "Publish"),
    (publish_failures, "pubsub", "Publish"),
    (acknowledge, "pubsub", "Acknowledge"),
    (wait_for_failures, "pubsub", "Pull"),
    (compare, "s3", "GET"),
]


def stall(rig: EngineRig, server: str, match: str) -> threading.Event:
    """Make a server wait, and tell when it does."""
    reached = threading.Event()
    plan = getattr(rig, server).faults
    decide = plan.decide

    def notice(request: str) -> Fault | None:
        found = decide(request)
        if found is not None:
            reached.set()
        return found

    plan.decide = notice
    plan.replace([fault(match, "delay", seconds=STALL_S)])
    return reached


def ends_soon(rig: EngineRig, work: Callable[[], object], reached: threading.Event) -> list[BaseException]:
    """Stop the work once the server stalls; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except (Stopped, TransferError) as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert reached.wait(20), raised
    rig.stop.set()
    thread.join(SOON_S)
    assert not thread.is_alive()
    return raised


@pytest.mark.parametrize(("work", "server", "match"), STALLS, ids=lambda value: getattr(value, "__name__", None))
def test_what_waits_for_a_stalled_server_hears_a_stop(
    rig: EngineRig, work: Callable[[EngineRig], None], server: str, match: str
) -> None:
    reached = stall(rig, server, match)
    (error,) = ends_soon(rig, lambda: work(rig), reached)
    assert isinstance(error, Stopped)


@pytest.mark.parametrize(
    ("server", "match"),
    [
        ("edge", "GET"),
        ("gcs", "POST .*/upload/"),
        ("gcs", "ledger"),
        ("gcs", "begun"),
        ("pubsub", "Pull"),
        ("pubsub", "Acknowledge"),
        ("pubsub", "ModifyAckDeadline"),
    ],
)
def test_a_worker_whose_servers_stall_hears_a_stop(rig: EngineRig, server: str, match: str) -> None:
    worker = rig.worker(rig.list())
    reached = stall(rig, server, match)
    if match == "ModifyAckDeadline":  # asked for at the end alone, to give back what the edge keeps busy
        began = stall(rig, "edge", "GET")
        (error,) = ends_soon(rig, worker.run, began)
    else:
        (error,) = ends_soon(rig, worker.run, reached)
    assert isinstance(error, Stopped)


def test_a_deletion_whose_source_stalls_hears_a_stop(rig: EngineRig) -> None:
    rig.worker(rig.list()).run()
    for number in range(1, KEYS):
        rig.client.delete_object(Bucket=SOURCE, Key=f"k{number}")
    listed = rig.list(listing="2").counts.listed
    rig.reconcile(listing="2")
    reached = stall(rig, "s3", "HEAD")
    may = Permission(action=DeleteExtraneous.DELETE)
    (error,) = ends_soon(rig, lambda: rig.sweep(may, listed=listed, listing="2"), reached)
    assert isinstance(error, Stopped)
    assert len(rig.names()) == KEYS


def test_a_grace_ends_by_the_time_of_the_request() -> None:
    stop = StopRequest()
    early, late = Grace(stop, 0.0), Grace(stop, 60.0)
    assert not early.is_set()
    assert not early.wait(0)
    assert not late.is_set()
    stop.set()
    stop.set()
    assert early.wait()
    assert not late.wait(0.01)
    stop.at_s = time.monotonic() - 61
    assert Grace(stop, 60.0).is_set()


def test_a_call_set_aside_gives_its_result_its_error_or_way() -> None:
    stop = threading.Event()
    assert call_in_thread(lambda: 7, stop) == 7
    with pytest.raises(TimeoutError, match="its own"):
        call_in_thread(lambda: (_ for _ in ()).throw(TimeoutError("its own")), stop)
    with pytest.raises(TimeoutError):
        result_of(Future(), stop, timeout_s=0.01)
    stop.set()
    with pytest.raises(Stopped):
        call_in_thread(lambda: 7, stop)


class Task(StopsOnKill):
    """An operator, as far as SIGTERM sees it."""


def test_a_stop_before_the_work_is_not_forgotten() -> None:
    task = Task()
    task.on_kill()
    assert task.stop.wait(5)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_does_not_look_is_broken_off(monkeypatch) -> None:
    """In the main thread, as Airflow runs it: a sleep that swallows the first error is ended, too."""
    from airflow.sdk.exceptions import AirflowException

    monkeypatch.setattr("operators.stopping.BREAK_OFF_S", 0.2)
    task, before = Task(), signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    try:
        with pytest.raises(AirflowException, match="stopped before"), engine_errors("task", {}, NoEventLog()):
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                time.sleep(STALL_S)
            except Stopped:
                time.sleep(STALL_S)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
