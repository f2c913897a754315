"""The independent judge of a seed. It asks the services themselves, and reads a run's records as a user would.

Nothing of the engine's code is used here: what the engine claims is compared with what this process did and saw.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen
from xml.etree import ElementTree

from google.cloud import pubsub_v1

from engine_chaos.history import STATE, Version, Write
from engine_chaos.schedule import Run
from engine_chaos.story import Told
from engine_chaos.world import DESTINATION, PROJECT, SOURCE

CLASSES = {"STANDARD_IA": "NEARLINE", "ONEZONE_IA": "NEARLINE", "GLACIER_IR": "COLDLINE"}
FIELDS = {"ContentType": "contentType", "CacheControl": "cacheControl", "ContentDisposition": "contentDisposition"}
SLOW_PUT_S = 10
OWN_LABELS = ("goog-", "x-goog-", "edgehaul", "s3-storage-class")


def judge(told: Told) -> tuple[list[str], int]:
    """What ought to hold and does not; and how many objects the engine wrote."""
    court = _Court(told)
    found = list(court.complaints())
    engine = sum(write.author == "engine" for write in told.world.history.user_writes())
    return found, engine


@dataclass
class _Record:
    """One run's records, as they are stored."""

    report: dict[str, Any]
    manifest: dict[str, dict[str, Any]]
    failures: dict[str, dict[str, str]]


