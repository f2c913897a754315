"""Draws the faults of one seed: shares of requests that fail, and objects that fail each time."""

from __future__ import annotations

from urllib.parse import quote

from engine_chaos.chance import Chance
from engine_chaos.scenario import Item


def draw_faults(chance: Chance, items: tuple[Item, ...]) -> dict[str, tuple[dict[str, object], ...]]:
    drawn = chance.random
    weight = drawn.choice([0.0, 0.04, 0.12])
    faults = {
        "edge": _stubborn(chance, items) + _shares("^GET ", weight, _edge_ways()),
        "s3": _shares(r"^GET /[^/?]+/?\?.*list-type", drawn.choice([0.0, 0.2]), _LISTING_WAYS),
        "gcs": _shares("^(POST|PUT) ", drawn.choice([0.0, 0.03, 0.08]), _gcs_ways(chance))
        + _shares("^(GET|DELETE) ", drawn.choice([0.0, 0.03]), _ANSWER_WAYS),
        "pubsub": _shares("^(Publish|Pull|Acknowledge|ModifyAckDeadline) ", drawn.choice([0.0, 0.05]), _PUBSUB_WAYS),
    }
    return {server: tuple(found) for server, found in faults.items()}


def _stubborn(chance: Chance, items: tuple[Item, ...]) -> list[dict[str, object]]:
    """Faults of some objects that fail each time, until the storm is over."""
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
    for item in chance.random.sample(items, chance.random.choice([0, 2, 5])):
        way = ways[chance.one(dict.fromkeys(ways, 1))]
        # Damage to the same byte of an object in parts, each time, looks exactly like other part sizes.
        if item.size_bytes and not (item.part_bytes and way["action"] == "corrupt"):
            found.append({"match": f"^GET /{_escaped(item.key)}$", **way})
    return found


def _edge_ways() -> list[dict[str, object]]:
    ways: list[dict[str, object]] = [
        *(dict[str, object](action="status", status=status) for status in (500, 502, 503, 504)),
        {"action": "status", "status": 429, "headers": {"Retry-After": "0"}},
        {"action": "reset"},
        {"action": "reset", "at_byte": 700},
        {"action": "truncate", "at_byte": 300},
        {"action": "corrupt", "at_byte": 1},
        {"action": "stall", "at_byte": 10, "seconds": 0.5},
        {"action": "lose_answer"},
    ]
    return ways


def _gcs_ways(chance: Chance) -> list[dict[str, object]]:
    ways: list[dict[str, object]] = [
        *(dict[str, object](action="status", status=status) for status in (408, 429, 500, 502, 503)),
        {"action": "reset"},
        {"action": "lose_answer"},
        {"action": "lose_answer"},
    ]
    if chance.may("burst of 401", 0.1):
        ways.append({"action": "status", "status": 401, "times": 5})
    if chance.may("412 of another kind", 0.1):
        ways.append({"action": "status", "status": 412, "body": _ORG_POLICY})
    return ways


def _shares(match: str, probability: float, ways: list[dict[str, object]]) -> list[dict[str, object]]:
    """Faults that let this share of the requests fail, in each of these ways equally often."""
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
