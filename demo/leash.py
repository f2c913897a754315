"""Runs one command, and ends it with all processes that it started when the parent process ends.

    python demo/leash.py GRACE_S COMMAND [ARGUMENT …]

The command runs in a separate session, so a Ctrl-C in the terminal does not reach it. When stdin closes (the parent
closed it, or died) or on SIGTERM, the command gets SIGTERM; a fifth of GRACE_S later its whole session does, because
Airflow's scheduler would wait for the end of every running task; what is left after GRACE_S seconds gets SIGKILL.
Exits with the command's status.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil


def launch(
    command: Sequence[str], *, grace_s: float, environment: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a command in `folder` on a leash that this process holds; its output is added to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(grace_s), *command],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def let_go(*leashes: subprocess.Popen[bytes]) -> None:
    """End what `launch` started, all at once, and wait until it has ended."""
    for process in leashes:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    for process in leashes:
        process.wait()


def session_of(leash: subprocess.Popen[bytes]) -> int:
    """The session of the command on a leash, which is the id of its first process."""
    return psutil.Process(leash.pid).children()[0].pid


def signal_session(session_id: int, number: signal.Signals) -> None:
    """Signal every process of a session. Airflow's tasks have separate process groups but share the session."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == session_id:
                os.kill(pid, number)


def main() -> int:
    """Run the command given on the command line and return its exit status, 128 + N for signal N."""
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    ended = threading.Event()

    def end() -> None:
        child.terminate()
        if not ended.wait(grace_s / 5):
            signal_session(child.pid, signal.SIGTERM)
        if not ended.wait(grace_s * 4 / 5):
            signal_session(child.pid, signal.SIGKILL)

    def end_with_parent() -> None:
        while os.read(0, 4096):  # not sys.stdin: its lock, held here at exit, would abort the interpreter
            pass
        end()

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, daemon=True).start())
    threading.Thread(target=end_with_parent, daemon=True).start()
    status = child.wait()
    ended.set()
    signal_session(child.pid, signal.SIGKILL)  # processes that it left behind
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
