"""The stand-ins of one seed, and what happens to them: planted objects, a changing source, a foreign writer, faults."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from engine_chaos.history import STATE, History, Strike, Write, md5_of
from engine_chaos.processes import Processes
from engine_chaos.scale import CLOCK_SPEED, PART_BYTES
from engine_chaos.scenario import Deed, Item, Scenario, There, Trigger, Way
from engine_chaos.source_owner import SOURCE, SourceOwner, plain
from localcloud.edge import EdgeServer
from localcloud.faults import Fault, FaultPlan
from localcloud.gcs import GcsServer
from localcloud.http1 import HttpServer
from localcloud.pubsub import PubSubServer
from localcloud.pubsub.broker import Chaos
from localcloud.s3 import S3Server

DESTINATION, PROJECT = "destination-bucket", "test-project"
_CHANGING = re.compile(r"\d{13,}|(?<=upload_id=)[^&]+|(?<=uploadId=)[^&]+", re.IGNORECASE)
"""The parts of a request that differ each time a seed runs: generations and the ids of uploads."""


class _Plan(FaultPlan):
    """Notes each request in the world before it is answered, and each fault in the history."""

    def __init__(self, server: str, world: World) -> None:
        super().__init__()
        self._server = server
        self._world = world

    def decide(self, request: str) -> Fault | None:
        self._world.saw(self._server, request)
        fault = super().decide(_CHANGING.sub("#", request))
        if fault is not None:
            what = f"{fault.action} {fault.status}" if fault.action == "status" else fault.action
            self._world.history.strikes.append(
                Strike(at=time.monotonic(), server=self._server, what=what, request=request)
            )
        return fault


class World:
    """The servers of one seed, and their history. `close` ends them."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.history = History()
        self.ended_manually = threading.Event()
        self.processes = Processes(self.history)
        self._triggers: list[Trigger] = []
        self._counts: list[int] = []
        self._lock = threading.RLock()
        self._deeds = threading.RLock()
        begin = time.time()
        self.s3 = S3Server(buckets=[SOURCE], faults=_Plan("s3", self))
        self.gcs = GcsServer(folder / "gcs", buckets=[DESTINATION], faults=_Plan("gcs", self))
        self.pubsub = PubSubServer(
            None, faults=_Plan("pubsub", self), clock=lambda: begin + (time.time() - begin) * CLOCK_SPEED
        )
        self.edge = EdgeServer(
            self.s3.url,
            SOURCE,
            access_key_id=self.s3.access_key_id,
            secret_access_key=self.s3.secret_access_key,
            restrict=False,
            error_ttl_s=0.05,
            faults=_Plan("edge", self),
        )
        # The same services without faults, for the source's owner, the foreign writer, and the judge.
        self._back_doors = [HttpServer(self.s3._answer, name="s3-back"), HttpServer(self.gcs._handle, name="gcs-back")]
        self._servers: list[Any] = [self.s3, self.gcs, self.pubsub, self.edge, *self._back_doors]
        self._watch_writes()
        for server in self._servers:
            server.start()
        self.client = boto3.client(
            "s3",
            endpoint_url=self._back_doors[0].url,
            aws_access_key_id=self.s3.access_key_id,
            aws_secret_access_key=self.s3.secret_access_key,
            region_name=self.s3.region,
        )
        self.owner = SourceOwner(self.client, self.history)
        self.gcs_url = self._back_doors[1].url
        self.storage = storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.gcs_url}
        )
        self.bucket = self.storage.bucket(DESTINATION)

    def close(self) -> None:
        for server in reversed(self._servers):
            server.stop()

    def spec(self) -> dict[str, Any]:
        """What a process has to know of the servers."""
        names = ("url", "access_key_id", "secret_access_key", "region")
        return {
            "s3": {name: getattr(self.s3, name) for name in names},
            "edge": self.edge.url,
            "gcs": self.gcs.url,
            "pubsub": self.pubsub.url,
        }

    def plans(self) -> dict[str, FaultPlan]:
        return {"s3": self.s3.faults, "edge": self.edge.faults, "gcs": self.gcs.faults, "pubsub": self.pubsub.faults}

    # Before the storm

    def plant(self) -> None:
        """The source as it is at first, and what is at the destination already."""
        scenario = self.scenario
        for item in scenario.items:
            draw = random.Random(f"{scenario.seed}/{item.key}")
            body = draw.randbytes(item.size_bytes)
            self._plant_there(item, body, draw)
            self.owner.put(item, body)
        for key in scenario.neighbours:
            self.owner.put(plain(key), b"a neighbour")
        for name in (*scenario.extraneous, *scenario.strangers):
            self.bucket.blob(name).upload_from_string(f"there before: {name}".encode())
        self.history.author = "engine"

    def _plant_there(self, item: Item, body: bytes, draw: random.Random) -> None:
        blob = self.bucket.blob(self.scenario.name_of(item.key))
        match item.there:
            case There.NOTHING:
                return
            case There.STALE:
                body = draw.randbytes(item.size_bytes + 3)
                blob.metadata = {"x-goog-source-etag": md5_of(body)}
            case There.SAME_SIZE:
                body = draw.randbytes(item.size_bytes)
            case There.FORGED:
                blob.metadata = {"x-goog-source-etag": md5_of(body)}
                body = draw.randbytes(item.size_bytes)
        if item.there is There.EQUAL:
            arguments = item.arguments
            blob.metadata = arguments.get("Metadata")
            blob.cache_control = arguments.get("CacheControl")
            blob.content_disposition = arguments.get("ContentDisposition")
        blob.upload_from_string(body, content_type=str(item.arguments.get("ContentType", "binary/octet-stream")))

    def storm(self) -> None:
        """From now on everything fails that is drawn to."""
        scenario = self.scenario
        for server, plan in self.plans().items():
            plan.replace([Fault(**fault) for fault in scenario.faults[server]], seed=scenario.seed)  # type: ignore[arg-type]
        self.pubsub._broker.set_chaos(
            Chaos(duplicate_probability=scenario.duplicates, reorder=scenario.reorder, seed=scenario.seed)
        )
        with self._lock:
            self._triggers = list(scenario.triggers)
            self._counts = [0] * len(self._triggers)

    def calm(self) -> None:
        """Nothing fails any more, and nobody interferes."""
        with self._lock:
            self._triggers = []
        for plan in self.plans().values():
            plan.replace([])
        self.pubsub._broker.set_chaos(Chaos())

    # While it is on

    def saw(self, server: str, request: str) -> None:
        """A request has come; what is due at it is done before it is answered."""
        due = []
        with self._lock:
            for index, trigger in enumerate(self._triggers):
                if (
                    trigger.server == server
                    and self.processes.is_running(trigger.task)
                    and re.search(trigger.match, request)
                ):
                    self._counts[index] += 1
                    if self._counts[index] == trigger.count:
                        due.append(trigger.deed)
        for deed in due:
            self._do(deed)

    def _do(self, deed: Deed) -> None:
        with self._deeds:
            if deed.what in set(Way):
                self.processes.blow(deed)
                return
            self.history.deeds.append(f"{deed.what} {deed.on}")
            draw = random.Random(f"{self.scenario.seed}/{deed.index}")
            match deed.what:
                case "replace" | "add":
                    self.owner.put(plain(deed.on), b"new " + draw.randbytes(draw.randrange(1, 3 * PART_BYTES)))
                case "remove":
                    self.owner.remove(deed.on)
                case "metadata changed":
                    self.owner.retouch(deed.on)
                case "foreign write":
                    blob = self.bucket.blob(deed.on)
                    blob.metadata = {"written-by": "foreign"}
                    blob.upload_from_string(b"foreign " + draw.randbytes(draw.randrange(1, 3000)))
                case "foreign delete":
                    if (blob := self.bucket.get_blob(deed.on)) is not None:
                        self.history.foreign_deletes.add(deed.on)
                        with contextlib.suppress(NotFound):  # replaced at this moment
                            blob.delete()
                        self.history.foreign_deletes.discard(deed.on)
                case "end":
                    self.ended_manually.set()

    def _watch_writes(self) -> None:
        """Puts every generation that the destination ever has into the history."""
        store, history = self.gcs._store, self.history
        put, delete = store.put, store.delete

        def watched_put(bucket: str, name: str, content: Any, attributes: Any, *conditions: Any, **more: Any) -> Any:
            md5 = store.blobs.md5(content.segments, content.size_bytes).hex()
            with store.db.transaction():
                record = put(bucket, name, content, attributes, *conditions, **more)
                is_foreign = (attributes.get("metadata") or {}).get("written-by") == "foreign"
                history.wrote(
                    Write(
                        name=name,
                        generation=record.generation,
                        md5=md5,
                        size_bytes=content.size_bytes,
                        attributes=attributes,
                        author="foreign" if is_foreign else history.author,
                        since=time.monotonic(),
                    )
                )
            return record

        def watched_delete(bucket: str, name: str, *rest: Any, **more: Any) -> None:
            with store.db.transaction():
                delete(bucket, name, *rest, **more)
                history.deleted(name)

        vars(store).update(put=watched_put, delete=watched_delete)

    # For the judge

    def stored(self) -> dict[str, Any]:
        """What is at the destination, without the runs' own records, by name."""
        blobs: Iterable[Any] = self.storage.list_blobs(DESTINATION)
        return {blob.name: blob for blob in blobs if not blob.name.startswith(STATE)}
