"""Deleting what the source does not have: mostly, what is never deleted."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_rig import DESTINATION, SOURCE, STATE_PREFIX, EngineRig, engine_rig, fault
from hooks.selection import selection_of
from transfer.backends.gcs.sink import GcsSink
from transfer.backends.http.loop import CurlLoop
from transfer.backends.s3.keys import S3Keys
from transfer.config import Mode
from transfer.deletion.extraneous import (
    COLUMNS,
    DeleteExtraneous,
    DeletionCandidates,
    Extraneous,
    Found,
    Permission,
    find_extraneous,
    permission,
    why_refused,
)
from transfer.deletion.record import DeletionRecord
from transfer.deletion.removal import Removal
from transfer.errors import (
    CredentialsRejected,
    DeletionIncomplete,
    DeletionRefused,
    SinkUnavailable,
    Stopped,
    TransferError,
)
from transfer.model import DestinationObject, KeyState, ObjectMeta, SkipReason, SourceKey
from transfer.naming import Naming
from transfer.ports import StateEntry
from transfer.reconciliation.reconcile import judge_keys
from transfer.reconciliation.report import ReconciliationReport
from transfer.records.csv_file import CsvFile
from transfer.records.layout import REPORT_JSON

OUT = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=STATE_PREFIX)
DELETE, LIST = Permission(action=DeleteExtraneous.DELETE), Permission(action=DeleteExtraneous.LIST)


class MemoryState:
    """A state store in a dict, for what is only counted."""

    uri = "memory:"

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    def write(self, name, body, *, content_type, metadata=None) -> None:
        self.records[name] = body

    def read(self, name) -> bytes:
        return self.records[name]

    def entries(self, prefix) -> Iterator[StateEntry]:
        for name in sorted(self.records):
            if name.startswith(prefix):
                yield StateEntry(name=name, metadata={})

    def delete(self, name) -> None:
        self.records.pop(name, None)


# Whether


def test_only_one_case_deletes() -> None:
    cases = product(DeleteExtraneous, Mode, (False, True), (False, True), (0, 1), (False, True))
    allowed = {
        case
        for case in cases
        if permission(
            case[0], mode=case[1], is_whole_source=case[2], is_own_listing=case[3], listed=case[4], is_green=case[5]
        ).action
        is DeleteExtraneous.DELETE
    }
    assert allowed == {(DeleteExtraneous.DELETE, Mode.TRANSFER, True, True, 1, True)}


def test_only_a_whole_and_green_listing_is_even_listed() -> None:
    cases = product(DeleteExtraneous, Mode, (False, True), (False, True), (0, 1), (False, True))
    listing = set()
    for wish, mode, is_whole, is_own, listed, is_green in cases:
        may = permission(
            wish, mode=mode, is_whole_source=is_whole, is_own_listing=is_own, listed=listed, is_green=is_green
        )
        if may.action is DeleteExtraneous.LIST:
            listing.add((wish, mode, is_whole, is_own, listed, is_green))
        assert may.action is wish or may.why_not, "what is not done has a reason"
    assert listing == {
        (DeleteExtraneous.LIST, Mode.TRANSFER, True, True, 1, True),
        (DeleteExtraneous.LIST, Mode.VERIFY, True, True, 1, True),
        (DeleteExtraneous.DELETE, Mode.VERIFY, True, True, 1, True),
    }


def found(extraneous: int, stored: int, listed: int = 5) -> Found:
    return Found(listed=listed, stored=stored, extraneous=extraneous, extraneous_bytes=0, new=0)


@pytest.mark.parametrize(
    ("extraneous", "stored", "max_percent", "is_refused"),
    [
        (0, 0, 0, False),
        (0, 10, 0, False),
        (1, 1_000_000, 0, True),
        (10, 100, 10, False),
        (101, 1_000, 10, True),
        (100, 100, 100, False),
        (1, 3, 33.3, True),
        (1, 3, 33.4, False),
    ],
)
def test_the_limit(extraneous: int, stored: int, max_percent: float, is_refused: bool) -> None:
    said = why_refused(found(extraneous, stored), listed=5, max_percent=max_percent, max_objects=10_000)
    assert bool(said) == is_refused
    if is_refused:
        assert f"{extraneous:,} of the {stored:,} objects" in said
        assert "max_delete_percent" in said


@pytest.mark.parametrize(
    ("extraneous", "max_objects", "is_refused"),
    [(0, 0, False), (1, 0, True), (10_000, 10_000, False), (10_001, 10_000, True)],
)
def test_the_limit_in_objects(extraneous: int, max_objects: int, is_refused: bool) -> None:
    """However many there are beside them: a tenth of a hundred million is more than anybody means."""
    said = why_refused(found(extraneous, 10**8), listed=5, max_percent=100, max_objects=max_objects)
    assert (f"max_delete_objects allows {max_objects:,}" in said) == is_refused
    assert "max_delete_percent" not in said


@pytest.mark.parametrize("listed", [0, 4, 6])
def test_a_manifest_of_another_count_refuses_everything(listed: int) -> None:
    assert "cannot be told" in why_refused(found(0, 10, listed=5), listed=listed, max_percent=100, max_objects=10**9)


# What

names = st.text(st.characters(exclude_characters="\r\n"), max_size=5)


reasons = st.sampled_from([None, *SkipReason])


@given(
    st.dictionaries(names, reasons),
    st.dictionaries(names, st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=8),
    st.none() | st.sets(names),
)
def test_what_is_found_is_what_the_model_finds(
    keys: dict[str, SkipReason | None], there: dict[str, tuple[int, int]], left_out: set[str] | None
) -> None:
    """Whatever the listing made of an object, it is in the source; and what globs leave out is nobody's to delete."""
    manifest = [
        (ObjectMeta(key=f"in/{key}", size_bytes=1, etag="e", last_modified_s=1), keys[key]) for key in sorted(keys)
    ]
    name_filter = None if left_out is None else lambda name: name not in left_out
    stored = [
        DestinationObject(name=f"out/{name}", size_bytes=size, generation=7, created_at_s=created)
        for name, (size, created) in sorted(there.items())
    ]
    rows, shortlist = CsvFile(MemoryState(), "extraneous", COLUMNS), DeletionCandidates()
    judged = judge_keys(manifest, stored, (), naming=OUT, name_filter=name_filter)
    result = find_extraneous(judged, rows, shortlist, naming=OUT, began_at_s=10)
    alone = {name: there[name] for name in there if name not in keys and name not in (left_out or ())}
    expected = {f"out/{name}": size for name, (size, created) in alone.items() if created < 10}
    assert {name: int(size) for name, size, _ in rows.rows()} == expected
    assert {each.name: each.size_bytes for each in shortlist} == expected
    assert set(result.witnesses) <= {f"in/{key}" for key in keys} and bool(result.witnesses) == bool(keys)
    assert replace(result, witnesses=()) == Found(
        listed=len(keys),
        stored=len(there),
        extraneous=len(expected),
        extraneous_bytes=sum(expected.values()),
        new=sum(created >= 10 for _, created in alone.values()),
        protected=sum(name not in keys and name in (left_out or ()) for name in there),
    )


