"""A client for the part of Airflow's REST API that the demo and the end-to-end tests need."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests

from demo.log_lines import log_line

SERVER_ERRORS = (500, 502, 503, 504)
FINISHED = frozenset({"success", "failed"})


class AirflowError(RuntimeError):
    """Airflow did not start, answered with an error, or did not finish in time. The message is for people."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a DAG."""

    dag_id: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInstance:
    """One task of a run, with the state that Airflow reports. `map_index` is -1 for a task that is not mapped."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    duration_s: float | None
    pid: int | None
    """The process that runs (or ran) the task on this machine."""
    started_at: datetime | None
    ended_at: datetime | None


class AirflowApi:
    """Talks to the API server at `url`, as the user of `credentials`, or where everyone is let in as an admin.

    Every method raises AirflowError when the server cannot be reached, is silent for `timeout_s`, or refuses.
    """

    def __init__(self, url: str, *, credentials: tuple[str, str] | None = None, timeout_s: float = 30.0) -> None:
        self.url = url
        self.credentials = credentials
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False  # connect to loopback without a proxy

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Create the connection, or replace it. The fields are those of AIRFLOW_CONN_… JSON; `extra` is a dict."""
        body = {**connection, "connection_id": conn_id, "extra": json.dumps(connection.get("extra") or {})}
        if self._insist("POST", "connections", json=body, accept=(409,)).status_code == 409:
            self._insist("PATCH", f"connections/{quote(conn_id, safe='')}", json=body)

    def wait_for_dag(self, dag_id: str, timeout_s: float = 60.0) -> None:
        """Return once the DAG processor has stored the DAG; fail at once if its file does not import."""

        def parsed() -> bool:
            if self._call("GET", f"dags/{dag_id}", accept=(200, 404)).status_code == 200:
                return True
            if errors := self._get("importErrors")["import_errors"]:
                raise AirflowError(f"DAG file {errors[0]['filename']} does not import:\n{errors[0]['stack_trace']}")
            return False

        self._poll(parsed, timeout_s, f"DAG {dag_id} did not appear")

    def unpause(self, dag_id: str) -> None:
        """Let runs of the DAG begin: a new one is paused unless Airflow is set otherwise."""
        self._insist("PATCH", f"dags/{quote(dag_id, safe='')}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, run_id: str | None = None) -> Run:
        """Start a run as soon as its DAG is there."""
        self.wait_for_dag(dag_id)
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return Run(dag_id, self._insist("POST", f"dags/{dag_id}/dagRuns", json=body).json()["dag_run_id"])

    def create_backfill(
        self, dag_id: str, from_date: str, to_date: str, *, max_active_runs: int, reprocess: str = "none"
    ) -> int:
        """Start a backfill of an unpaused DAG, both dates included, and return its id.

        `reprocess` is `none`, `failed` or `completed`.
        """
        body = {
            "dag_id": dag_id,
            "from_date": from_date,
            "to_date": to_date,
            "max_active_runs": max_active_runs,
            "reprocess_behavior": reprocess,
        }
        return int(self._insist("POST", "backfills", json=body).json()["id"])

    def end_backfills(self, dag_id: str) -> None:
        """Cancel the DAG's backfills, whose runs have ended: Airflow closes them late, and allows one at a time."""
        for backfill in self._get("backfills", dag_id=dag_id)["backfills"]:
            if not backfill["completed_at"]:
                self._insist("PUT", f"backfills/{backfill['id']}/cancel")

    def runs(self, dag_id: str, run_type: str = "") -> list[Run]:
        """The runs of a DAG in the order of their dates; `run_type` is `scheduled`, `backfill`, `manual` or empty for all."""
        narrowed = {"run_type": run_type} if run_type else {}
        found = self._get(f"dags/{dag_id}/dagRuns", limit=100, order_by="run_after", **narrowed)
        return [Run(dag_id, entry["dag_run_id"]) for entry in found["dag_runs"]]

    def wait_for_runs(self, dag_id: str, timeout_s: float) -> list[Run]:
        """Wait until a DAG that something else triggers has a run, and return its runs. Raises AirflowError after `timeout_s`."""
        self._poll(lambda: bool(self.runs(dag_id)), timeout_s, f"nothing has started {dag_id}")
        return self.runs(dag_id)

    def asset_events(self, uri: str) -> list[dict[str, Any]]:
        """The events on an asset, oldest first: `extra`, `source_dag_id`, `source_run_id`, `created_dagruns`, …

        Assets that an alias has created are included, although Airflow lists them as inactive for up to a minute.
        """
        assets = self._get("assets", uri_pattern=uri, only_active=False)["assets"]
        ids = [asset["id"] for asset in assets if asset["uri"] == uri]
        if not ids:
            return []
        return list(self._get("assets/events", asset_id=ids[0], order_by="timestamp", limit=100)["asset_events"])

    def import_errors(self) -> dict[str, str]:
        """The stack trace of each DAG file that does not import, by its path in the DAGs folder."""
        return {error["filename"]: error["stack_trace"] for error in self._get("importErrors")["import_errors"]}

    def run_state(self, run: Run) -> str:
        """`queued`, `running`, `success` or `failed`."""
        return str(self._get(_path(run))["state"])

    def wait(self, run: Run, timeout_s: float, *, poll_s: float = 0.5) -> str:
        """The run's final state: `success` or `failed`. Raises AirflowError after `timeout_s` seconds."""
        self._poll(lambda: self.run_state(run) in FINISHED, timeout_s, f"run {run.run_id} did not end", poll_s)
        return self.run_state(run)

    def fail_run(self, run: Run) -> None:
        """Mark the run failed: its running tasks are stopped, its teardown tasks still run."""
        self.mark_run(run, "failed")

    def mark_run(self, run: Run, state: str) -> None:
        """Mark the run as `failed` or `success`, as its button in the UI does."""
        self._insist("PATCH", _path(run), json={"state": state})

    def mark_task(self, run: Run, task_id: str, state: str) -> None:
        """Mark a task as `failed`, `success` or `skipped`, all instances of it, as its button in the UI does."""
        self._insist("PATCH", f"{_path(run)}/taskInstances/{quote(task_id, safe='')}", json={"new_state": state})

    def clear_task(self, run: Run, task_id: str, *, is_alone: bool = False) -> None:
        """Clear a task with its downstream tasks, as the UI does by default, or alone; the run continues from there."""
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": [task_id],
            "include_downstream": not is_alone,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self._insist("POST", f"dags/{quote(run.dag_id, safe='')}/clearTaskInstances", json=body)

    def task_instances(self, run: Run) -> list[TaskInstance]:
        """Every task instance of the run, mapped ones included, by task id and map index."""
        found: list[dict[str, Any]] = []
        total = 1
        while len(found) < total:
            page = self._get(f"{_path(run)}/taskInstances", limit=100, offset=len(found))
            total = page["total_entries"] if page["task_instances"] else 0
            found += page["task_instances"]
        instances = [
            TaskInstance(
                task_id=entry["task_id"],
                map_index=entry["map_index"],
                state=entry["state"],
                try_number=entry["try_number"],
                duration_s=entry["duration"],
                pid=entry["pid"],
                started_at=_moment(entry["start_date"]),
                ended_at=_moment(entry["end_date"]),
            )
            for entry in found
        ]
        return sorted(instances, key=lambda task: (task.task_id, task.map_index))

    def task_instance(self, run: Run, task_id: str, map_index: int = -1) -> TaskInstance:
        """One task instance."""
        for task in self.task_instances(run):
            if (task.task_id, task.map_index) == (task_id, map_index):
                return task
        raise AirflowError(f"run {run.run_id} has no task {task_id}[{map_index}]")

    def wait_for_task(
        self, run: Run, task_id: str, map_index: int = -1, *, states: frozenset[str], timeout_s: float
    ) -> TaskInstance:
        """Wait until a task instance is in one of the states, for example `frozenset({"running"})`, and return it."""
        wanted: list[TaskInstance] = []

        def reached() -> bool:
            wanted[:] = [
                task
                for task in self.task_instances(run)
                if (task.task_id, task.map_index) == (task_id, map_index) and task.state in states
            ]
            return bool(wanted)

        self._poll(reached, timeout_s, f"task {task_id}[{map_index}] did not become {' or '.join(sorted(states))}", 0.4)
        return wanted[0]

    def xcom(self, run: Run, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """The XCom value that the task pushed under `key`, or None."""
        path = f"{_path(run)}/taskInstances/{task_id}/xcomEntries/{quote(key, safe='')}"
        answer = self._call(
            "GET", path, params={"map_index": map_index, "deserialize": "true", "stringify": "false"}, accept=(200, 404)
        )
        return answer.json()["value"] if answer.status_code == 200 else None

    def task_state(self, run: Run, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """The task instance's entries in the task state store, by key; empty when it has none yet."""
        found = self._get(f"{_path(run)}/taskInstances/{task_id}/state-store", map_index=map_index, limit=100)
        return {entry["key"]: entry["value"] for entry in found["task_state_store"]}

    def task_log(self, run: Run, task_id: str, *, map_index: int = -1, try_number: int = 1) -> str:
        """The log of one attempt of a task, as the UI shows it: one line per event, followed by its fields as `name=value`."""
        path = f"{_path(run)}/taskInstances/{task_id}/logs/{try_number}"
        answer = self._call(
            "GET",
            path,
            params={"map_index": map_index, "full_content": "true"},
            headers={"Accept": "application/json"},
            accept=(200, 404),
        )
        if answer.status_code == 404:
            return ""
        content = answer.json()["content"]
        return content if isinstance(content, str) else "\n".join(map(log_line, content))

    def run_url(self, run: Run) -> str:
        """The page of the run in the UI."""
        return f"{self.url}/{_path(run, 'runs')}"

    def health(self) -> dict[str, str | None]:
        """The status of each component (`metadatabase`, `scheduler`, `dag_processor`, …): `healthy` or not."""
        return {name: part["status"] for name, part in self._get("monitor/health").items()}

    def _log_in(self) -> None:
        user = self.credentials and dict(zip(("username", "password"), self.credentials, strict=True))
        answer = self._request("POST" if user else "GET", f"{self.url}/auth/token", json=user)
        if answer.status_code != 201:
            raise AirflowError(f"Airflow gives no token: {answer.status_code} {answer.text[:500]}")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _request(self, method: str, url: str, *, timeout_s: float = 0, **arguments: Any) -> requests.Response:
        try:
            return self._session.request(method, url, timeout=timeout_s or self._timeout_s, **arguments)
        except requests.RequestException as error:
            raise AirflowError(f"Airflow's API server at {self.url} does not answer: {error}") from error

    def _call(self, method: str, path: str, *, accept: tuple[int, ...] = (), **arguments: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._log_in()
        answer = self._request(method, f"{self.url}/api/v2/{path}", **arguments)
        if answer.status_code == 401:  # the token has expired
            self._log_in()
            answer = self._request(method, f"{self.url}/api/v2/{path}", **arguments)
        if not answer.ok and answer.status_code not in accept:
            raise AirflowError(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer

    def _insist(self, method: str, path: str, *, accept: tuple[int, ...] = (), **arguments: Any) -> requests.Response:
        """Send a request that writes, and repeat it while the server fails: on SQLite, concurrent writes may."""
        for _ in range(20):
            answer = self._call(method, path, accept=(*accept, *SERVER_ERRORS), **arguments)
            if answer.status_code not in SERVER_ERRORS:
                return answer
            time.sleep(0.5)
        raise AirflowError(f"Airflow refuses {method} {path}: {answer.status_code} {answer.text[:2000]}")

    def _get(self, path: str, **params: Any) -> dict[str, Any]:
        return dict(self._call("GET", path, params=params).json())

    def _poll(self, done: Callable[[], bool], timeout_s: float, complaint: str, poll_s: float = 0.25) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise AirflowError(f"{complaint} within {timeout_s:g} s")
            time.sleep(poll_s)


def _path(run: Run, runs: str = "dagRuns") -> str:
    return f"dags/{quote(run.dag_id, safe='')}/{runs}/{quote(run.run_id, safe='')}"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
