"""The names of all records under the state prefix (docs/messages.md describes their contents).

<state prefix>/runs/<DAG>/<opened at>-<run>            one small entry per opening of a run
<state prefix>/uploads/<run>/<digest>-<random>.begun   an upload in parts is about to be started
<state prefix>/uploads/<run>/<digest>.json             the upload's id, and the parts that are stored
<state prefix>/uploads/<run>/closed-<opening>          this opening of the run may start no more uploads
<state prefix>/<run>/run.json                          from where to where the run copies
<state prefix>/<run>/listing.json                      the last listing: its name, its counts, and whether it is complete
<state prefix>/<run>/cursor.json                       where an interrupted listing resumes
<state prefix>/<run>/plan.json                         the plan, of a run with mode=plan
<state prefix>/<run>/report.json, verdict.json         the result
<state prefix>/<run>/report.html                       the same as a page, or that of the plan
<state prefix>/<run>/failures.csv, archived.csv, extraneous.csv, deleted.csv, sample.csv      objects, for people
<state prefix>/<run>/manifest/<listing>-<shard>        the objects that were listed
<state prefix>/<run>/unfinished/<listing>-<shard>      the listed objects that a pass left unfinished
<state prefix>/<run>/ledger/<listing>-<worker>-<shard>    the outcomes of one worker
<state prefix>/<run>/begun/<listing>-<worker>-…        the messages that a worker has in flight
<state prefix>/<run>/failures/<listing>-<reader>-<shard>  failures read back from the error topic
"""

from __future__ import annotations

STATE_PREFIX = ".edgehaul/"
"""The default prefix of the records of all runs."""

RUNS = "runs/"
UPLOADS = "uploads/"
UPLOADS_CLOSED = "closed-"
UPLOAD_NOTE = ".begun"

RUN_JSON = "run.json"
LISTING_JSON = "listing.json"
CURSOR_JSON = "cursor.json"
PLAN_JSON = "plan.json"
REPORT_JSON = "report.json"
REPORT_HTML = "report.html"
VERDICT_JSON = "verdict.json"

FAILURES_CSV = "failures"
ARCHIVED_CSV = "archived"
EXTRANEOUS_CSV = "extraneous"
DELETED_CSV = "deleted"
SAMPLE_CSV = "sample"
"""Names of CSV files without `.csv`: long ones continue in `<name>-2.csv` (`csv_file.py`)."""
ARCHIVED_COLUMNS = ("key", "version_id", "bytes", "class")
"""The columns of archived.csv, which a later run may take as its manifest."""

MANIFEST = "manifest"
UNFINISHED = "unfinished"
"""The folders of manifests: of a listing, and of the objects that a pass left unfinished."""
LEDGER = "ledger/"
IN_FLIGHT = "begun/"
FAILURES = "failures/"


def runs_folder(dag: str) -> str:
    """The folder of the entries of a DAG's runs, below the state prefix."""
    return f"{RUNS}{dag}/"


def uploads_folder(run: str) -> str:
    """The folder of the records of a run's unfinished uploads, below the state prefix."""
    return f"{UPLOADS}{run}/"


def uploads_closed(run: str, opening: str = "") -> str:
    """The record that this opening of a run may start no more uploads; without an opening, the prefix of all such records."""
    return f"{uploads_folder(run)}{UPLOADS_CLOSED}{opening}"


def uploads_prefix(state_prefix: str) -> str:
    """The folder of the upload records of a run whose other records are under `state_prefix`, which is `<root>/<run>/`."""
    root, _, run = state_prefix.rstrip("/").rpartition("/")
    return f"{root}/{uploads_folder(run)}"


def manifest_shards(listing: str, folder: str = MANIFEST) -> str:
    """The prefix of the names of the shards of one listing's manifest."""
    return f"{folder}/{listing}-"


def ledger_shards(listing: str) -> str:
    """The prefix of the names of the ledger shards of one listing."""
    return f"{LEDGER}{listing}-"


def in_flight_notes(listing: str) -> str:
    """The prefix of the names of the notes about messages of one listing in flight."""
    return f"{IN_FLIGHT}{listing}-"


def failure_shards(listing: str) -> str:
    """The prefix of the names of the shards with the failures of one listing."""
    return f"{FAILURES}{listing}-"


def is_of_work(name: str) -> bool:
    """Whether a record is written for the workers' outcomes: without it, a run can still be verified by its copies."""
    return name.startswith((LEDGER, FAILURES, IN_FLIGHT))


def of_attempt(base: str, attempt: int) -> str:
    """The name of an attempt's file, without `.csv`: each attempt has its own, so that every deletion stays on record."""
    return base if attempt == 1 else f"{base}.try{attempt}"