def test_an_object_of_unknown_age_is_left() -> None:
    rows = CsvFile(MemoryState(), "extraneous", COLUMNS)
    stored = [DestinationObject(name="out/x", size_bytes=1, generation=1)]
    judged = judge_keys((), stored, (), naming=OUT)
    result = find_extraneous(judged, rows, DeletionCandidates(), naming=OUT, began_at_s=time.time())
    assert (result.extraneous, result.new) == (0, 1)


@given(st.lists(st.tuples(names, st.integers()), max_size=9))
def test_rows_come_back_from_several_files(rows: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.records.csv_file.MAX_ROWS", 3)
        file = CsvFile(MemoryState(), "extraneous", ("name", "number"))
        for row in rows:
            file.add(row)
        file.close()
        assert list(file.rows()) == [[name, str(number)] for name, number in rows]


# On a real bucket


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """`in/` has 10 objects that are at `out/` too, and `out/` has 1 that it has not, `out/extra`."""
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv, naming=OUT) as made:
        for index in range(10):
            made.put(f"in/{index}", b"kept")
        upload(made, "out/extra", "out-of-it/extra", "in/extra")
        _, report = made.copy_all()
        assert report.is_green
        yield made


def upload(rig: EngineRig, *names: str) -> None:
    for name in names:
        rig.storage.bucket(DESTINATION).blob(name).upload_from_string(b"not in the source")


