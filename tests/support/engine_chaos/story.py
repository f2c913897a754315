"""The runs of one seed: the storm, the person who follows the product's advice, and a run when all is quiet."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine_chaos.scenario import Scenario, Story
from engine_chaos.schedule import Run
from engine_chaos.world import World


@dataclass
class PlayedSeed:
    """What happened, for the jury."""

    scenario: Scenario
    world: World
    runs: list[Run] = field(default_factory=list)
    """Of the storm, and what the person did about them."""
    afterwards: Run | None = None
    quiet_since: float = 0.0
    """When the storm was over."""
    began_afterwards: float = 0.0


def play(scenario: Scenario, world: World, folder: Path) -> PlayedSeed:
    """All of it, in order."""
    played = PlayedSeed(scenario, world)
    world.plant()
    world.storm()
    stormy = _Storm(played, folder)
    stormy.run()
    world.calm()
    for run in played.runs:
        run.finish()
    played.quiet_since = time.monotonic()
    for run in list(played.runs):
        _follow_advice(played, run, folder)
    played.began_afterwards = time.monotonic()
    played.afterwards = _new(played, "afterwards", folder, overwrite="changed")
    dag(played.afterwards)
    return played


class _Storm:
    def __init__(self, played: PlayedSeed, folder: Path) -> None:
        self._played = played
        self._folder = folder

    def run(self) -> None:
        played = self._played
        match played.scenario.story:
            case Story.TWO_RUNS:
                threads = [threading.Thread(target=self._dag, args=(name,)) for name in ("one", "two")]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            case Story.PLAN | Story.VERIFY as story:
                first = self._dag(story.value, mode=story.value)
                if first.listing:
                    kind = "plan_run" if story is Story.PLAN else "only_failed"
                    self._dag("copies", earlier=first.name, earlier_kind=kind)
            case _:
                self._dag("one")

    def _dag(self, name: str, **params: Any) -> Run:
        run = _new(self._played, name, self._folder, **params)
        self._played.runs.append(run)
        dag(run, may_end=self._played.world.ended_manually.is_set)
        return run


def _new(played: PlayedSeed, name: str, folder: Path, **params: Any) -> Run:
    scenario = played.scenario
    shared = {
        "mode": "transfer",
        "earlier": "",
        "earlier_kind": "",
        "overwrite": scenario.overwrite,
        "delete": scenario.delete,
        "source_prefix": scenario.source_prefix,
        "destination_prefix": scenario.destination_prefix,
        "workers": scenario.workers,
        "threads": scenario.threads,
    }
    return Run(name.replace(" ", "-"), played.world, folder, shared | params)


def dag(run: Run, *, may_end: Any = lambda: False) -> None:
    """Every task of a run, in order."""
    if not _open(run):
        return
    began = time.monotonic()
    (ended,) = run.tasks("list")
    run.listed_at = began, time.monotonic()
    if ended.state == "success":
        run.listing = ended.summary
        if run.params["mode"] == "transfer":
            _work(run, "transfer", run.listing, may_end)
        if not may_end():
            _judge_and_sweep(run, "compare" if run.params["mode"] == "verify" else "first", may_end)
    close(run)


def clear_reconcile(run: Run) -> None:
    """Follow the advice to clear the task `reconcile`: the run is opened again, and replayed as it was listed."""
    if _open(run):
        _judge_and_sweep(run, "replay", lambda: False)
    close(run)


def _open(run: Run) -> bool:
    run.opening += 1
    run.is_closed = False
    run.opened = time.monotonic()
    (ended,) = run.tasks("open_run")
    run.opened_at_s = ended.summary.get("opened_at_s", 0.0)
    return ended.state == "success"


def _work(run: Run, task: str, slot: Mapping[str, Any], may_end: Any) -> None:
    workers = max(1, min(int(run.params["workers"]), int(slot["messages"])))
    run.tasks(task, workers, may_end=may_end, slot={**slot, "skipped_numbers": slot.get("skipped_numbers", "")})


def _judge_and_sweep(run: Run, which: str, may_end: Any) -> None:
    if run.params["mode"] == "plan":
        return
    is_reopened = run.listing["opening"] != run.opening
    first = _judge(run, "reconcile", which, is_reopened=is_reopened)
    if first is None:
        return
    slot = first.get("slot") or {"messages": 0}
    if slot["messages"]:
        _work(run, "retry", slot, may_end)
    if may_end():
        return
    # The first pass belongs to this opening. Where it had nothing to retry, its report is final.
    stands = which == "compare" or not slot["messages"]
    final = _judge(run, "verify", "final", is_reopened=False, stands=stands)
    if final is not None and final["is_green"] and run.params["delete"] != "off":
        (ended,) = run.tasks("delete_extraneous")
        run.swept = ended.summary if ended.state == "success" else {"failed": ended.said}


def _judge(run: Run, task: str, which: str, *, is_reopened: bool, stands: bool = False) -> dict[str, Any] | None:
    began = time.monotonic()
    spec: dict[str, Any] = {"pass": which, "is_reopened": is_reopened, "stands": stands}
    (ended,) = run.tasks(task, **spec)
    if ended.state != "success":
        return None
    summary = {**ended.summary, "task": task, "pass": which, "began": began, "ended": time.monotonic()}
    run.judged.append(summary)
    return summary


def close(run: Run) -> None:
    """The teardown."""
    (ended,) = run.tasks("close_run")
    run.is_closed = ended.state == "success" and not ended.summary["not_cleaned"]


def _follow_advice(played: PlayedSeed, run: Run, folder: Path) -> None:
    """Follow the advice in a red run's report, and close a run that was not closed."""
    if run.judged and run.listing and not run.judged[-1]["is_green"]:
        if played.scenario.recovery == "only_failed" or run.params["mode"] == "verify":
            again = _new(played, f"again-{run.name}", folder, earlier=run.name, earlier_kind="only_failed")
            played.runs.append(again)
            dag(again)
        else:
            clear_reconcile(run)
    if not run.is_closed and run.opening:
        close(run)
