"""What goes wrong with one object, or with one message, ends as that object's failure and never ends the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from engine_rig import DESTINATION, STATE_PREFIX, TOPIC, EngineRig, engine_rig, fault
from transfer.backends.gcs.sink import GcsSink
from transfer.errors import (
    CredentialsRejected,
    DestinationForbidden,
    EdgeBlocked,
    InvalidMessage,
    Stage,
    UnexpectedError,
)
from transfer.records.in_flight import InFlightMessages, crash_of
from transfer.records.ledger import Ledger
from transfer.records.messages import LISTING, RUN, decode_request
from transfer.records.shards import read_shards
from transfer.stopping import StopRequest

SECRET = "https://d1.net/a?Policy=eyJT&Signature=AbC~_-x&Key-Pair-Id=K2"


@pytest.fixture
def rig(tmp_path, monkeypatch) -> Iterator[EngineRig]:
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


def fail_for(monkeypatch, target: str, part: str, error: Exception) -> None:
    """Let a function of the engine raise for objects whose keys hold this."""
    module, _, name = target.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    def faulty(item, *arguments):
        if part in item.key:
            raise error
        return real(item, *arguments)

    monkeypatch.setattr(target, faulty)


def test_mail_headers_as_metadata_stop_nothing(rig: EngineRig) -> None:
    """Words in a charset that nobody knows, and damaged ones, as in mail archives."""
    odd = ["=?x-unknown?Q?abc?=", "=?utf-8?B?not base64?=", "=?utf-8?Q?=ff=fe?=", "=?", "=?utf-8?Q?a=0d=0ab?="]
    for index in range(40):
        rig.put(f"{index:02d}", Metadata={"subject": odd[index % len(odd)]} if index % 4 == 0 else {})
    stats, report = rig.copy_all()
    assert (stats.copied, report.is_green) == (40, True)


@pytest.mark.parametrize(
    "error", [LookupError("unknown encoding: x-unknown"), RecursionError(), KeyError("x"), OSError(24)]
)
def test_an_unforeseen_error_is_the_objects_own(rig: EngineRig, monkeypatch, caplog, error: Exception) -> None:
    for index in range(30):
        rig.put(f"{index:02d}{'-odd' if index % 3 == 0 else ''}")
    fail_for(monkeypatch, "transfer.copying.whole.resource_of", "-odd", error)
    stats, report = rig.copy_all()
    assert (stats.copied, stats.failed) == (20, 10)
    (reason,) = report.unfinished_reasons
    assert (reason.reason, reason.count, report.missing) == ("UnexpectedError", 10, 0)
    assert type(error).__name__ in reason.message
    assert sum("unexpected" in line for line in caplog.messages) == 1, "the traceback is told once, not for each object"


DEEP = b"[" * 100_000
NUMBER = '{"version":1,"number":%s,"objects":[{"key":"0","size":7,"etag":"e","mtime":1}]}'
BODIES = {
    "deep": DEEP,
    "deep inside": b'{"version":1,"number":0,"objects":' + DEEP,
    "many digits": (NUMBER % ("9" * 5000)).encode(),
    "fewer digits": (NUMBER % ("9" * 4000)).encode(),
    "past the end": (NUMBER % 99).encode(),
    "a float": (NUMBER % "0.0").encode(),
    "no number": (NUMBER % "NaN").encode(),
    "infinite": (NUMBER % "1e999").encode(),
    "a size": b'{"version":1,"number":0,"objects":[{"key":"0","size":1%s,"etag":"e","mtime":1}]}' % (b"0" * 30),
    "a key": b'{"version":1,"number":0,"objects":[{"key":"%s","size":1,"etag":"e","mtime":1}]}' % (b"k" * 100_000),
    "no text": b"\xff\xfe",
}


def test_no_message_ends_a_worker_or_a_pass(rig: EngineRig) -> None:
    for index in range(20):
        rig.put(f"{index:02d}")
    rig.open()
    for body in BODIES.values():
        rig.publisher.publish(TOPIC, body, **{RUN: rig.run_id, LISTING: "1"}).result(timeout=10)
    summary = rig.list()
    stats = rig.worker(summary).run()
    report = rig.reconcile()
    assert (stats.copied, report.matched) == (20, 20)
    assert report.invalid_messages == len(BODIES)
    assert Ledger(rig.state(), listing="1", worker="x").settled() == set(range(summary.counts.messages))


def test_a_message_is_not_read_at_any_size() -> None:
    with pytest.raises(InvalidMessage, match="bytes"):
        decode_request(b" " * (5 * 1024 * 1024), {})


class Broken(Ledger):
    def write(self, outcomes, settled) -> None:
        raise TypeError(f"nobody foresaw this, nor {SECRET}\nERROR a line of its own")


def test_a_worker_that_dies_of_the_unforeseen_is_on_record_with_its_words(rig: EngineRig) -> None:
    for index in range(5):
        rig.put(f"{index}")
    rig.open()
    worker = rig.worker(rig.list())
    worker._ledger = worker._settlement._ledger = Broken(rig.state(), listing="1", worker="w0-1")
    with pytest.raises(TypeError):
        worker.run()
    words = crash_of(rig.state(), "1")
    assert "TypeError: nobody foresaw this" in words
    assert "AbC" not in words and "\n" not in words
    another = InFlightMessages(rig.state(), listing="1", slot="w1", attempt=1)
    another.open()
    assert another.suspects, "also for another worker, and before the dead one is tried again"


def test_what_succeeded_is_on_record_when_a_worker_ends_on_an_error(rig: EngineRig) -> None:
    """In messages that failed in part, and in those that were not finished."""
    for index in range(150):
        rig.put(f"{index:03d}")
    rig.open()
    worker = rig.worker(rig.list())
    rig.edge.faults.replace(
        [fault("GET", "status", after=100, status=403, body="<Error><Code>InvalidKey</Code></Error>")]
    )
    with pytest.raises(Exception, match="InvalidKey"):
        worker.run()
    rows = {line["key"] for line in read_shards(rig.state(), "ledger/") if line["outcome"] == "copied"}
    assert rows <= set(rig.names())
    assert len(rows) > 75
    assert len(rig.names()) - len(rows) <= 4, "only what was on its way when the worker ended"


def test_what_a_message_says_is_plain_whoever_wrote_it() -> None:
    error = UnexpectedError(f"a{SECRET} b\r\n\x1b[31mERROR \u202e {'x' * 10_000} end", stage=Stage.DOWNLOAD)
    assert error.message == str(error)
    assert error.message.isprintable() and len(error.message) <= 2_000
    assert "AbC" not in error.message and error.message.endswith(" end")
    assert UnexpectedError(error.message, stage=Stage.DOWNLOAD).message == error.message


# The control


LOCKED = {
    "status": 403,
    "body": "<Error><Code>AccessDenied</Code><RequestId>1</RequestId></Error>",
    "headers": {"x-amz-request-id": "1"},
}


def put_three_folders(rig: EngineRig, names: tuple[str, str, str], *, tens: int = 2) -> None:
    for name, count in zip(names, (10 * tens, 15 * tens, 10 * tens), strict=True):
        for index in range(count):
            rig.put(f"{name}/{index:03d}")


def work_with(rig: EngineRig, workers: int) -> None:
    """So many workers at a time; what one of them raises is raised here."""
    rig.open()
    summary = rig.list()
    errors: list[BaseException] = []

    def run(name: str) -> None:
        try:
            rig.worker(summary, name=name).run()
        except Exception as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f"w{index}",)) for index in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    if errors:
        raise errors[0]


@pytest.mark.parametrize(
    ("workers", "names", "tens"),
    [(1, ("a", "locked", "z"), 10), (4, ("m", "a-locked", "z"), 10), (1, ("m", "a-locked", "z"), 2)],
)
def test_a_locked_folder_costs_that_folder(
    rig: EngineRig, workers: int, names: tuple[str, str, str], tens: int
) -> None:
    put_three_folders(rig, names, tens=tens)
    rig.edge.faults.replace([fault("GET /[^/]*locked/", "status", **LOCKED)])
    work_with(rig, workers)
    costs_only_that_folder(rig, "SourceForbidden", tens=tens)


def costs_only_that_folder(rig: EngineRig, code: str, *, tens: int = 2) -> None:
    report = rig.reconcile()
    assert (report.matched, report.failed, report.missing) == (20 * tens, 15 * tens, 0)
    (reason,) = report.unfinished_reasons
    assert (reason.reason, reason.count) == (code, 15 * tens), "one advice for all of them"
    assert reason.advice


KMS = {**LOCKED, "body": "<Error><Code>KMS.DisabledException</Code></Error>"}
FIREWALL = {"status": 403, "body": "<html>Request blocked.</html>", "headers": {"Server": "CloudFront"}}


@pytest.mark.parametrize(("answer", "code"), [(KMS, "SourceEncrypted"), (FIREWALL, "EdgeBlocked")])
def test_another_key_or_a_firewalls_rule_for_a_folder_likewise(rig: EngineRig, answer: dict, code: str) -> None:
    put_three_folders(rig, ("m", "a-locked", "z"))
    rig.edge.faults.replace([fault("GET /[^/]*locked/", "status", **answer)])
    work_with(rig, 1)
    costs_only_that_folder(rig, code)


def test_a_firewall_that_blocks_everything_ends_the_worker_for_another_try(rig: EngineRig) -> None:
    for index in range(40):
        rig.put(f"{index:03d}")
    rig.edge.faults.replace([fault("GET", "status", **FIREWALL)])
    with pytest.raises(EdgeBlocked, match="web ACL"):
        work_with(rig, 1)
    rig.edge.faults.replace([])
    rig.stop = threading.Event()
    assert rig.reconcile().failed == 0


def refuse(monkeypatch, is_refused: Callable[[str], bool]) -> None:
    """Let Cloud Storage refuse objects by their names: these stand in bodies, where no fault plan looks."""
    put = GcsSink.put

    def refusing(self, name, *arguments, **keywords):
        if is_refused(name):
            raise DestinationForbidden(f"{name} is locked", stage=Stage.UPLOAD, http_status=403)
        return (yield from put(self, name, *arguments, **keywords))

    monkeypatch.setattr(GcsSink, "put", refusing)


def test_a_locked_folder_of_the_destination_likewise(rig: EngineRig, monkeypatch) -> None:
    put_three_folders(rig, ("m", "a-locked", "z"))
    refuse(monkeypatch, lambda name: "locked/" in name)
    work_with(rig, 1)
    costs_only_that_folder(rig, "DestinationForbidden")
    assert not [blob.name for blob in rig.storage.list_blobs(DESTINATION) if "control" in blob.name]


def test_a_destination_that_refuses_everything_ends_the_worker(rig: EngineRig, monkeypatch) -> None:
    for index in range(40):
        rig.put(f"{index:03d}")
    refuse(monkeypatch, lambda name: not name.startswith(STATE_PREFIX) or "/control/" in name)
    with pytest.raises(CredentialsRejected, match=r"roles/storage.objectUser"):
        work_with(rig, 1)
    rig.stop = threading.Event()
    assert rig.reconcile().failed == 0


def test_a_right_that_is_lost_on_the_way_ends_the_worker_soon(rig: EngineRig) -> None:
    for index in range(100):
        rig.put(f"{index:03d}")
    rig.edge.faults.replace([fault("GET", "status", after=50, **LOCKED)])
    with pytest.raises(CredentialsRejected, match="s3:GetObject"):
        work_with(rig, 1)
    rig.stop = StopRequest()  # the next task's
    report = rig.reconcile()
    assert (report.matched, report.failed) == (50, 0), (
        "no failure is on record: nobody can do anything about one object"
    )
    assert "CredentialsRejected" in report.reasons[0].message