def everything(rig: EngineRig) -> set[str]:
    """With the runs' own records."""
    return {blob.name for blob in rig.storage.list_blobs(DESTINATION)}


def report_of(rig: EngineRig) -> ReconciliationReport:
    return ReconciliationReport.decode(rig.state().read(REPORT_JSON))


def csv_names(rig: EngineRig, name: str = "extraneous.csv") -> list[str]:
    return [row["name"] for row in csv.DictReader(io.StringIO(rig.state().read(name).decode()))]


def test_what_the_source_does_not_have_goes_and_nothing_else(rig: EngineRig) -> None:
    before = everything(rig)
    swept = rig.sweep(DELETE, listed=10, max_percent=10)
    assert (swept.found.extraneous, swept.found.stored, swept.deleted) == (1, 11, 1)
    assert before - everything(rig) == {"out/extra"}
    assert csv_names(rig) == ["out/extra"]
    assert answers(rig) == {"out/extra": "deleted"}
    assert (report_of(rig).deleted, report_of(rig).extra, report_of(rig).why_not_deleted) == (1, 1, "")


def answers(rig: EngineRig, *tries: str) -> dict[str, str]:
    """What deleted.csv says of each name; report.json has to say the same."""
    names = tries or ("deleted.csv",)
    rows = [row for name in names for row in csv.DictReader(io.StringIO(rig.state().read(name).decode()))]
    report = report_of(rig)
    assert report.deletion == Counter(row["answer"] for row in rows)
    assert report.deleted == report.deletion.get("deleted", 0)
    return {row["name"]: row["answer"] for row in rows}


def test_a_dry_run_lists_and_deletes_nothing(rig: EngineRig) -> None:
    before = everything(rig)
    swept = rig.sweep(LIST, listed=10)
    assert (swept.deleted, csv_names(rig)) == (0, ["out/extra"])
    assert everything(rig) - before == {f"{STATE_PREFIX}run-1/extraneous.csv"}
    assert not before - everything(rig)
    assert report_of(rig).why_not_deleted == "only listed, as asked"


def test_past_the_limit_nothing_is_deleted_and_the_run_fails_saying_so(rig: EngineRig) -> None:
    upload(rig, "out/more")
    before = everything(rig)
    with pytest.raises(DeletionRefused, match=r"2 of the 12 objects .*\(16\.7 %\).* max_delete_percent allows 10 %"):
        rig.sweep(DELETE, listed=10, max_percent=10)
    assert not before - everything(rig)
    assert csv_names(rig) == ["out/extra", "out/more"], "a person can look at what it would have been"
    assert (report_of(rig).deleted, "max_delete_percent" in report_of(rig).why_not_deleted) == (0, True)


def test_a_wrong_destination_prefix_is_past_the_limit(rig: EngineRig) -> None:
    upload(rig, *(f"precious/p{index}" for index in range(30)))
    rig.naming = Naming(source_prefix="in/", destination_prefix="precious/", state_prefix=STATE_PREFIX)
    rig.worker(rig.list(listing="2"), listing="2").run()
    assert rig.reconcile(listing="2").is_green
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="30 of the 40 objects"):
        rig.sweep(DELETE, listed=10, listing="2", max_percent=10)
    assert not before - everything(rig)


def test_a_half_finished_listing_deletes_nothing(rig: EngineRig) -> None:
    """Half of the manifest is gone: what it named looks as if the source did not have it."""
    (shard,) = [entry.name for entry in rig.state().entries("manifest/1-")]
    rig.state().delete(shard)
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="names 0 objects, and 10 were listed"):
        rig.sweep(DELETE, listed=10, max_percent=100)
    assert not before - everything(rig)


