"""A bucket to sweep, for the tests of `transfer/deletion`: both sides, and one object that only the destination has."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine_rig import DESTINATION, STATE_PREFIX, EngineRig, engine_rig
from transfer.deletion.extraneous import DeleteExtraneous, Permission
from transfer.naming import Naming
from transfer.reconciliation.report import ReconciliationReport
from transfer.records.layout import REPORT_JSON

NAMING = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=STATE_PREFIX)
DELETE, LIST = Permission(action=DeleteExtraneous.DELETE), Permission(action=DeleteExtraneous.LIST)


@contextmanager
def deletion_rig(folder: Path, set_variable: Callable[[str, str], None]) -> Iterator[EngineRig]:
    """`in/` has 10 objects, which are at `out/` as well, and `out/` has one more, `out/extra`."""
    with engine_rig(folder, set_variable, naming=NAMING) as made:
        for index in range(10):
            made.put(f"in/{index}", b"kept")
        upload(made, "out/extra", "out-of-it/extra", "in/extra")
        _, report = made.copy_all()
        assert report.is_green
        yield made


def upload(rig: EngineRig, *names: str) -> None:
    for name in names:
        rig.storage.bucket(DESTINATION).blob(name).upload_from_string(b"not in the source")


def everything(rig: EngineRig) -> set[str]:
    """The names of all objects at the destination, with those of the runs' records."""
    return {blob.name for blob in rig.storage.list_blobs(DESTINATION)}


def report_of(rig: EngineRig) -> ReconciliationReport:
    return ReconciliationReport.decode(rig.state().read(REPORT_JSON))


def csv_names(rig: EngineRig, name: str = "extraneous.csv") -> list[str]:
    return [row["name"] for row in csv.DictReader(io.StringIO(rig.state().read(name).decode()))]


def answers(rig: EngineRig, *files: str) -> dict[str, str]:
    """The answer for each name in deleted.csv; the counts in report.json have to agree."""
    names = files or ("deleted.csv",)
    rows = [row for name in names for row in csv.DictReader(io.StringIO(rig.state().read(name).decode()))]
    report = report_of(rig)
    assert report.deletion == Counter(row["answer"] for row in rows)
    assert report.deleted == report.deletion.get("deleted", 0)
    return {row["name"]: row["answer"] for row in rows}
