"""What one seed is about, drawn before anything runs: objects, what is at the destination, who interferes, what fails.

Everything is drawn from the seed alone. When something happens is drawn as a count of requests at a server, never as a
time, so that a seed does much the same thing however busy the machine is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from engine_chaos.scale import LARGE_BYTES, MIDDLE_BYTES, PART_BYTES, WHOLE_BYTES

AWAITED: frozenset[str] = frozenset()
"""What the engine is known to get wrong still, by the names in the draws below: drawn with `--all` only."""


class Story(StrEnum):
    """What kind of run the storm comes over."""

    TRANSFER = "transfer"
    TWO_RUNS = "two runs"
    """Two transfers at once to the same destination."""
    PLAN = "plan"
    """A plan, and then a transfer of what it planned."""
    VERIFY = "verify"
    """A comparison, and then a transfer of what it found missing or different."""
    ENDED = "ended by hand"
    """Closed while its workers are at work, as when a person marks the run as failed."""


class There(StrEnum):
    """What is at the destination under a listed object's name before anything runs."""

    NOTHING = "nothing"
    EQUAL = "equal"
    """The same bytes and metadata, written by somebody else: without our labels."""
    STALE = "stale"
    """An earlier version's bytes of another size."""
    SAME_SIZE = "same size"
    """Other bytes of the same size."""
    FORGED = "forged label"
    """The same, under the label that says they were copied from the listed ETag."""


class Way(StrEnum):
    """How a process is interfered with."""

    KILL = "kill"
    TERM = "term"
    STOP = "stop"
    """Stopped for longer than a lease, while its task waits."""
    ZOMBIE = "zombie"
    """Stopped for so long that its task is tried again; it goes on beside its successor for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One object of the source."""

    key: str
    size_bytes: int
    part_bytes: int
    """0 for a single PUT."""
    arguments: dict[str, object]
    """As boto3's put_object takes them: metadata, content type, storage class, …"""
    there: There


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that happens when a server has got so many requests of a kind: see `Trigger`."""

    what: str
    """`replace`, `remove`, `add`, `retouch` at the source, `foreign write`, `foreign delete`, or a Way."""
    on: str
    """A key, or the task whose process it is."""
    index: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """`deed` is done when `server` gets its `count`th request that matches, while `task` runs."""

    server: str
    match: str
    count: int
    task: str
    deed: Deed


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One seed's."""

    seed: int
    story: Story
    overwrite: str
    delete: str
    source_prefix: str
    destination_prefix: str
    items: tuple[Item, ...]
    neighbours: tuple[str, ...]
    """Keys outside the source prefix."""
    extraneous: tuple[str, ...]
    """Names under the destination prefix that the source does not have."""
    strangers: tuple[str, ...]
    """Names outside the destination prefix."""
    faults: dict[str, tuple[dict[str, object], ...]]
    """By server."""
    duplicates: float
    reorder: bool
    triggers: tuple[Trigger, ...]
    workers: int
    threads: int
    recovery: str
    """What the person does about a red run: `replay` or `only_failed`."""

    def name_of(self, key: str) -> str:
        """A key's name at the destination."""
        return self.destination_prefix + key[len(self.source_prefix) :]