def test_archived_objects_are_in_the_source(rig: EngineRig) -> None:
    upload(rig, "out/cold")
    rig.put("in/cold", b"archived", StorageClass="GLACIER")
    rig.list(listing="2")
    assert rig.reconcile(listing="2").is_green
    rig.sweep(DELETE, listed=11, listing="2")
    assert "out/cold" in everything(rig)
    assert "out/extra" not in everything(rig)


def test_what_is_not_selected_is_in_the_source(rig: EngineRig) -> None:
    """Everything that a bound or a glob leaves out is at both sides, and at neither anything is lost."""
    rig.put("in/large", b"x" * 2_000)
    rig.put("in/cool", b"x", StorageClass="STANDARD_IA")
    rig.put("in/draft.tmp", b"x")
    upload(rig, "out/large", "out/cool", "out/draft.tmp")
    wanted = {"exclude": '["*.tmp"]', "max_size": "1 KiB", "storage_classes": '["STANDARD"]'}
    rig.selection = selection_of(wanted, now_s=time.time())
    rig.worker(rig.list(listing="2"), listing="2").run()
    report = rig.reconcile(listing="2")
    assert report.is_green
    assert {reason.reason: reason.count for reason in report.reasons} == {
        "unchanged": 10, "not-selected-name": 1, "not-selected-size": 1, "not-selected-class": 1,
    }  # fmt: skip
    before = everything(rig)
    assert rig.sweep(DELETE, listed=13, listing="2").deleted == 1
    assert before - everything(rig) == {"out/extra"}
    assert rig.stored("out/large") == b"not in the source"


@pytest.mark.parametrize(
    ("globs", "gone"),
    [
        ({"exclude": '["*.tmp"]'}, {"out/extra", "out/sub/extra"}),
        ({"exclude": '["extra"]'}, {"out/a.tmp", "out/sub/a.tmp"}),
        ({"exclude": '["/extra"]'}, {"out/a.tmp", "out/sub/a.tmp", "out/sub/extra"}),
        ({"exclude": '["sub/"]'}, {"out/extra", "out/a.tmp"}),
        ({"exclude": '["out/"]'}, {"out/extra", "out/a.tmp", "out/sub/extra", "out/sub/a.tmp"}),
        ({"include": '["sub/"]'}, {"out/sub/extra", "out/sub/a.tmp"}),
        ({"include": '["/0"]'}, set()),
        ({"include": '["sub/"]', "exclude": '["*.tmp"]'}, {"out/sub/extra"}),
        ({"exclude": '["*"]'}, set()),
        ({"exclude": '["*", "!/a.tmp"]'}, {"out/a.tmp"}),
        ({"max_size": "1"}, {"out/extra", "out/a.tmp", "out/sub/extra", "out/sub/a.tmp"}),
    ],
    ids=str,
)
def test_what_the_globs_leave_out_is_never_deleted(rig: EngineRig, globs: dict[str, str], gone: set[str]) -> None:
    """As rsync has it. Bounds on size, time and class do not protect: what they are about is the source's objects."""
    upload(rig, "out/a.tmp", "out/sub/a.tmp", "out/sub/extra")
    rig.selection = selection_of(globs, now_s=time.time())
    rig.list(listing="2")
    report = rig.reconcile(listing="2")
    before = everything(rig)
    assert (report.extra, report.protected) == (len(gone), 4 - len(gone))
    swept = rig.sweep(DELETE, listed=10, listing="2")
    assert before - everything(rig) == gone
    assert (swept.deleted, swept.found.extraneous, swept.found.protected) == (len(gone), len(gone), 4 - len(gone))


def test_the_share_is_of_all_that_is_there(rig: EngineRig) -> None:
    """Also of what is protected: a glob makes no limit tighter or looser."""
    rig.selection = selection_of({"include": '["extra"]'}, now_s=time.time())
    rig.list(listing="2")
    rig.reconcile(listing="2")
    assert rig.sweep(DELETE, listed=10, listing="2", max_percent=9.1).found.percent == pytest.approx(100 / 11)


