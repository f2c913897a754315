"""A worker keeps the pace it is given."""

from __future__ import annotations

import pytest

from engine_rig import EngineRig, engine_rig
from transfer.accounting.pacing import Pacer
from transfer.copying.whole import ObjectCopier
from transfer.model import ObjectMeta, TransferOutcome
from transfer.steps import Step


class Crawl(Pacer):
    """Slowed down to one lane before it began, and stays so."""

    def __init__(self, *arguments, **keywords) -> None:
        super().__init__(*arguments, **keywords)
        self._limit = 1

    def succeeded(self) -> None:
        """Nothing grows back."""


@pytest.fixture
def rig(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.worker.drain.PULL_WAIT_S", 0.3)
    with engine_rig(tmp_path, monkeypatch.setenv) as made:
        yield made


@pytest.mark.parametrize(("pacer", "lanes"), [(Pacer, range(2, 5)), (Crawl, range(1, 2))])
def test_no_more_lanes_work_than_the_pacer_lets_in(rig: EngineRig, monkeypatch, pacer, lanes: range) -> None:
    at_work: set[str] = set()
    most = 0
    move = ObjectCopier.move

    def watched(self: ObjectCopier, item: ObjectMeta) -> Step[TransferOutcome]:
        nonlocal most
        at_work.add(item.key)
        most = max(most, len(at_work))
        outcome = yield from move(self, item)
        at_work.discard(item.key)
        return outcome

    monkeypatch.setattr(ObjectCopier, "move", watched)
    monkeypatch.setattr("transfer.worker.drain.Pacer", pacer)
    for index in range(40):
        rig.put(f"{index}")
    stats, report = rig.copy_all()
    assert most in lanes
    assert (stats.copied, report.is_green) == (40, True), "places are given back, or the work would not end"
    assert (stats.lanes, stats.threads) == (lanes[-1], 4)
