"""Wall time, CPU of a process with all its children, and peak memory: the same ways for the engine and for every peer."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

REPOSITORY = Path(__file__).resolve().parent.parent
POLL_S = 0.02
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class PeerFailed(RuntimeError):
    """A peer or the engine did not copy what it was asked to. The message ends with what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run cost."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int

    def to_json(self) -> dict[str, float]:
        """As a dictionary of plain numbers."""
        return {"wall_s": self.wall_s, "cpu_s": self.cpu_s, "peak_rss_bytes": self.peak_rss_bytes}


class Meter:
    """Measures this process and the children it has waited for, from its making to `stop`."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = tree_cpu_s(), time.perf_counter()

    def stop(self) -> Usage:
        """What was used since."""
        wall_s, cpu_s = time.perf_counter() - self._wall_s, tree_cpu_s() - self._cpu_s
        return Usage(wall_s=wall_s, cpu_s=cpu_s, peak_rss_bytes=peak_rss_bytes(os.getpid()))


def tree_cpu_s() -> float:
    """User and system CPU seconds of this process and of all its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(item.ru_utime + item.ru_stime for item in used)


def peak_rss_bytes(pid: int) -> int:
    """The peak since the program was started, not that of the process it was forked from; 0 once it has ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def servers_cpu_s(pids: Sequence[int]) -> float:
    """User and system CPU seconds so far of running processes and their running children: who is the bottleneck?"""
    return sum(_cpu_s(pid) for parent in pids for pid in (parent, *_children(parent)))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def run_program(command: Sequence[str], environment: Mapping[str, str], output: BinaryIO | None = None) -> Usage:
    """Run a program to its end and measure it; what it prints may go to a file. Raises PeerFailed unless it succeeds."""
    meter = Meter()
    stdout, stderr = (subprocess.PIPE, subprocess.STDOUT) if output is None else (output, subprocess.PIPE)
    with subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr) as process:
        peak_bytes = 0
        while process.poll() is None:
            peak_bytes = max(peak_bytes, peak_rss_bytes(process.pid))
            time.sleep(POLL_S)
        said_to = process.stdout or process.stderr
        assert said_to is not None
        said = said_to.read().decode(errors="replace")
    usage = meter.stop()
    if process.returncode:
        raise PeerFailed(f"{Path(command[0]).name} ended with {process.returncode}: {said[-2000:]}")
    return Usage(wall_s=usage.wall_s, cpu_s=usage.cpu_s, peak_rss_bytes=peak_bytes)


def run_module(
    module: str, task: Mapping[str, object], environment: Mapping[str, str], timeout_s: float
) -> dict[str, float]:
    """Run `python -m module` with a task on its standard input; the numbers in the last line it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(task),
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise PeerFailed(f"{module} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    numbers: dict[str, float] = json.loads(lines[-1])
    return numbers
