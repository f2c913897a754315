"""A component of Airflow that ends is started again, at a bounded rate. `airflow` is a small program here."""

from __future__ import annotations

from pathlib import Path

from demo.airflow_stack import AirflowStack
from demo.restarts import FIRST_WAIT_S, MAX_WAIT_S, STEADY_S, Restarts

ENDS_AT_ONCE = "import sys; print(sys.argv[1], 'ends'); sys.exit(3)"


def test_a_component_that_has_ended_is_started_again_and_said(tmp_path: Path) -> None:
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "__init__.py").touch()
    (tmp_path / "airflow" / "__main__.py").write_text(ENDS_AT_ONCE)
    stack = AirflowStack(tmp_path)
    stack._restarts = Restarts(clock := Clock())
    stack._launch("scheduler")
    stack._processes["scheduler"].wait()
    assert stack.restart_ended() == [], "not at once"
    clock.now_s += FIRST_WAIT_S
    (sentence,) = stack.restart_ended()
    assert sentence.startswith("airflow scheduler ended with status 3 and was started again, for the 1. time;")
    stack._processes["scheduler"].wait()
    stack.stop()
    assert stack.component_log("scheduler").read_text() == "scheduler ends\n" * 2


def test_the_wait_doubles_while_a_process_keeps_ending_and_not_after_a_steady_one() -> None:
    restarts = Restarts(clock := Clock())
    waits_s = []
    for _ in range(9):
        restarts.started("scheduler")
        began_at_s = clock.now_s
        while not restarts.is_due("scheduler"):
            clock.now_s += 0.5
        waits_s.append(clock.now_s - began_at_s)
    assert waits_s == [1, 2, 4, 8, 16, 32, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]
    clock.now_s += STEADY_S
    restarts.started("scheduler")
    assert not restarts.is_due("scheduler")
    clock.now_s += FIRST_WAIT_S
    assert restarts.is_due("scheduler")
    assert restarts.count("scheduler") == 9


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s