def test_what_was_written_since_the_run_began_stays(rig: EngineRig) -> None:
    """Another run may have copied what came to the source after this one had listed it."""
    began_at_s = max(blob.time_created.timestamp() for blob in rig.storage.list_blobs(DESTINATION, prefix="out/extra"))
    upload(rig, "out/fresh")
    swept = rig.sweep(DELETE, listed=10, began_at_s=began_at_s + 1e-6)
    assert (swept.deleted, swept.found.new) == (1, 1)
    assert {"out/fresh"} == everything(rig) & {"out/fresh", "out/extra"}


def test_what_changes_between_the_look_and_the_delete_stays(rig: EngineRig) -> None:
    upload(rig, "out/other")

    def listing() -> Iterator[DestinationObject]:
        yield from rig.destination_listing().objects("out/", leave_out=STATE_PREFIX)
        upload(rig, "out/extra")  # a new generation

    swept = rig.sweep(DELETE, listed=10, destination=listing())
    assert swept.answers == {"deleted": 1, "changed": 1}
    assert answers(rig) == {"out/extra": "changed", "out/other": "deleted"}
    assert {"out/extra"} == everything(rig) & {"out/extra", "out/other"}


@pytest.mark.parametrize("name", ["out-of-it/extra", "in/extra", f"{STATE_PREFIX}run-1/report.json"])
def test_no_record_makes_it_delete_elsewhere(rig: EngineRig, name: str) -> None:
    generation = rig.storage.bucket(DESTINATION).get_blob(name).generation
    everywhere = replace(rig.naming, destination_prefix="") if name.startswith(STATE_PREFIX) else rig.naming
    with pytest.raises(DeletionRefused, match="not under the destination prefix"):
        removal = Removal(
            S3Keys(rig.client, SOURCE),
            DeletionRecord(rig.state(), attempt=1),
            naming=everywhere,
            witnesses=["in/0"],
            began_at_s=0,
        )
        lanes = [(GcsSink(rig.gcs_client()), rig.retrier())]
        removal.run([Extraneous(name=name, size_bytes=1, generation=generation)], lanes, lambda: CurlLoop(rig.stop))
    assert name in everything(rig)


def test_trouble_passes_and_a_lost_answer_is_no_error(rig: EngineRig) -> None:
    upload(rig, *(f"out/x{index}" for index in range(9)))
    rig.gcs.faults.replace(
        [
            fault("DELETE /storage", "status", status=503, times=3),
            *(fault(f"DELETE /storage.*x{index}[?]", "lose_answer", times=1) for index in (1, 2)),
        ]
    )
    swept = rig.sweep(DELETE, listed=10)
    assert swept.answers == {"deleted": 8, "gone-already": 2}, "whose request it was cannot be told"
    assert Counter(answers(rig).values()) == swept.answers
    assert {name for name in rig.names() if name.startswith("out/")} == {f"out/{index}" for index in range(10)}


def test_what_cannot_be_deleted_fails_the_try_after_all_others_went(rig: EngineRig) -> None:
    upload(rig, *(f"out/x{index}" for index in range(5)))
    rig.gcs.faults.replace([fault("DELETE /storage.*x3", "status", status=500)])
    with pytest.raises(TransferError) as caught:
        rig.sweep(DELETE, listed=10)
    assert caught.value.code == SinkUnavailable.__name__
    assert answers(rig)["out/x3"] == "asked"
    assert {"out/x3"} == everything(rig) & {"out/extra", *(f"out/x{index}" for index in range(5))}
    assert report_of(rig).deleted == 5

    rig.gcs.faults.replace([])
    assert rig.sweep(DELETE, listed=10, attempt=2).deleted == 1
    assert answers(rig, "deleted.csv", "deleted.try2.csv") == dict.fromkeys(csv_names(rig), "deleted")
    assert report_of(rig).deleted == 6
    assert (len(csv_names(rig)), csv_names(rig, "extraneous.try2.csv")) == (6, ["out/x3"])


# The source, asked again


