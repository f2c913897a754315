"""What leaves a task as an error: in Airflow's terms, without secrets, and without what servers wrote as it came."""

from __future__ import annotations

import traceback

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from operators.engine_errors import connections, engine_errors
from transfer.errors import BucketMissing, SinkUnavailable, Stage
from transfer.event_log import NoEventLog

HOSTILE = "https://d/a?Policy=x&Signature=SECRET\r\nERROR forged \x1b[2J\u202e"


def ended_with(error: Exception) -> BaseException:
    with pytest.raises(AirflowException) as raised, engine_errors("transfer", connections(gcp="g"), NoEventLog()):
        try:
            raise ValueError(HOSTILE)  # what a library says comes as the cause
        except ValueError as cause:
            raise error from cause
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BucketMissing(HOSTILE, stage=Stage.UPLOAD), AirflowFailException),
        (SinkUnavailable(HOSTILE, stage=Stage.UPLOAD), AirflowException),
        (KeyError(HOSTILE), AirflowException),
        (RecursionError(HOSTILE), AirflowException),
    ],
)
def test_no_secret_and_no_line_of_anothers_leaves_a_task(error: Exception, kind: type, caplog) -> None:
    raised = ended_with(error)
    assert type(raised) is kind
    printed = "".join(traceback.format_exception(raised))
    for text in (str(raised), printed, *caplog.messages):
        assert "SECRET" not in text
        assert "\x1b" not in text and "\r" not in text and "\u202e" not in text
        assert not any(line.startswith("ERROR forged") for line in text.splitlines())
    assert ("ValueError" in caplog.text) is (kind is AirflowException), "the frames of what a person cannot correct"


def test_what_airflow_means_to_say_is_left_as_it_is() -> None:
    with pytest.raises(AirflowSkipException), engine_errors("list", {}, NoEventLog()):
        raise AirflowSkipException("nothing to do")
