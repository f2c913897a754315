"""Every name under the state prefix, written once (docs/messages.md describes what each holds).

<state prefix>/runs/<DAG>/<opened at>-<run>            one small entry an opening of a run
<state prefix>/uploads/<run>/<digest>-<random>.begun   an upload in parts is about to be started
<state prefix>/uploads/<run>/<digest>.json             its id, and the parts that are stored
<state prefix>/uploads/<run>/closed-<opening>          this opening of the run may start no more uploads
<state prefix>/<run>/run.json                          from where to where the run copies
<state prefix>/<run>/listing.json                      the last listing: its name, its counts, and whether it is complete
<state prefix>/<run>/plan.json                         the plan, of a run with mode=plan
<state prefix>/<run>/report.json, verdict.json         the result
<state prefix>/<run>/failures.csv, archived.csv, extraneous.csv, deleted.csv, sample.csv      objects, for people
<state prefix>/<run>/manifest/<listing>-<shard>        the objects that were listed
<state prefix>/<run>/unfinished/<listing>-<shard>      of these, what a pass left unfinished
<state prefix>/<run>/ledger/<listing>-<worker>-<shard>    the outcomes
<state prefix>/<run>/begun/<listing>-<worker>-…        the messages that a worker has in hand
<state prefix>/<run>/failures/<listing>-<reader>-<shard>  failures read back from the error topic
"""

from __future__ import annotations

STATE_PREFIX = ".edgehaul/"
"""Where the records of all runs are, unless the deployment says otherwise."""

RUNS = "runs/"
UPLOADS = "uploads/"
UPLOADS_CLOSED = "closed-"
UPLOAD_NOTE = ".begun"

RUN_JSON = "run.json"
LISTING_JSON = "listing.json"
PLAN_JSON = "plan.json"
REPORT_JSON = "report.json"
VERDICT_JSON = "verdict.json"

FAILURES_CSV = "failures"
ARCHIVED_CSV = "archived"
EXTRANEOUS_CSV = "extraneous"
DELETED_CSV = "deleted"
SAMPLE_CSV = "sample"
"""Names of files of rows, without `.csv`: long ones go on in `<name>-2.csv` (`csv_file.py`)."""
ARCHIVED_COLUMNS = ("key", "version_id", "bytes", "class")
"""Of archived.csv, which a later run may take as its manifest."""

MANIFEST = "manifest"
UNFINISHED = "unfinished"
"""Folders of manifests."""
LEDGER = "ledger/"
IN_FLIGHT = "begun/"
FAILURES = "failures/"


def runs_folder(dag: str) -> str:
    """Where the entries of a DAG's runs are."""
    return f"{RUNS}{dag}/"


def uploads_folder(run: str) -> str:
    """Where the unfinished uploads of a run are on record, below the state prefix."""
    return f"{UPLOADS}{run}/"


def uploads_closed(run: str, opening: str = "") -> str:
    """The record that this opening of a run may start no more uploads; without an opening, what those of all begin with."""
    return f"{uploads_folder(run)}{UPLOADS_CLOSED}{opening}"


def uploads_prefix(state_prefix: str) -> str:
    """Where the uploads of the run are on record that keeps its other records under `<root>/<run>/`."""
    root, _, run = state_prefix.rstrip("/").rpartition("/")
    return f"{root}/{uploads_folder(run)}"


def manifest_shards(listing: str, folder: str = MANIFEST) -> str:
    """What the names of the shards of one listing's manifest begin with."""
    return f"{folder}/{listing}-"


def ledger_shards(listing: str) -> str:
    """What the names of the ledger's shards on one listing begin with."""
    return f"{LEDGER}{listing}-"


def in_flight_notes(listing: str) -> str:
    """What the names of the notes on one listing begin with."""
    return f"{IN_FLIGHT}{listing}-"


def failure_shards(listing: str) -> str:
    """What the names of the shards with the failures of one listing begin with."""
    return f"{FAILURES}{listing}-"


def is_of_work(name: str) -> bool:
    """Whether a record is one of workers: without it a run can still be judged by what is at the destination."""
    return name.startswith((LEDGER, FAILURES, IN_FLIGHT))
