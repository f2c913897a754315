"""One seed from its draw to its verdict."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from multiprocessing import forkserver
from pathlib import Path

from engine_chaos.draw import draw
from engine_chaos.jury import judge
from engine_chaos.story import PlayedSeed, play
from engine_chaos.world import World


@dataclass(kw_only=True)
class Outcome:
    """The result of a seed."""

    seed: int
    story: str
    objects: int
    violations: list[str]
    """Each begins with its kind: `lost`, `wrong`, `unexplained`, `left behind`, …"""
    strikes: Counter[str]
    blows: Counter[str]
    deeds: Counter[str]
    copied: int
    greens: int
    reds: int
    seconds: float
    cpu_s: float
    folder: str = ""
    """Where its records are, if it failed."""


def run_seed(number: int, *, with_all: bool = False, keep: bool = False, objects: int = 0) -> Outcome:
    """Draw, play, judge."""
    began, cpu = time.monotonic(), _cpu_s()
    scenario = draw(number, with_all=with_all, objects=objects)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{number}-"))
    world = World(scenario, folder)
    try:
        played = play(scenario, world, folder)
        violations, copied = judge(played)
    except BaseException:
        print(f"seed {number} broke off: its records are in {folder}", file=sys.stderr)
        raise
    finally:
        world.close()
    history = world.history
    greens = [run.judged[-1]["is_green"] for run in played.runs if run.judged]
    if violations or keep:
        (folder / "scenario.json").write_text(json.dumps(asdict(scenario), indent=1, default=str))
        (folder / "history.txt").write_text("\n".join(_lines(played)))
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(
        seed=number,
        story=scenario.story,
        objects=len(scenario.items),
        violations=violations,
        strikes=Counter(f"{item.server}: {item.what}" for item in history.strikes),
        blows=Counter(f"{item.way} {item.task}" for item in history.blows),
        deeds=Counter(item.rsplit(" ", 1)[0] for item in history.deeds),
        copied=copied,
        greens=sum(greens),
        reds=len(greens) - sum(greens),
        seconds=time.monotonic() - began,
        cpu_s=_cpu_s() - cpu,
        folder=str(folder) if violations or keep else "",
    )


def _lines(played: PlayedSeed) -> list[str]:
    """What happened, in the order of time."""
    history = played.world.history
    found = [(item.at, f"{item.server} {item.what} at {item.request}") for item in history.strikes]
    found += [(item.at, f"{item.way} {item.task} of {item.run}") for item in history.blows]
    for write in history.user_writes():
        found.append((write.since, f"{write.author} wrote {write.name} {write.generation} md5 {write.md5}"))
        if write.deleted_by:
            found.append((write.until, f"{write.deleted_by}: {write.name} {write.generation}"))
    for versions in history.versions.values():
        for version in versions:
            found.append((version.since, f"source has {version.key} etag {version.etag} md5 {version.md5}"))
            if version.until < float("inf"):
                found.append((version.until, f"source loses {version.key} etag {version.etag}"))
    runs = [*played.runs, *([played.afterwards] if played.afterwards else [])]
    for run in runs:
        found.append((run.opened, f"run {run.name} opened ({run.opening})"))
        found += [(item["ended"], f"{run.name} {item['task']} {item['pass']}: {item['report']}") for item in run.judged]
    lines = [f"{at:.3f} {said}" for at, said in sorted(found)]
    return [*lines, *(f"{run.name}: {end}" for run in runs for end in run.ends), *history.deeds]


def _cpu_s() -> float:
    """Of this process, and of all that the fork server has forked and seen end."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pid = vars(forkserver._forkserver)["_forkserver_pid"]
    if pid is None:
        return used.ru_utime + used.ru_stime
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return used.ru_utime + used.ru_stime + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
