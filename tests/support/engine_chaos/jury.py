"""The independent judge of a seed. It asks the services themselves, and reads a run's records as a user would.

Nothing of the engine's code is used here: what the engine claims is compared with what this process did and saw.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree

from google.cloud import pubsub_v1

from engine_chaos.claims import Claims
from engine_chaos.copies import is_copy, is_damaged_alike
from engine_chaos.history import STATE, Version, Write
from engine_chaos.schedule import Run
from engine_chaos.source_owner import SOURCE
from engine_chaos.story import PlayedSeed
from engine_chaos.world import DESTINATION, PROJECT


def judge(played: PlayedSeed) -> tuple[list[str], int]:
    """Everything that is wrong after a seed; and how many objects the engine wrote."""
    court = _Court(played)
    found = list(court.complaints())
    engine = sum(write.author == "engine" for write in played.world.history.user_writes())
    return found, engine


class _Court:
    def __init__(self, played: PlayedSeed) -> None:
        self._played = played
        self._world = played.world
        self._history = played.world.history
        self._scenario = played.scenario
        self._runs = [*played.runs, *([played.afterwards] if played.afterwards else [])]

    def complaints(self) -> Iterator[str]:
        """All of them, each beginning with its kind."""
        claims = Claims(self._played, first_opened=self._runs[0].opened if self._runs else 0.0)
        yield from self._nothing_wrong()
        yield from self._nothing_deleted_that_should_stay()
        yield from self._overwriting()
        for run in self._runs:
            yield from (f"engine: {run.name}: {fault}" for fault in run.faults)
            yield from claims.ends(run)
            if run.judged:
                yield from claims.complaints(run)
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
            if is_damaged_alike(self._history, key, versions):
                continue
            if not any(is_copy(write, version) for version in versions):
                alike = any(write.md5 == version.md5 for version in versions)
                what = "the bytes of a version, and metadata of none" if alike else "the bytes of no version"
                yield f"wrong: {write.name} generation {write.generation} has {what} of {key!r}: {write.attributes}"

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
        began = self._played.began_afterwards
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

    # In the end

    def _ends_well(self) -> Iterator[str]:
        """After a quiet run, the destination is as the source is."""
        run = self._played.afterwards
        if run is None or not run.judged or not run.judged[-1]["is_green"]:
            yield f"lost: the quiet run afterwards is not green: {run and run.ends} {run and run.judged[-1:]}"
            return
        stored = self._world.stored()
        for version in self._current():
            name = self._scenario.name_of(version.key)
            blob = stored.get(name)
            if blob is None:
                yield f"lost: {name} is not there after all runs"
            elif is_damaged_alike(self._history, version.key, [version]):
                continue
            elif (
                hashlib.md5(blob.download_as_bytes(raw_download=True), usedforsecurity=False).hexdigest() != version.md5
            ):
                yield f"wrong: {name} is not what the source has, after all runs"
            elif (
                (live := self._history.live(name)) is not None
                and live.author == "engine"
                and not is_copy(live, version)
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