def remembered(rig: EngineRig, *keys: str) -> None:
    """The listing has not named these, and S3 has them."""
    upload(rig, *(f"out/{key}" for key in keys))
    for key in keys:
        rig.put(f"in/{key}", b"in the source")


def test_what_a_listing_left_out_is_not_deleted_and_the_run_is_red(rig: EngineRig) -> None:
    """As a proxy does that drops keys of a page."""
    remembered(rig, "left-out-1", "left-out-2")
    with pytest.raises(DeletionIncomplete, match="S3 has 2 objects that its own listing left out, 'in/left-out-1'"):
        rig.sweep(DELETE, listed=10, began_at_s=time.time() + 3600)
    assert answers(rig) == {
        "out/extra": "deleted", "out/left-out-1": "still-in-source", "out/left-out-2": "still-in-source",
    }  # fmt: skip
    assert {"out/left-out-1", "out/left-out-2"} <= everything(rig)


def test_what_came_back_to_the_source_is_not_deleted(rig: EngineRig) -> None:
    remembered(rig, "back")
    swept = rig.sweep(DELETE, listed=10, began_at_s=time.time() + 10)
    assert swept.answers == {"deleted": 1, "still-in-source": 1}
    assert swept.to_dict()["still_in_source"] == 1
    assert "out/back" in everything(rig)


def test_what_is_behind_a_delete_marker_is_gone(rig: EngineRig) -> None:
    rig.client.put_bucket_versioning(Bucket=SOURCE, VersioningConfiguration={"Status": "Enabled"})
    remembered(rig, "marked")
    rig.client.delete_object(Bucket=SOURCE, Key="in/marked")
    assert rig.sweep(DELETE, listed=10).deleted == 2


@pytest.mark.parametrize("status", [403, 400, 500])
def test_nothing_is_deleted_on_doubt(rig: EngineRig, monkeypatch, status: int) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    upload(rig, "out/doubted")
    rig.s3.faults.replace([fault("HEAD .*in/doubted", "status", status=status)])
    with pytest.raises(DeletionIncomplete, match="1 source-unsure: S3 would not say") as caught:
        rig.sweep(DELETE, listed=10)
    assert answers(rig) == {"out/doubted": "source-unsure", "out/extra": "deleted"}
    assert f"answered {status}" in caught.value.message
    assert status != 403 or "allow s3:GetObject on arn:aws:s3:::source-bucket/*" in caught.value.message


def test_nothing_is_deleted_where_s3_denies_what_it_listed(rig: EngineRig) -> None:
    """A server that knows no HEAD, an endpoint of another bucket, a bucket that was deleted: 404 says nothing then."""
    rig.s3.faults.replace([fault("HEAD ", "status", status=404)])
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="has none of those tried that this run has listed"):
        rig.sweep(DELETE, listed=10)
    assert not before - everything(rig)


def test_nothing_is_deleted_without_leave_to_ask(rig: EngineRig) -> None:
    rig.s3.faults.replace([fault("HEAD ", "status", status=403)])
    before = everything(rig)
    with pytest.raises(DeletionRefused, match="allow s3:GetObject on arn:aws:s3:::source-bucket"):
        rig.sweep(DELETE, listed=10)
    assert not before - everything(rig)


def test_a_key_that_s3_cannot_have_is_gone(rig: EngineRig) -> None:
    """It would answer 400, for ever."""
    keys = S3Keys(rig.client, SOURCE).ask(["", "k" * 1025, "in/0", "in/x"])
    assert [key.state for key in keys] == [KeyState.GONE, KeyState.GONE, KeyState.THERE, KeyState.GONE]


class Between:
    """The source, with something that happens once so many keys are asked for."""

    def __init__(self, rig: EngineRig, call: Callable[[], None], *, after: int) -> None:
        self._keys, self._call, self._after = S3Keys(rig.client, SOURCE), call, after
        self.asked = 0

    def ask(self, keys: Sequence[str]) -> Sequence[SourceKey]:
        answers = self._keys.ask(keys)
        self.asked += 1
        if self.asked > self._after:
            self._call()
        return answers


# What is on record


