"""The judge of what one run claims: its report, its manifest and its failures, against what really happened."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from engine_chaos.copies import is_copy, is_damaged_alike
from engine_chaos.history import STATE
from engine_chaos.schedule import Run
from engine_chaos.story import PlayedSeed


@dataclass
class _Record:
    """One run's records, as they are stored."""

    report: dict[str, Any]
    manifest: dict[str, dict[str, Any]]
    failures: dict[str, dict[str, str]]


class Claims:
    """Compares the records of a seed's runs with the history.

    Args:
        first_opened: when the first run was opened, by this process's clock.
    """

    def __init__(self, played: PlayedSeed, *, first_opened: float) -> None:
        self._played = played
        self._world = played.world
        self._history = played.world.history
        self._scenario = played.scenario
        self._first_opened = first_opened

    def complaints(self, run: Run) -> Iterator[str]:
        try:
            record = self._record(run)
        except Exception as error:  # noqa: BLE001 - records that cannot be read are a finding
            yield f"records: {run.name}: {error!r}"
            return
        yield from self._listing(run, record)
        yield from self._counts(run, record)
        for key, line in record.manifest.items():
            if key in record.failures:
                yield from self._explained(run, key, record.failures[key])
            else:
                yield from self._arrived(run, key, line)

    def _record(self, run: Run) -> _Record:
        folder = f"{STATE}{run.name}/"
        bucket = self._world.bucket
        report = json.loads(bucket.blob(f"{folder}report.json").download_as_bytes())
        rows = bucket.blob(f"{folder}failures.csv").download_as_bytes().decode("utf-8", "surrogatepass")
        lines: list[dict[str, Any]] = []
        for blob in bucket.list_blobs(prefix=f"{folder}manifest/{report['listing']}-"):
            packed = blob.download_as_bytes(raw_download=True)
            lines += map(json.loads, gzip.decompress(packed).splitlines())
        assert len({line["key"] for line in lines}) == len(lines), "the manifest names a key twice"
        failures = {row["key"]: row for row in csv.DictReader(io.StringIO(rows, newline=""))}
        return _Record(report, {line["key"]: line for line in lines}, failures)

    def _listing(self, run: Run, record: _Record) -> Iterator[str]:
        """Each key was there as it is listed, at some time meanwhile; and no key that was there throughout is missing."""
        begin, end = run.listed_at
        if run.params["earlier"]:
            begin = 0.0
        for key, line in record.manifest.items():
            versions = self._history.versions.get(key, ())
            if not any(
                version.etag == line["etag"] and version.size_bytes == line["size"] and version.was_current(begin, end)
                for version in versions
            ):
                yield f"listing: {run.name} lists {key!r} as {line}, which the source never had then"
        if run.params["earlier"]:
            return
        for key, versions in self._history.versions.items():
            if not key.startswith(self._scenario.source_prefix) or key in record.manifest:
                continue
            if any(version.since <= begin and version.until >= end for version in versions):
                yield f"lost: {run.name} did not list {key!r}, which the source had all the time"

    def _counts(self, run: Run, record: _Record) -> Iterator[str]:
        report = record.report
        ends = {name: report[name] for name in ("matched", "skipped", "failed", "missing", "differing")}
        skipped = sum("skipped" in line for line in record.manifest.values() if line["key"] not in record.failures)
        if sum(ends.values()) != report["listed"] or report["listed"] != len(record.manifest):
            yield f"counts: {run.name}: {ends} do not make up {report['listed']} listed, {len(record.manifest)} in the manifest"
        if len(record.failures) != ends["failed"] + ends["missing"] + ends["differing"]:
            yield f"counts: {run.name}: {len(record.failures)} rows in failures.csv, and {ends}"
        if skipped != ends["skipped"]:
            yield f"counts: {run.name}: {skipped} skipped in the manifest, and {ends}"
        by_verdict = Counter(reason["verdict"] for reason in report["reasons"] for _ in range(reason["count"]))
        if any(by_verdict[name] != ends[name] for name in ("skipped", "failed", "missing", "differing")):
            yield f"counts: {run.name}: the reasons count {dict(by_verdict)}, the report {ends}"
        if run.judged[-1]["is_green"] != (not record.failures):
            yield f"counts: {run.name}: green is {run.judged[-1]['is_green']} with {len(record.failures)} failures"

    def _arrived(self, run: Run, key: str, line: Mapping[str, Any]) -> Iterator[str]:
        """What is called matched or unchanged was there, bytes and metadata, while the last pass looked."""
        if line.get("skipped") not in (None, "unchanged"):
            if self._history.writes.get(self._scenario.name_of(key)) is None:
                yield f"lost: {run.name} skips {key!r} as {line['skipped']}, and nothing was ever there"
            return
        if is_damaged_alike(self._history, key, self._history.versions.get(key, ())):
            return
        name, last = self._scenario.name_of(key), run.judged[-1]
        look = next(item for item in reversed(run.judged) if item["report"] == last["report"])
        begin = run.listed_at[0] if "skipped" in line else look["began"]
        listed = [version for version in self._history.versions[key] if version.etag == line["etag"]]
        there = [
            write
            for write in self._history.writes.get(name, ())
            if write.since <= last["ended"] and write.until >= begin
        ]
        same = [write for write in there if any(write.md5 == version.md5 for version in listed)]
        said = "unchanged" if "skipped" in line else "matched"
        if not same:
            what = f"{[(write.author, write.md5) for write in there]} and not {[version.md5 for version in listed]}"
            yield f"lost: {run.name} calls {name!r} {said}, and what was there is {what}"
        elif not any(write.author != "engine" or any(is_copy(write, item) for item in listed) for write in same):
            yield f"wrong: {run.name} calls {name!r} {said}, and its metadata is that of no version listed"
        elif said == "matched" and _writes_always(run) and not any(write.since > run.listed_at[0] for write in same):
            yield f"lost: {run.name} calls {name!r} copied with overwrite=always, and did not write it"

    def _explained(self, run: Run, key: str, row: Mapping[str, str]) -> Iterator[str]:
        """Each failure has a cause that this process knows to have made."""
        history, name = self._history, self._scenario.name_of(key)
        at_edge = history.struck("edge", key=quote(key, safe="/~"))
        at_gcs, at_s3 = history.struck("gcs"), history.struck("s3")
        first = self._first_opened
        changed = history.changed_since(key, first)
        foreign = any(item.author == "foreign" or item.deleted_by == "foreign" for item in history.writes.get(name, ()))
        deaths = sum(blow.task in ("transfer", "retry") and blow.run == run.name for blow in history.blows)
        unfinished = any(task in ("transfer", "retry") and state != "success" for task, _, state, _ in run.ends)
        several = len(self._played.runs) > 1
        why = {
            "SourceChanged": changed or at_edge["status 200"],
            "SourceNotFound": changed or at_edge["status 404"],
            "SourceForbidden": changed or at_edge["status 403"],
            "SourceUnproven": at_edge["rewrite"],
            "SourceUnavailable": at_edge or at_s3,
            "EdgeBlocked": at_edge["status 403"],
            "CorruptTransfer": at_edge["corrupt"] or at_edge["rewrite"] or at_gcs,
            "Throttled": at_edge["status 429"] or at_edge["status 503"] or at_gcs,
            "SinkUnavailable": at_gcs,
            "DestinationRefused": at_gcs["status 412"],
            "DestinationConflict": foreign or (several and changed),
            "PoisonMessage": deaths >= 2,
            "missing": unfinished or foreign,
            "differing": unfinished or foreign,
        }
        if run.params["mode"] == "verify" and row["reason"] in ("missing", "differing"):
            return  # it was to find out
        if not why.get(row["reason"]):
            yield f"unexplained: {run.name}: {key!r}: {row}"
        elif not row["message"] and row["reason"] not in ("missing",) and not deaths:
            yield f"unexplained: {run.name}: {key!r} has no message: {row}"

    def ends(self, run: Run) -> Iterator[str]:
        """A task that failed for good names what was done to it."""
        strikes = Counter(item.what for item in self._history.strikes)
        refused = strikes["status 401"] + strikes["status 403"] + strikes["status 412"]
        for task, index, state, said in run.ends:
            if state == "fail" and not refused and not self._world.ended_manually.is_set():
                yield f"engine: {run.name}: {task} {index} failed for good: {said}"


def _writes_always(run: Run) -> bool:
    return (run.params["overwrite"], run.params["mode"], run.params["earlier"]) == ("always", "transfer", "")
