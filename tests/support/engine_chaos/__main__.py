"""Many seeds, some at a time: `python -m engine_chaos --seeds 300`. Prints each seed that fails, and the sums at the end."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SHOWN = 5
_lock = threading.Lock()


def main() -> int:
    """Exit code 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m engine_chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, action="append", help="only this one (may be repeated)")
    parser.add_argument("--lanes", type=int, default=2, help="how many seeds at a time")
    parser.add_argument("--objects", type=int, default=0, help="of each seed; drawn if not given")
    parser.add_argument("--all", action="store_true", help="also draw what the engine is known to get wrong")
    parser.add_argument("--keep", action="store_true", help="keep the records of every seed")
    parser.add_argument("--lane", help=argparse.SUPPRESS)
    options = parser.parse_args()
    seeds = options.seed or range(options.first, options.first + options.seeds)
    if options.lane:
        _run_lane(options, [int(seed) for seed in options.lane.split(",")])
        return 0
    return _Sums().of(seeds, options)


def _run_lane(options: argparse.Namespace, seeds: list[int]) -> None:
    """Seed after seed in this process, an outcome a line."""
    from engine_chaos.scale import shrink_servers

    shrink_servers()
    from engine_chaos.seed import run_seed

    for seed in seeds:
        outcome = run_seed(seed, with_all=options.all, keep=options.keep, objects=options.objects)
        print(json.dumps(vars(outcome)), flush=True)


class _Sums:
    """Of all seeds."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()
        self._kinds: dict[str, Counter[str]] = {name: Counter() for name in ("strikes", "blows", "deeds", "violations")}
        self._seconds = 0.0
        self._cpu_s = 0.0

    def of(self, seeds: range | list[int], options: argparse.Namespace) -> int:
        """Run them and print."""
        began, lanes = time.monotonic(), []
        for index in range(min(options.lanes, len(seeds))):
            mine = ",".join(map(str, seeds[index :: options.lanes]))
            flags = [name for name in ("--all", "--keep") if getattr(options, name[2:])]
            command = [sys.executable, "-m", "engine_chaos", "--lane", mine, "--objects", str(options.objects), *flags]
            path = os.pathsep.join(str(ROOT / part) for part in ("plugins", "", "tests/support"))
            environment = os.environ | {"PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"}
            lanes.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, cwd=ROOT))
        threads = [threading.Thread(target=self._read, args=(lane, options)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        broken = [lane.args for lane in lanes if lane.wait()]
        self._tell(time.monotonic() - began)
        if broken:
            print(f"a lane ended before its seeds: {broken}")
        return 1 if self._kinds["violations"] or broken else 0

    def _read(self, lane: subprocess.Popen[str], options: argparse.Namespace) -> None:
        assert lane.stdout is not None
        for line in lane.stdout:
            try:
                outcome = json.loads(line)
            except ValueError:
                print(line, end="")
                continue
            with _lock:
                self._add(outcome, options)

    def _add(self, outcome: dict, options: argparse.Namespace) -> None:  # type: ignore[type-arg]
        self._numbers.update(seeds=1, objects=outcome["objects"], copied=outcome["copied"])
        self._numbers.update({"green runs": outcome["greens"], "red runs": outcome["reds"]})
        for name in ("strikes", "blows", "deeds"):
            self._kinds[name].update(outcome[name])
        self._kinds["violations"].update(said.partition(":")[0] for said in outcome["violations"])
        self._seconds += outcome["seconds"]
        self._cpu_s += outcome["cpu_s"]
        if outcome["violations"] or options.keep:
            flags = " ARGS=--all" if options.all else ""
            print(
                f"seed {outcome['seed']} ({outcome['story']}), {outcome['seconds']:.1f} s, {outcome['cpu_s']:.1f} s CPU:"
            )
            for said in outcome["violations"][:SHOWN]:
                print(f"    {said[:400]}")
            if (more := len(outcome["violations"]) - SHOWN) > 0:
                print(f"    and {more} more")
            print(
                f"    records: {outcome['folder']}; again: make chaos-engine SEED={outcome['seed']}{flags}", flush=True
            )

    def _tell(self, seconds: float) -> None:
        count = max(1, self._numbers["seeds"])
        print(", ".join(f"{number:,} {name}" for name, number in self._numbers.items()))
        print(f"{seconds:,.0f} s; {self._seconds / count:.1f} s and {self._cpu_s / count:.1f} s of CPU a seed")
        for name, title in (("blows", "kills and stops"), ("deeds", "interference"), ("strikes", "faults struck")):
            found = self._kinds[name]
            print(
                f"{title}: {sum(found.values()):,}  "
                + ", ".join(f"{kind} {count}" for kind, count in found.most_common())
            )
        wrong = self._kinds["violations"]
        print(
            ", ".join(f"{kind} {wrong[kind]}" for kind in ("lost", "wrong", "unexplained")),
            dict(wrong) if wrong else "",
        )


if __name__ == "__main__":
    sys.exit(main())
