"""Draws the scenario of one seed.

Everything is drawn from the seed alone. When something happens is drawn as a count of requests at a server, never as a
time, so that a seed does much the same thing however busy the machine is.
"""

from __future__ import annotations

from engine_chaos.chance import Chance
from engine_chaos.fault_draws import draw_faults
from engine_chaos.interference import draw_triggers
from engine_chaos.scale import LARGE_BYTES, MIDDLE_BYTES, PART_BYTES, WHOLE_BYTES
from engine_chaos.scenario import Item, Scenario, Story, There

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
    chance = Chance(seed, with_all=with_all)
    story = Story(chance.one({"transfer": 5, "two runs": 2, "plan": 1, "verify": 1, "ended manually": 1}))
    overwrite = chance.one({"changed": 6, "never": 2, "overwrite=always": 2}).removeprefix("overwrite=")
    source_prefix = chance.random.choice(["", "data/", "data/", "deep/er/"])
    destination_prefix = chance.random.choice([source_prefix, "copy/", "copy/of/it/"])
    items = _items(chance, source_prefix, objects or chance.random.randint(60, 140))
    # Deleting wants the whole of a folder.
    delete = chance.one({"off": 2, "list": 1, "delete": 3})
    drawn = chance.random
    extraneous = tuple(f"{destination_prefix}gone/{index:02d}" for index in range(drawn.randint(0, 4)))
    edge = destination_prefix.rstrip("/")
    strangers = (f"{edge}-b/precious", f"{edge}0", f"{edge}.old/x") if edge else ()
    neighbours = (f"{source_prefix.rstrip('/')}-b/other", "unrelated") if source_prefix else ()
    return Scenario(
        seed=seed,
        story=story,
        overwrite=overwrite,
        delete=delete,
        source_prefix=source_prefix,
        destination_prefix=destination_prefix,
        items=items,
        neighbours=neighbours,
        extraneous=extraneous,
        strangers=strangers,
        faults=draw_faults(chance, items),
        duplicates=drawn.choice([0.0, 0.1, 0.3]),
        reorder=drawn.random() < 0.5,
        triggers=draw_triggers(chance, items, source_prefix, destination_prefix, story),
        workers=drawn.randint(1, 3),
        threads=drawn.randint(2, 6),
        recovery=drawn.choice(["replay", "only_failed"]),
    )


def _items(chance: Chance, prefix: str, count: int) -> tuple[Item, ...]:
    drawn = chance.random
    keys = {f"{prefix}{index % 7}/{index:04d}" for index in range(count)}
    keys |= {prefix + name for name in drawn.sample(ODD, 5)}
    return tuple(_item(chance, key) for key in sorted(keys))


def _item(chance: Chance, key: str) -> Item:
    drawn = chance.random
    size, part_bytes = drawn.randrange(WHOLE_BYTES), 0
    match chance.one({"whole": 70, "empty": 4, "streamed": 14, "session": 6, "parts": 6}):
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
    there = There(chance.one({"nothing": 66, "equal": 10, "stale": 12, "same size": 8, "forged label": 4}))
    if not size or (part_bytes and there is There.FORGED):
        there = There.NOTHING
    return Item(key=key, size_bytes=size, part_bytes=part_bytes, arguments=arguments, there=there)
