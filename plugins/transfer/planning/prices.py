"""Reads the clouds' prices from one dated file (`prices.json`), and checks it.

The file names the source of every figure and the day it was read. A user's own price file replaces it as a whole.

It is checked here and not by a JSON schema: a schema would be longer than `_Block`, could not say that tiers ascend, and its
messages would have to be rewritten to say what to change.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from transfer.errors import PricesInvalid, Stage

T = TypeVar("T")

LIST_PRICES = Path(__file__).with_name("prices.json")
STANDARD = "STANDARD"
"""The storage class whose price applies to every class that a price table does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The price of one unit in one tier of a month's usage."""

    up_to: float
    """The number of units at which the tier ends; infinite for the last one."""
    usd_per_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatPlan:
    """A flat-rate plan of CloudFront: for one distribution and one month, without charges for overage."""

    name: str
    usd_per_month: float
    gb: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The prices of one file. A GB has `bytes_per_gb` bytes; GiB and TiB are powers of two. Tables are by storage class."""

    as_of: str
    scope: str
    bytes_per_gb: float
    """10^9 by default. Should AWS count 1,073,741,824 bytes as one GB, the costs of traffic are up to 7 % too high."""
    s3_out_gb: tuple[Tier, ...]
    s3_list_usd_per_1000: float
    s3_get_usd_per_1000: Mapping[str, float]
    s3_retrieval_usd_per_gb: Mapping[str, float]
    edge_out_gb: tuple[Tier, ...]
    edge_requests: tuple[Tier, ...]
    plans: tuple[FlatPlan, ...]
    pubsub_free_gib: float
    pubsub_usd_per_tib: float
    class_a_usd_per_1000: Mapping[str, float]
    class_b_usd_per_1000: Mapping[str, float]


def tiered_usd(units: float, tiers: Sequence[Tier]) -> float:
    """The cost of these units in a month without other usage."""
    usd = below = 0.0
    for tier in tiers:
        usd += max(0.0, min(units, tier.up_to) - below) * tier.usd_per_unit
        below = tier.up_to
    return usd


def load_prices(path: Path = LIST_PRICES) -> Prices:
    """Read a price file. Raises PricesInvalid, which says of every invalid field what it is and what it has to be."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise PricesInvalid(f"the price file {path} cannot be read: {error.strerror}", stage=Stage.LIST) from error
    except ValueError as error:
        raise PricesInvalid(f"the price file {path} is not JSON", stage=Stage.LIST) from error
    problems: list[str] = []
    prices = _prices(_Block(document, "", problems))
    if problems:
        raise PricesInvalid(f"the price file {path}: " + "; ".join(problems), stage=Stage.LIST)
    return prices


def _prices(file: _Block) -> Prices:
    s3, edge, gcs, pubsub = (file.block(name) for name in ("s3", "cloudfront", "gcs", "pubsub"))
    offers = file.block("cloudfront_plans")
    for block in (s3, edge, gcs, pubsub, offers):
        block.text("source")
        block.text("read")
    return Prices(
        as_of=file.text("as_of"),
        scope=file.text("scope"),
        bytes_per_gb=file.number("bytes_per_gb", above=0),
        s3_out_gb=s3.tiers("transfer_out", "up_to_gb", "usd_per_gb"),
        s3_list_usd_per_1000=s3.number("list_usd_per_1000"),
        s3_get_usd_per_1000=s3.by_class("get_usd_per_1000"),
        s3_retrieval_usd_per_gb=s3.by_class("retrieval_usd_per_gb"),
        edge_out_gb=edge.tiers("transfer_out", "up_to_gb", "usd_per_gb"),
        edge_requests=edge.tiers("requests", "up_to_requests", "usd_per_10000", units=10_000),
        plans=tuple(
            FlatPlan(
                name=plan.text("name"),
                usd_per_month=plan.number("usd_per_month"),
                gb=plan.number("gb", above=0),
                requests=int(plan.number("requests", above=0)),
            )
            for plan in offers.blocks("plans")
        ),
        pubsub_free_gib=pubsub.number("free_gib"),
        pubsub_usd_per_tib=pubsub.number("usd_per_tib"),
        class_a_usd_per_1000=gcs.by_class("class_a_usd_per_1000"),
        class_b_usd_per_1000=gcs.by_class("class_b_usd_per_1000"),
    )


class _Block:
    """One JSON object of the file. Each invalid field is added to `problems`, and a valid value is returned in its place."""

    def __init__(self, value: object, path: str, problems: list[str]) -> None:
        self._path = path
        self._problems = problems
        self._fields: Mapping[str, object] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            problems.append(f"{path.rstrip('.') or 'the whole file'} has to be an object")

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        if isinstance(value, str) and value:
            return value
        return self._wrong(name, "a non-empty string", "")

    def number(self, name: str, *, above: float = -1) -> float:
        value = self._fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and max(above, -1e-9) < value < math.inf:
            return float(value)
        return self._wrong(name, "a number above 0" if above == 0 else "a number of at least 0", 1.0)

    def block(self, name: str) -> _Block:
        return _Block(self._fields.get(name), f"{self._path}{name}.", self._problems)

    def blocks(self, name: str) -> list[_Block]:
        value = self._fields.get(name)
        if not isinstance(value, list) or not value:
            return self._wrong(name, "a list of at least one object", [])
        return [_Block(item, f"{self._path}{name}[{index}].", self._problems) for index, item in enumerate(value)]

    def by_class(self, name: str) -> Mapping[str, float]:
        table = self.block(name)
        table.number(STANDARD)
        return {storage_class: table.number(storage_class) for storage_class in table._fields}

    def tiers(self, name: str, up_to: str, usd: str, *, units: int = 1) -> tuple[Tier, ...]:
        """Ascending tiers, of which the last one has no end. The file's prices are for `units` units each."""
        tiers, below = [], 0.0
        blocks = self.blocks(name)
        for block in blocks:
            is_last = block is blocks[-1]
            if is_last and block._fields.get(up_to, 0) is not None:
                block._wrong(up_to, "null, because the last tier has no end", 0)
            end = math.inf if is_last else block.number(up_to, above=0)
            if end <= below:
                block._wrong(up_to, f"more than {below:,.0f}, where the tier before it ends", 0)
            tiers.append(Tier(up_to=end, usd_per_unit=block.number(usd) / units))
            below = end
        return tuple(tiers)

    def _wrong(self, name: str, wanted: str, instead: T) -> T:
        value = f"is {self._fields[name]!r:.60}" if name in self._fields else "is missing"
        self._problems.append(f"{self._path}{name} {value}, and has to be {wanted}")
        return instead