ODD = (
    "a b",
    "ü/ñ",
    "per%cent",
    "plus+plus",
    "q?x=1&y",
    "hash#",
    "double//slash",
    "日本",
    "tilde~",
    "quo'te\"",
    "a=b;c",
    "…",
)
TEXTS = ("", "plain", "with spaces", "semi;colon", "0", "x" * 200)
TYPES = ("text/plain", "application/octet-stream", "image/png", "text/html; charset=utf-8", "")
CLASSES = ("STANDARD",) * 8 + ("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "REDUCED_REDUNDANCY", "INTELLIGENT_TIERING")


def draw(seed: int, *, with_all: bool = False, objects: int = 0) -> Scenario:
    """The scenario of a seed; `objects` overrides how many there are."""
    return _Draw(seed, with_all=with_all).scenario(objects)


class _Draw:
    def __init__(self, seed: int, *, with_all: bool) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self._with_all = with_all

    def _may(self, what: str, probability: float) -> bool:
        drawn = self._random.random() < probability  # drawn always, so that the rest of the seed stays as it is
        return drawn and (self._with_all or what not in AWAITED)

    def _one(self, weights: dict[str, float]) -> str:
        while True:
            (found,) = self._random.choices(list(weights), list(weights.values()))
            if self._with_all or found not in AWAITED:
                return found

    def scenario(self, objects: int) -> Scenario:
        story = Story(self._one({"transfer": 5, "two runs": 2, "plan": 1, "verify": 1, "ended by hand": 1}))
        overwrite = self._one({"changed": 6, "never": 2, "overwrite=always": 2}).removeprefix("overwrite=")
        source_prefix = self._random.choice(["", "data/", "data/", "deep/er/"])
        destination_prefix = self._random.choice([source_prefix, "copy/", "copy/of/it/"])
        items = self._items(source_prefix, objects or self._random.randint(60, 140))
        # Deleting wants the whole of a folder.
        delete = self._one({"off": 2, "list": 1, "delete": 3})
        drawn = self._random
        extraneous = tuple(f"{destination_prefix}gone/{index:02d}" for index in range(drawn.randint(0, 4)))
        edge = destination_prefix.rstrip("/")
        strangers = (f"{edge}-b/precious", f"{edge}0", f"{edge}.old/x") if edge else ()
        neighbours = (f"{source_prefix.rstrip('/')}-b/other", "unrelated") if source_prefix else ()
        return Scenario(
            seed=self._seed,
            story=story,
            overwrite=overwrite,
            delete=delete,
            source_prefix=source_prefix,
            destination_prefix=destination_prefix,
            items=items,
            neighbours=neighbours,
            extraneous=extraneous,
            strangers=strangers,
            faults=self._faults(items),
            duplicates=drawn.choice([0.0, 0.1, 0.3]),
            reorder=drawn.random() < 0.5,
            triggers=self._triggers(items, source_prefix, destination_prefix, story),
            workers=drawn.randint(1, 3),
            threads=drawn.randint(2, 6),
            recovery=drawn.choice(["replay", "only_failed"]),
        )

    def _items(self, prefix: str, count: int) -> tuple[Item, ...]:
        drawn = self._random
        keys = {f"{prefix}{index % 7}/{index:04d}" for index in range(count)}
        keys |= {prefix + name for name in drawn.sample(ODD, 5)}
        return tuple(self._item(key) for key in sorted(keys))

    def _item(self, key: str) -> Item:
        drawn = self._random
        size, part_bytes = drawn.randrange(WHOLE_BYTES), 0
        match self._one({"whole": 70, "empty": 4, "streamed": 14, "session": 6, "parts": 6}):
            case "empty":
                size = 0
            case "streamed":
                size = drawn.randrange(WHOLE_BYTES + 1, LARGE_BYTES)
            case "session":
                size = drawn.randrange(LARGE_BYTES, 3 * LARGE_BYTES)
            case "parts":
                part_bytes = drawn.choice([PART_BYTES, MIDDLE_BYTES])
                size = drawn.randrange(LARGE_BYTES, 4 * LARGE_BYTES)
        arguments: dict[str, object] = {"StorageClass": drawn.choice(CLASSES)}
        if drawn.random() < 0.5:
            arguments["Metadata"] = {f"m{index}": drawn.choice(TEXTS[1:]) for index in range(drawn.randint(1, 3))}
        if content_type := drawn.choice(TYPES):
            arguments["ContentType"] = content_type
        if drawn.random() < 0.2:
            arguments["CacheControl"] = "max-age=60"
        if drawn.random() < 0.1:
            arguments["ContentDisposition"] = 'attachment; filename="x.bin"'
        there = There(self._one({"nothing": 66, "equal": 10, "stale": 12, "same size": 8, "forged label": 4}))
        if not size or (part_bytes and there is There.FORGED):
            there = There.NOTHING
        return Item(key=key, size_bytes=size, part_bytes=part_bytes, arguments=arguments, there=there)

    # Faults

    def _faults(self, items: tuple[Item, ...]) -> dict[str, tuple[dict[str, object], ...]]:
        drawn = self._random
        weight = drawn.choice([0.0, 0.04, 0.12])
        faults = {
            "edge": self._stubborn(items) + _shares("^GET ", weight, self._edge_ways()),
            "s3": _shares(r"^GET /[^/?]+/?\?.*list-type", drawn.choice([0.0, 0.2]), _LISTING_WAYS),
            "gcs": _shares("^(POST|PUT) ", drawn.choice([0.0, 0.03, 0.08]), self._gcs_ways())
            + _shares("^(GET|DELETE) ", drawn.choice([0.0, 0.03]), _ANSWER_WAYS),
            "pubsub": _shares(
                "^(Publish|Pull|Acknowledge|ModifyAckDeadline) ", drawn.choice([0.0, 0.05]), _PUBSUB_WAYS
            ),
        }
        return {server: tuple(found) for server, found in faults.items()}

    def _stubborn(self, items: tuple[Item, ...]) -> list[dict[str, object]]:
        """Some objects that fail each time, until the storm is over."""
        ways: dict[str, dict[str, object]] = {
            "forbidden": {"action": "status", "status": 403, "body": _S3_DENIED, "headers": _FROM_S3},
            "stale": {
                "action": "status",
                "status": 200,
                "headers": {"ETag": '"stale"', "X-Cache": "Hit from cloudfront"},
            },
            "broken": {"action": "status", "status": 500},
            "corrupt": {"action": "corrupt", "at_byte": 0},
            "edge without ETag": {"action": "rewrite", "headers": {"ETag": ""}},
        }
        found = []
        for item in self._random.sample(items, self._random.choice([0, 2, 5])):
            way = ways[self._one(dict.fromkeys(ways, 1))]
            # What damages the same byte each time of an object in parts cannot be told from other sizes of its parts.
            if item.size_bytes and not (item.part_bytes and way["action"] == "corrupt"):
                found.append({"match": f"^GET /{_escaped(item.key)}$", **way})
        return found

    def _edge_ways(self) -> list[dict[str, object]]:
        ways: list[dict[str, object]] = [
            *({"action": "status", "status": status} for status in (500, 502, 503, 504)),
            {"action": "status", "status": 429, "headers": {"Retry-After": "0"}},
            {"action": "reset"},
            {"action": "reset", "at_byte": 700},
            {"action": "truncate", "at_byte": 300},
            {"action": "corrupt", "at_byte": 1},
            {"action": "stall", "at_byte": 10, "seconds": 0.5},
            {"action": "lose_answer"},
        ]
        return ways

    def _gcs_ways(self) -> list[dict[str, object]]:
        ways: list[dict[str, object]] = [
            *({"action": "status", "status": status} for status in (408, 429, 500, 502, 503)),
            {"action": "reset"},
            {"action": "lose_answer"},
            {"action": "lose_answer"},
        ]
        if self._may("burst of 401", 0.1):
            ways.append({"action": "status", "status": 401, "times": 5})
        if self._may("412 of another kind", 0.1):
            ways.append({"action": "status", "status": 412, "body": _ORG_POLICY})
        return ways

    # Who interferes

    def _triggers(
        self, items: tuple[Item, ...], source_prefix: str, destination_prefix: str, story: Story
    ) -> tuple[Trigger, ...]:
        drawn, found = self._random, []
        for _ in range(drawn.choice([0, 2, 5])):
            found.append(self._interference(drawn.choice(items), source_prefix, destination_prefix))
        for _ in range(drawn.choice([0, 1, 3, 5])):
            found.append(self._blow())
        if story is Story.ENDED:
            found.append(_when("edge", "^GET ", drawn.randint(5, 40), "transfer", Deed(what="end", on="run")))
        return tuple(found)

    def _interference(self, item: Item, source_prefix: str, destination_prefix: str) -> Trigger:
        drawn = self._random
        what = self._one(
            {"replace": 4, "remove": 3, "add": 2, "metadata changed": 1, "foreign write": 2, "foreign delete": 1}
        )
        on = item.key
        if what == "add":
            on = f"{source_prefix}{drawn.randrange(7)}/added-{drawn.randrange(1000)}"
        elif what.startswith("foreign"):
            on = destination_prefix + item.key[len(source_prefix) :]
        place = drawn.choice(
            [
                ("s3", "list-type", 3, "list"),
                ("edge", "^GET ", 60, "transfer"),
                ("edge", "^GET ", 60, "transfer"),
                ("gcs", "^(POST|PUT) ", 60, "transfer"),
                ("gcs", r"^GET /storage/v1/b/[^/]+/o\?", 2, "reconcile"),
            ]
        )
        server, match, most, task = place
        return _when(server, match, drawn.randint(1, most), task, Deed(what=what, on=on, index=drawn.randrange(10**6)))

    def _blow(self) -> Trigger:
        """A process is killed, stopped or told to end, at a request that it may itself have sent."""
        drawn = self._random
        server, match, most, task = drawn.choice(
            [
                ("s3", "list-type", 8, "list"),
                ("pubsub", "^Publish ", 3, "list"),
                ("gcs", "manifest", 4, "list"),
                *[("edge", "^GET ", 70, "transfer")] * 4,
                *[("gcs", "^(POST|PUT) /upload", 60, "transfer")] * 3,
                ("gcs", "uploadId|partNumber", 6, "transfer"),
                ("gcs", "ledger|begun", 6, "transfer"),
                ("pubsub", "^(Pull|Acknowledge) ", 10, "transfer"),
                ("edge", "^GET ", 8, "retry"),
                ("gcs", "^(GET|POST|PUT)", 12, "reconcile"),
                ("gcs", "^(GET|POST|PUT)", 12, "verify"),
                ("gcs", "^DELETE", 3, "delete_extraneous"),
                ("gcs", "^(GET|POST|PUT)", 8, "delete_extraneous"),
                ("pubsub", "^DeleteSubscription", 2, "close_run"),
            ]
        )
        way = Way(self._one({"kill": 6, "term": 2, "stop": 2, "zombie": 1}))
        if way in (Way.STOP, Way.ZOMBIE) and task not in ("transfer", "retry"):
            way = Way.KILL
        deed = Deed(what=way, on=task, index=drawn.randrange(8), seconds=round(drawn.uniform(2.5, 3.5), 2))
        return _when(server, match, drawn.randint(1, most), task, deed)


def _when(server: str, match: str, count: int, task: str, deed: Deed) -> Trigger:
    return Trigger(server=server, match=match, count=count, task=task, deed=deed)


def _shares(match: str, probability: float, ways: list[dict[str, object]]) -> list[dict[str, object]]:
    """So many of the requests fail, in all of these ways alike."""
    # The first that strikes wins, so each of the later ones is drawn for what the earlier ones left.
    share = probability / len(ways)
    found = [{"match": match, "probability": share / (1 - index * share), **way} for index, way in enumerate(ways)]
    return found if probability else []


def _escaped(key: str) -> str:
    """A key as a regular expression over raw request targets."""
    return "".join(char if char.isalnum() or char in "/-_~%" else f"\\{char}" for char in quote(key, safe="/~"))


_S3_DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_FROM_S3 = {"Content-Type": "application/xml", "x-amz-request-id": "CHAOS", "Server": "AmazonS3"}
_ORG_POLICY = '{"error":{"code":412,"message":"no","errors":[{"reason":"orgPolicyConstraintFailed","message":"no"}]}}'
_LISTING_WAYS: list[dict[str, object]] = [
    {"action": "status", "status": 500},
    {"action": "status", "status": 503, "body": "<Error><Code>SlowDown</Code><Message>slow</Message></Error>"},
    {"action": "reset"},
    {"action": "truncate", "at_byte": 400},
    {"action": "lose_answer"},
]
_ANSWER_WAYS: list[dict[str, object]] = [
    {"action": "status", "status": 503},
    {"action": "status", "status": 429},
    {"action": "reset"},
    {"action": "truncate", "at_byte": 20},
    {"action": "lose_answer"},
]
_PUBSUB_WAYS: list[dict[str, object]] = [
    {"action": "status", "status": 503},
    {"action": "lose_answer"},
    {"action": "delay", "seconds": 0.2},
]
