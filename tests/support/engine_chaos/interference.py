"""Draws who interferes in one seed, and when: the source's owner, a foreign writer, and signals to processes."""

from __future__ import annotations

from engine_chaos.chance import Chance
from engine_chaos.scenario import Deed, Item, Story, Trigger, Way


def draw_triggers(
    chance: Chance, items: tuple[Item, ...], source_prefix: str, destination_prefix: str, story: Story
) -> tuple[Trigger, ...]:
    drawn, found = chance.random, []
    for _ in range(drawn.choice([0, 2, 5])):
        found.append(_interference(chance, drawn.choice(items), source_prefix, destination_prefix))
    for _ in range(drawn.choice([0, 1, 3, 5])):
        found.append(_blow(chance))
    if story is Story.ENDED:
        found.append(_when("edge", "^GET ", drawn.randint(5, 40), "transfer", Deed(what="end", on="run")))
    return tuple(found)


def _interference(chance: Chance, item: Item, source_prefix: str, destination_prefix: str) -> Trigger:
    drawn = chance.random
    what = chance.one(
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


def _blow(chance: Chance) -> Trigger:
    """A process is killed, stopped or asked to end, at a request that it may itself have sent."""
    drawn = chance.random
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
    way = Way(chance.one({"kill": 6, "term": 2, "stop": 2, "zombie": 1}))
    if way in (Way.STOP, Way.ZOMBIE) and task not in ("transfer", "retry"):
        way = Way.KILL
    deed = Deed(what=way, on=task, index=drawn.randrange(8), seconds=round(drawn.uniform(2.5, 3.5), 2))
    return _when(server, match, drawn.randint(1, most), task, deed)


def _when(server: str, match: str, count: int, task: str, deed: Deed) -> Trigger:
    return Trigger(server=server, match=match, count=count, task=task, deed=deed)
