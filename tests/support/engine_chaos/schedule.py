"""Does without Airflow what Airflow does for a run: tasks in order, each attempt a process, retries, clearing, closing."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from engine_chaos import actors
from engine_chaos.world import World

MAX_ATTEMPTS = 3
"""Attempts of a task, as in the DAG: two retries."""
TASK_TIMEOUT_S = 60.0
"""Longer than any task of these sizes can take: then it hangs."""
_FORK_SERVER = multiprocessing.get_context("forkserver")
_FORK_SERVER.set_forkserver_preload(["engine_chaos.actors"])


@dataclass(kw_only=True)
class Ended:
    """How a task ended after its last attempt."""

    state: str
    """`success`, `fail`, or `lost` for one whose every try died."""
    summary: dict[str, Any]
    said: str = ""


@dataclass(kw_only=True)
class Attempt:
    """One attempt of one task instance."""

    task: str
    index: int
    attempt: int
    process: BaseProcess
    out: Path
    began: float


@dataclass
class Run:
    """One DAG run. Its tasks are run one after the other by `story.py`."""

    name: str
    world: World
    folder: Path
    params: Mapping[str, Any]
    listing: dict[str, Any] = field(default_factory=dict)
    opening: int = 0
    opened_at_s: float = 0.0
    opened: float = 0.0
    """The same, by this process's clock."""
    judged: list[dict[str, Any]] = field(default_factory=list)
    """The result of each pass, with the time at which it began and ended."""
    ends: list[tuple[str, int, str, str]] = field(default_factory=list)
    """Task, index, state and words of each task that ended."""
    faults: list[str] = field(default_factory=list)
    """What no engine may do: unexpected exceptions, hanging, not heeding SIGTERM."""
    is_closed: bool = False
    swept: dict[str, Any] = field(default_factory=dict)
    listed_at: tuple[float, float] = (0.0, 0.0)
    _attempts: Counter[tuple[str, int]] = field(default_factory=Counter)
    _zombies: list[Attempt] = field(default_factory=list)

    def tasks(
        self, task: str, count: int = 1, *, may_end: Callable[[], bool] = lambda: False, **spec: Any
    ) -> list[Ended]:
        """Run instances of one task at a time, with up to MAX_ATTEMPTS attempts each, until `may_end` is true."""
        ended: dict[int, Ended] = {}
        first = {index: self._attempts[task, index] for index in range(count)}
        running = [self._start(task, index, spec) for index in range(count)]
        while running:
            connection.wait([item.process.sentinel for item in running], timeout=0.2)
            if may_end():
                self._break_off(running)
                return []
            for item in list(running):
                if not self._has_ended(item):
                    continue
                running.remove(item)
                result = self._result(item)
                is_last = self._attempts[task, item.index] - first[item.index] >= MAX_ATTEMPTS
                if result["state"] == "retry" and not is_last:
                    running.append(self._start(task, item.index, spec))
                    continue
                state = "lost" if result["state"] == "retry" else result["state"]
                said = result.get("said", "")
                ended[item.index] = Ended(state=state, summary=result.get("summary") or {}, said=said)
                self.ends.append((task, item.index, state, said))
        return [ended[index] for index in range(count)]

    def finish(self) -> None:
        """No process is left."""
        for item in self._zombies:
            _end(item.process, signal.SIGCONT)
            item.process.join(1.0)
            item.process.kill()
            item.process.join()

    def _start(self, task: str, index: int, spec: Mapping[str, Any]) -> Attempt:
        self._attempts[task, index] += 1
        attempt = self._attempts[task, index]
        out = self.folder / f"{self.name}.{task}.{index}.{attempt}.json"
        whole = {
            **self.world.spec(),
            **self.params,
            **spec,
            "run": self.name,
            "opening": self.opening,
            "opened_at_s": self.opened_at_s,
            "task": task,
            "index": index,
            "attempt": attempt,
            "out": str(out),
            "listing": self.listing,
            "cursor": str(self.folder / f"{self.name}.cursor"),
        }
        process = _FORK_SERVER.Process(target=actors.act, args=(whole,), daemon=True)
        process.start()
        self.world.processes.add(task, self.name, process)
        return Attempt(task=task, index=index, attempt=attempt, process=process, out=out, began=time.monotonic())

    def _has_ended(self, item: Attempt) -> bool:
        if not item.process.is_alive():
            return True
        if item.process.pid in self.world.processes.zombies:
            self._zombies.append(item)  # its task is tried again, as if it had died
            return True
        if time.monotonic() - item.began > TASK_TIMEOUT_S:
            _end(item.process, signal.SIGCONT)
            _end(item.process, signal.SIGUSR1)  # its stacks go into its log
            time.sleep(0.5)
            self.faults.append(
                f"hangs: {item.task} {item.index} attempt {item.attempt}, see {item.out.with_suffix('.log')}"
            )
            item.process.kill()
            item.process.join()
            return True
        return False

    def _result(self, item: Attempt) -> dict[str, Any]:
        if item.process.is_alive():
            return {"state": "retry", "said": "zombie"}
        item.process.join()
        if not item.out.exists():
            if item.process.exitcode not in (-signal.SIGKILL, -signal.SIGTERM):
                self.faults.append(
                    f"died: {item.task} {item.index} attempt {item.attempt}: exit code {item.process.exitcode}"
                )
            return {"state": "retry", "said": "killed"}
        result: dict[str, Any] = json.loads(item.out.read_text())
        if "unexpected" in result:
            self.faults.append(f"unexpected: {item.task} attempt {item.attempt}: {result['said']}, see {item.out}")
        return result

    def _break_off(self, running: list[Attempt]) -> None:
        """As Airflow does when a run is marked: SIGTERM, and SIGKILL after 5 s. `close` runs meanwhile."""
        for item in running:
            _end(item.process, signal.SIGTERM)
        self.ends.append((running[0].task, 0, "broken off", ""))
        self._zombies += running


def _end(process: BaseProcess, number: int) -> None:
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