class _Court:
    def __init__(self, told: Told) -> None:
        self._told = told
        self._world = told.world
        self._history = told.world.history
        self._scenario = told.scenario
        self._runs = [*told.runs, *([told.afterwards] if told.afterwards else [])]

    def complaints(self) -> Iterator[str]:
        """All of them, each beginning with its kind."""
        yield from self._nothing_wrong()
        yield from self._nothing_deleted_that_should_stay()
        yield from self._overwriting()
        for run in self._runs:
            yield from (f"engine: {run.name}: {fault}" for fault in run.faults)
            yield from self._ends(run)
            if run.judged:
                yield from self._verdict(run)
        yield from self._ends_well()
        yield from self._nothing_left()

    # At the destination

    def _nothing_wrong(self) -> Iterator[str]:
        """Every generation that the engine ever wrote is one version of its key, bytes and metadata, and nothing else."""
        for write in self._history.user_writes():
            if write.author != "engine":
                continue
            key = self._key_of(write.name)
            versions = self._history.versions.get(key, []) if key is not None else []
            if self._cannot_be_told(key, versions):
                continue
            if not any(_is_copy(write, version) for version in versions):
                alike = any(write.md5 == version.md5 for version in versions)
                what = "the bytes of a version, and metadata of none" if alike else "the bytes of no version"
                yield f"wrong: {write.name} generation {write.generation} has {what} of {key!r}: {write.attributes}"

    def _cannot_be_told(self, key: str | None, versions: Iterable[Version]) -> bool:
        """Whether an object in parts came damaged in the same place at least twice.

        Its ETag says nothing where the sizes of its parts are guessed. The engine reads such an object again, and believes
        what it reads twice alike; a fault plan damages the same byte each time, which no network does.
        """
        in_parts = any("-" in version.etag for version in versions)
        damaged = self._history.struck("edge", key=quote(key or "", safe="/~"))["corrupt"]
        return in_parts and damaged >= 2

    def _nothing_deleted_that_should_stay(self) -> Iterator[str]:
        for write in self._history.user_writes():
            if write.deleted_by != "engine":
                continue
            key = self._key_of(write.name)
            sweeps = [
                run
                for run in self._runs
                if run.params["delete"] == "delete" and run.params["mode"] == "transfer" and run.opened < write.until
            ]
            if write.author == "engine" and any(write.since > run.opened for run in self._runs):
                continue  # its own, taken back: what has to be there is looked for elsewhere
            if key is None:
                yield f"deleted: {write.name}, which is not under the destination prefix"
            elif not sweeps:
                yield f"deleted: {write.name}, and no run was to delete anything"
            elif self._had(key, write.until):
                yield f"deleted: {write.name}, which the source still had"
            elif all(write.since > run.opened for run in sweeps):
                yield f"deleted: {write.name} by {write.author}, which is newer than the run"

    def _overwriting(self) -> Iterator[str]:
        """Never overwrites with `never`; and what a foreign writer wrote after the listing stays, until a person asks."""
        began = self._told.began_afterwards
        for write in self._history.user_writes():
            before = write.replaced
            if write.author != "engine" or before is None or before.author == "engine":
                continue
            if self._scenario.overwrite == "never" and write.since < began:
                yield f"overwritten: {write.name} of {before.author} though overwrite is never"
            elif before.author == "foreign" and not any(self._could_know(run, before, write) for run in self._runs):
                yield f"overwritten: {write.name}, which a foreign writer wrote after every run had listed it"

    @staticmethod
    def _could_know(run: Run, before: Write, write: Write) -> bool:
        """Whether a run that was open had seen it in a listing of the destination, or replays on a person's word."""
        seen = [run.listed_at[1], *(item["ended"] for item in run.judged if item["pass"] == "replay")]
        return run.listed_at[0] < write.since and any(before.since < at for at in seen)

    def _had(self, key: str, at: float) -> bool:
        return any(version.since <= at <= version.until for version in self._history.versions.get(key, ()))

    def _key_of(self, name: str) -> str | None:
        prefix = self._scenario.destination_prefix
        return self._scenario.source_prefix + name[len(prefix) :] if name.startswith(prefix) else None

    # What a run claims

    def _verdict(self, run: Run) -> Iterator[str]:
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
        told = Counter(reason["verdict"] for reason in report["reasons"] for _ in range(reason["count"]))
        if any(told[name] != ends[name] for name in ("skipped", "failed", "missing", "differing")):
            yield f"counts: {run.name}: the reasons count {dict(told)}, the report {ends}"
        if run.judged[-1]["is_green"] != (not record.failures):
            yield f"counts: {run.name}: green is {run.judged[-1]['is_green']} with {len(record.failures)} failures"

    def _arrived(self, run: Run, key: str, line: Mapping[str, Any]) -> Iterator[str]:
        """What is called matched or unchanged was there, bytes and metadata, while the last pass looked."""
        if line.get("skipped") not in (None, "unchanged"):
            if self._history.writes.get(self._scenario.name_of(key)) is None:
                yield f"lost: {run.name} skips {key!r} as {line['skipped']}, and nothing was ever there"
            return
        if self._cannot_be_told(key, self._history.versions.get(key, ())):
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
        elif not any(write.author != "engine" or any(_is_copy(write, item) for item in listed) for write in same):
            yield f"wrong: {run.name} calls {name!r} {said}, and its metadata is that of no version listed"
        elif said == "matched" and _writes_always(run) and not any(write.since > run.listed_at[0] for write in same):
            yield f"lost: {run.name} calls {name!r} copied with overwrite=always, and did not write it"

    def _explained(self, run: Run, key: str, row: Mapping[str, str]) -> Iterator[str]:
        """Each failure has a cause that this process knows to have made."""
        history, name = self._history, self._scenario.name_of(key)
        at_edge = history.struck("edge", key=quote(key, safe="/~"))
        at_gcs, at_s3 = history.struck("gcs"), history.struck("s3")
        first = self._runs[0].opened
        changed = history.changed_since(key, first)
        foreign = any(item.author == "foreign" or item.deleted_by == "foreign" for item in history.writes.get(name, ()))
        deaths = sum(blow.task in ("transfer", "retry") and blow.run == run.name for blow in history.blows)
        unfinished = any(task in ("transfer", "retry") and state != "success" for task, _, state, _ in run.ends)
        several = len(self._told.runs) > 1
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

    def _ends(self, run: Run) -> Iterator[str]:
        """A task that failed for good names what was done to it."""
        strikes = Counter(item.what for item in self._history.strikes)
        refused = strikes["status 401"] + strikes["status 403"] + strikes["status 412"]
        for task, index, state, said in run.ends:
            if state == "fail" and not refused and not self._world.ended_by_hand.is_set():
                yield f"engine: {run.name}: {task} {index} failed for good: {said}"

    # In the end

    def _ends_well(self) -> Iterator[str]:
        """After a quiet run, the destination is as the source is."""
        run = self._told.afterwards
        if run is None or not run.judged or not run.judged[-1]["is_green"]:
            yield f"lost: the quiet run afterwards is not green: {run and run.ends} {run and run.judged[-1:]}"
            return
        stored = self._world.stored()
        for version in self._current():
            name = self._scenario.name_of(version.key)
            blob = stored.get(name)
            if blob is None:
                yield f"lost: {name} is not there after all runs"
            elif self._cannot_be_told(version.key, [version]):
                continue
            elif (
                hashlib.md5(blob.download_as_bytes(raw_download=True), usedforsecurity=False).hexdigest() != version.md5
            ):
                yield f"wrong: {name} is not what the source has, after all runs"
            elif (
                (live := self._history.live(name)) is not None
                and live.author == "engine"
                and not _is_copy(live, version)
            ):
                yield f"wrong: {name} has other metadata than the source's, after all runs: {live.attributes}"
        for name in self._scenario.strangers:
            if name not in stored:
                yield f"deleted: {name} is gone, outside the destination prefix"
        if (
            run.swept.get("deleted") is not None
            and run.params["delete"] == "delete"
            and not run.swept.get("why_not_deleted")
        ):
            for name in self._scenario.extraneous:
                if name in stored:
                    yield f"kept: {name} is extraneous, and there after {run.swept}"

    def _current(self) -> Iterator[Version]:
        """What the source has, by its own word."""
        pages = self._world.client.get_paginator("list_objects_v2").paginate(
            Bucket=SOURCE, Prefix=self._scenario.source_prefix
        )
        for page in pages:
            for item in page.get("Contents", ()):
                version = self._history.current(item["Key"])
                assert version is not None, item
                assert version.etag == item["ETag"].strip('"'), item
                yield version

    def _nothing_left(self) -> Iterator[str]:
        """No subscription, no unfinished upload in parts, no record of one, once every run is closed."""
        if not all(run.is_closed for run in self._runs):
            yield f"left behind: a run could not be closed: {[run.ends[-1] for run in self._runs if not run.is_closed]}"
        os.environ["PUBSUB_EMULATOR_HOST"] = self._world.pubsub.url
        with pubsub_v1.SubscriberClient() as client:
            found = [item.name for item in client.list_subscriptions(project=f"projects/{PROJECT}")]
        if found:
            yield f"left behind: the subscriptions {found}"
        with urlopen(f"{self._world.gcs_url}/{DESTINATION}?uploads", timeout=10) as answer:
            uploads = [item.text for item in ElementTree.fromstring(answer.read()).iter() if item.tag.endswith("Key")]
        if uploads:
            yield f"left behind: the uploads in parts of {uploads}"
        records: Iterable[Any] = self._world.bucket.list_blobs(prefix=STATE)
        # Notes of what was about to begin (`.begun`) cost nothing, and a run a quarter of an hour later removes them.
        kept = ("/closed-", ".begun")
        if names := [
            blob.name for blob in records if "/uploads/" in blob.name and not any(part in blob.name for part in kept)
        ]:
            yield f"left behind: the records of uploads {names}"


