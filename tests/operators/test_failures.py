"""How a task fails: with one message, shown on the page of the run, and without the frames of this program."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from operators.base import MAX_PROBLEM_CHARACTERS, PROBLEM_KEY, EdgehaulOperator
from task_stub import TaskStub
from transfer.errors import BucketMissing, Stage


class Failing(EdgehaulOperator):
    """Fails with an error from deep inside."""

    def __init__(self, *, error: Exception, **kwargs: Any) -> None:
        super().__init__(task_id="failing", destination_bucket="d", **kwargs)
        self.error = error

    def work(self, context: Any) -> None:
        with self.engine_errors():
            self._deep(9)

    def _deep(self, levels: int) -> None:
        if levels:
            self._deep(levels - 1)
        raise self.error from ValueError("the cause")


def failed(error: Exception, task: TaskStub) -> AirflowException:
    with pytest.raises(AirflowException) as raised:
        Failing(error=error).execute({"ti": task})
    assert isinstance(raised.value, AirflowException)
    return raised.value


@pytest.mark.parametrize(
    "error",
    [AirflowFailException("what to do"), BucketMissing("what to do", stage=Stage.UPLOAD), KeyError("what to do")],
)
def test_a_failure_has_no_frames_of_ours_below_execute(error: Exception) -> None:
    task = TaskStub("failing")
    raised = failed(error, task)
    frames = [frame.name for frame in traceback.extract_tb(raised.__traceback__) if "/operators/" in frame.filename]
    assert frames[-1] == "execute" and frames.count("execute") == 1
    assert (raised.__cause__, raised.__suppress_context__) == (None, True)
    assert "what to do" in task.xcoms["failing", PROBLEM_KEY]


def test_a_skipped_task_shows_no_problem() -> None:
    task = TaskStub("failing")
    failed(AirflowSkipException("nothing to do"), task)
    assert task.xcoms == {}


def test_a_long_message_is_cut_and_one_that_cannot_be_shown_fails_the_same(capsys) -> None:
    task = TaskStub("failing")
    failed(AirflowFailException("x\ud800" * 9_000), task)
    assert len(task.xcoms["failing", PROBLEM_KEY]) == MAX_PROBLEM_CHARACTERS

    class Away(TaskStub):
        def xcom_push(self, key: str, value: Any) -> None:
            raise RuntimeError("API_SERVER_ERROR")

    assert str(failed(AirflowFailException("what to do"), Away("failing"))) == "what to do"
    assert "cannot be shown" in capsys.readouterr().out


def test_a_task_that_is_stopped_does_not_wait_for_airflow() -> None:
    task = TaskStub("failing")
    operator = Failing(error=AirflowException("stopped"))
    operator.stop.set()
    with pytest.raises(AirflowException, match="stopped"):
        operator.execute({"ti": task})
    assert task.xcoms == {}


@pytest.mark.parametrize(
    ("error", "is_logged"),
    [(AirflowFailException("a"), False), (BucketMissing("a", stage=Stage.UPLOAD), False), (KeyError("a"), True)],
)
def test_the_log_has_the_frames_of_unexpected_errors_alone(error: Exception, is_logged: bool, caplog) -> None:
    failed(error, TaskStub("failing"))
    assert ("Traceback" in caplog.text) is is_logged
