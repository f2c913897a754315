"""The reader of docker-compose.yaml that tests/cluster starts processes with, and what keeps those up."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

import compose_services
from compose_file import ROOT
from demo import leash
from kept_processes import KeptProcesses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${SET}", "value"),
        ("${SET:-other}", "value"),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY-other}", ""),
        ("${NONE-other}", "other"),
        ("${NONE:-${SET}!}", "value!"),
        ("${SET:+there}${NONE:+there}", "there"),
        ("$$HOME $$(cat file) ${SET:?needed}", "$HOME $(cat file) value"),
    ],
)
def test_variables_are_filled_in(text: str, expected: str) -> None:
    assert compose_services.filled({"key": [text]}, {"SET": "value", "EMPTY": ""}) == {"key": [expected]}


@pytest.mark.parametrize("text", ["${NONE:?why}", "${EMPTY:?why}", "${NONE?why}"])
def test_a_variable_that_has_to_be_set_is_missed(text: str) -> None:
    with pytest.raises(compose_services.MissingVariable, match="why"):
        compose_services.filled(text, {"EMPTY": ""})


def test_services_come_after_those_that_they_depend_on() -> None:
    services = compose_services.load(ROOT / "docker-compose.yaml", {})
    names = list(services)
    for name, service in services.items():
        assert all(names.index(other) < names.index(name) for other in service.depends_on), name
        assert service.is_kept_up is (name != "airflow-init")
        assert service.command or service.image.startswith("postgres:"), name


def test_a_process_that_is_killed_starts_again_and_one_that_is_stopped_does_not(tmp_path: Path) -> None:
    """The process has a child in a process group of its own, as Airflow's tasks are: it ends too."""
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'], process_group=0)\n"
        "with open('pids', 'a') as file: file.write(f'{os.getpid()} {child.pid}\\n')\n"
        "time.sleep(600)"
    )
    launch = partial(
        leash.launch,
        [sys.executable, "-c", program],
        grace_s=5.0,
        environment={"PATH": os.environ["PATH"]},
        folder=tmp_path,
        log=tmp_path / "log",
    )

    def started(count: int) -> list[tuple[int, ...]]:
        deadline = time.monotonic() + 30
        while True:
            text = (tmp_path / "pids").read_text() if (tmp_path / "pids").exists() else ""
            if text.count("\n") == count:
                return [tuple(map(int, line.split())) for line in text.splitlines()]
            assert time.monotonic() < deadline, text
            time.sleep(0.05)

    with KeptProcesses() as processes:
        processes.start("one", launch)
        started(1)
        processes.kill("one")
        first, second = started(2)
        assert processes.restarts == [("one", 128 + signal.SIGKILL)]
        assert processes.session("one") == second[0]
        processes.stop("one")
        assert len(processes.restarts) == 1
    processes_left = [psutil.Process(pid) for pid in (*first, *second) if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(processes_left, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