def _writes_always(run: Run) -> bool:
    return (run.params["overwrite"], run.params["mode"], run.params["earlier"]) == ("always", "transfer", "")


def _is_copy(write: Write, version: Version) -> bool:
    """Whether it has the bytes and the metadata of a version, as the documents say that they are kept."""
    attributes, arguments = write.attributes, version.arguments
    if write.md5 != version.md5:
        return False
    defaults = {"ContentType": "binary/octet-stream"}
    for argument, field in FIELDS.items():
        if attributes.get(field, "") != arguments.get(argument, defaults.get(argument, "")):
            return False
    storage_class = str(arguments.get("StorageClass", "STANDARD"))
    if attributes.get("storageClass", "STANDARD") != CLASSES.get(storage_class, "STANDARD"):
        return False
    metadata = attributes.get("metadata") or {}
    own = {name: text for name, text in metadata.items() if name.startswith(OWN_LABELS)}
    if own.get("x-goog-source-etag") != version.etag:
        return False
    # S3 has set its time when it had the whole, shortly before this process knew.
    if not 0 <= version.written_at - int(own.get("goog-reserved-file-mtime", "0")) < SLOW_PUT_S:
        return False
    return {name: text for name, text in metadata.items() if name not in own} == (arguments.get("Metadata") or {})
