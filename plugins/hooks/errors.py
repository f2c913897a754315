"""The error that a hook raises when its connection cannot be used."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException


class InvalidConnection(AirflowFailException):
    """A field of an Airflow connection is missing or wrong; the message names both and says what to change. Not retried."""

    def __init__(self, conn_id: str, field: str, problem: str) -> None:
        super().__init__(f"Connection {conn_id!r}, field {field!r}: {problem}.")
        self.conn_id = conn_id
        self.field = field
        self.problem = problem
