"""What is on record of a sweep, also of one that was interrupted or repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from deletion_rig import DELETE, answers, everything, report_of, upload
from engine_rig import SOURCE, EngineRig
from transfer.backends.http.loop import CurlLoop
from transfer.backends.s3.keys import S3Keys
from transfer.errors import DeletionRefused, Stopped
from transfer.model import SourceKey


class Between:
    """The source, which calls a function each time that it is asked for keys, after some batches."""

    def __init__(self, rig: EngineRig, call: Callable[[], None], *, after: int) -> None:
        self._keys, self._call, self._after = S3Keys(rig.client, SOURCE), call, after
        self.asked = 0

    def ask(self, keys: Sequence[str]) -> Sequence[SourceKey]:
        answers = self._keys.ask(keys)
        self.asked += 1
        if self.asked > self._after:
            self._call()
        return answers


def test_an_interrupted_sweep_records_what_it_deleted(rig: EngineRig, monkeypatch) -> None:
    """It is asked to stop in its second batch; the next attempt does the rest, and the counts add up."""
    monkeypatch.setattr("transfer.deletion.removal.BATCH_OBJECTS", 3)
    upload(rig, *(f"out/x{index}" for index in range(5)))
    before = everything(rig)
    with pytest.raises(Stopped):
        rig.sweep(DELETE, listed=10, source=Between(rig, rig.stop.set, after=1))
    gone = before - everything(rig)
    recorded = answers(rig)
    assert gone == {name for name, answer in recorded.items() if answer == "deleted"} and len(gone) == 3
    assert set(recorded.values()) <= {"deleted", "asked"}
    rig.stop.clear()
    rig.sweep(DELETE, listed=10, attempt=2)
    deleted = [name for name, answer in answers(rig, "deleted.csv", "deleted.try2.csv").items() if answer == "deleted"]
    assert len(deleted) == len(set(deleted)) == 6


def test_a_batch_is_on_record_before_it_is_deleted(rig: EngineRig, monkeypatch) -> None:
    """The record is read right before each batch is deleted: after SIGKILL, nothing later would be there."""
    monkeypatch.setattr("transfer.deletion.removal.BATCH_OBJECTS", 3)
    upload(rig, *(f"out/x{index}" for index in range(5)))
    seen = []

    class Watching(CurlLoop):
        def run(self, lanes) -> None:
            seen.append(answers(rig))
            super().run(lanes)

    monkeypatch.setattr("engine_rig.CurlLoop", Watching)
    rig.sweep(DELETE, listed=10)
    assert [Counter(recorded.values()) for recorded in seen] == [{"asked": 3}, {"deleted": 3, "asked": 3}]
    assert Counter(answers(rig).values()) == {"deleted": 6}


def test_rows_continue_in_another_file(rig: EngineRig, monkeypatch) -> None:
    monkeypatch.setattr("transfer.deletion.removal.BATCH_OBJECTS", 2)
    monkeypatch.setattr("transfer.records.csv_file.MAX_ROWS", 3)
    upload(rig, *(f"out/x{index}" for index in range(5)))
    rig.sweep(DELETE, listed=10)
    assert answers(rig, "deleted.csv", "deleted-2.csv") == dict.fromkeys(
        ["out/extra", *(f"out/x{index}" for index in range(5))], "deleted"
    )


def test_the_deletions_of_earlier_attempts_stay_counted_when_nothing_may_be_deleted(rig: EngineRig) -> None:
    rig.sweep(DELETE, listed=10)
    upload(rig, "out/more")
    with pytest.raises(DeletionRefused):
        rig.sweep(DELETE, listed=10, max_objects=0, attempt=2)
    assert answers(rig) == {"out/extra": "deleted"}
    assert "max_delete_objects allows 0" in report_of(rig).why_not_deleted
