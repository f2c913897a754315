"""Turns the engine's errors into Airflow's exceptions: retried or not, with the connection to check."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from operators.parameters import InvalidParameter
from operators.stopping import may_be_broken_off
from transfer.errors import FatalError, Stage, Stopped, TransferError
from transfer.event_log import EventLog
from transfer.plain_text import block, one_line

EVENTS_S = 5.0
STOPPED_EVENTS_S = 0.5
"""How long sending the last events may take after a stop request, which leaves a task little time."""

log = logging.getLogger(__name__)


def connections(*, aws: str = "", gcp: str = "", cloudfront: str = "") -> Mapping[Stage, str]:
    """The Airflow connection that each stage uses."""
    return {
        Stage.LIST: aws,
        Stage.DOWNLOAD: cloudfront,
        Stage.UPLOAD: gcp,
        Stage.MESSAGE: gcp,
        Stage.SETTLE: gcp,
        Stage.RECONCILE: gcp,
    }


@contextmanager
def engine_errors(program: str, connection_of: Mapping[Stage, str], events: EventLog) -> Iterator[None]:
    """Raises AirflowFailException (not retried) for errors that a person has to correct, AirflowException (retried) for others.

    Every error also goes to the event log, with its traceback, under the program's name; the event log is closed at the end.

    The log of the task has the traceback of errors that a person cannot correct, redacted and line by line; it is not chained,
    because Airflow would print messages of libraries and servers unfiltered. Of an error whose message says what to do, the log
    has the message alone.
    """
    close_s = EVENTS_S
    try:
        with may_be_broken_off():
            yield
    except Stopped:
        close_s = STOPPED_EVENTS_S
        raise AirflowException(
            "stopped before the work was done; unfinished messages were returned to the queue"
        ) from None
    except TransferError as error:
        _log_traceback(program, events, is_logged=not isinstance(error, FatalError))
        connection = connection_of.get(error.stage, "")
        where = f" [Airflow connection {connection!r}]" if connection else ""
        kind = AirflowFailException if isinstance(error, FatalError) else AirflowException
        raise kind(f"{error.code}: {error.message}{where}") from None
    except InvalidParameter as error:
        raise AirflowFailException(str(error)) from None
    except AirflowSkipException:  # a skipped task is not an error
        raise
    except AirflowException:  # it already tells Airflow whether to retry
        _log_traceback(program, events, is_logged=False)
        raise
    except Exception as error:  # noqa: BLE001 - the task's outermost frame: it fails, and is retried
        _log_traceback(program, events)
        raise AirflowException(f"unexpected: {type(error).__name__}: {one_line(str(error))}") from None
    finally:
        events.close(close_s)


def _log_traceback(program: str, events: EventLog, *, is_logged: bool = True) -> None:
    """Write the traceback of the current exception to the event log, and to the log of the task if `is_logged`."""
    text = traceback.format_exc()
    events.main_program_error(program, text)
    if is_logged:
        log.error("%s ended with an error\n%s", program, block(text))