def test_a_sweep_that_breaks_off_says_what_it_deleted(rig: EngineRig, monkeypatch) -> None:
    """Asked to stop in its second batch; another try does the rest, and the counts go on."""
    monkeypatch.setattr("transfer.deletion.removal.AT_A_TIME", 3)
    upload(rig, *(f"out/x{index}" for index in range(5)))
    before = everything(rig)
    with pytest.raises(Stopped):
        rig.sweep(DELETE, listed=10, source=Between(rig, rig.stop.set, after=1))
    gone = before - everything(rig)
    said = answers(rig)
    assert gone == {name for name, answer in said.items() if answer == "deleted"} and len(gone) == 3
    assert set(said.values()) <= {"deleted", "asked"}
    rig.stop.clear()
    rig.sweep(DELETE, listed=10, attempt=2)
    deleted = [name for name, answer in answers(rig, "deleted.csv", "deleted.try2.csv").items() if answer == "deleted"]
    assert len(deleted) == len(set(deleted)) == 6


def test_a_sweep_that_dies_has_those_it_was_at_on_record(rig: EngineRig, monkeypatch) -> None:
    """The record is read in the very moment before the second batch is deleted: nothing later would be there after SIGKILL."""
    monkeypatch.setattr("transfer.deletion.removal.AT_A_TIME", 3)
    upload(rig, *(f"out/x{index}" for index in range(5)))
    seen = []

    class Watching(CurlLoop):
        def run(self, lanes) -> None:
            seen.append(answers(rig))
            super().run(lanes)

    monkeypatch.setattr("engine_rig.CurlLoop", Watching)
    rig.sweep(DELETE, listed=10)
    assert [Counter(said.values()) for said in seen] == [{"asked": 3}, {"deleted": 3, "asked": 3}]
    assert Counter(answers(rig).values()) == {"deleted": 6}


HELD = (
    '{"error": {"code": 403, "message": "Object \'x\' is under active Temporary hold and cannot be deleted.", "errors":'
    ' [{"message": "held", "domain": "global", "reason": "objectUnderActiveHold"}]}}'
)


def test_a_held_object_does_not_end_the_sweep(rig: EngineRig) -> None:
    upload(rig, *(f"out/x{index}" for index in range(5)))
    rig.gcs.faults.replace([fault("DELETE /storage.*x1", "status", status=403, body=HELD)])
    with pytest.raises(DeletionIncomplete, match="5 objects were deleted, and not all is well: 1 held"):
        rig.sweep(DELETE, listed=10)
    assert answers(rig) == {
        "out/extra": "deleted", "out/x1": "held", **{f"out/x{index}": "deleted" for index in (0, 2, 3, 4)},
    }  # fmt: skip


def test_without_permission_it_ends_at_once_and_the_record_is_right(rig: EngineRig) -> None:
    before = everything(rig)
    rig.gcs.faults.replace([fault("DELETE /storage", "status", status=401)])
    with pytest.raises(CredentialsRejected):
        rig.sweep(DELETE, listed=10)
    assert not before - everything(rig)
    assert answers(rig) == {"out/extra": "refused"}


def test_rows_go_on_in_another_file(rig: EngineRig, monkeypatch) -> None:
    monkeypatch.setattr("transfer.deletion.removal.AT_A_TIME", 2)
    monkeypatch.setattr("transfer.records.csv_file.MAX_ROWS", 3)
    upload(rig, *(f"out/x{index}" for index in range(5)))
    rig.sweep(DELETE, listed=10)
    assert answers(rig, "deleted.csv", "deleted-2.csv") == dict.fromkeys(
        ["out/extra", *(f"out/x{index}" for index in range(5))], "deleted"
    )


def test_the_record_of_earlier_tries_stays_counted_when_nothing_may_be_deleted(rig: EngineRig) -> None:
    rig.sweep(DELETE, listed=10)
    upload(rig, "out/more")
    with pytest.raises(DeletionRefused):
        rig.sweep(DELETE, listed=10, max_objects=0, attempt=2)
    assert answers(rig) == {"out/extra": "deleted"}
    assert "max_delete_objects allows 0" in report_of(rig).why_not_deleted
