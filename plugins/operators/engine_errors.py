"""The engine's errors in Airflow's terms: what to retry, what to fail for good, and which connection to look at."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from transfer.errors import FatalError, Stage, Stopped, TransferError
from transfer.event_log import EventLog
from transfer.plain_text import redact


def connections(*, aws: str = "", gcp: str = "", cloudfront: str = "") -> Mapping[Stage, str]:
    """Which Airflow connection each stage of the work goes through."""
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
    """Raises AirflowFailException (no retry) for what a person has to change, AirflowException (retry) for the rest.

    Every error also goes to the event log, under the program's name; the event log is closed at the end.
    """
    try:
        yield
    except Stopped as error:
        raise AirflowException("stopped before the work was done; what was not settled was given back") from error
    except TransferError as error:
        events.main_program_error(program, traceback.format_exc())
        connection = connection_of.get(error.stage, "")
        where = f" [Airflow connection {connection!r}]" if connection else ""
        kind = AirflowFailException if isinstance(error, FatalError) else AirflowException
        raise kind(f"{error.code}: {redact(error.message)}{where}") from error
    except Exception:  # told, and raised again as it is
        events.main_program_error(program, traceback.format_exc())
        raise
    finally:
        events.close()
