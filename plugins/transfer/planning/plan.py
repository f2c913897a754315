"""What a run would do and cost, made by listing alone (`mode=plan`): plan.json, and one screen of text.

The listing is the transfer's own, down to its messages; only nothing is published.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from transfer.config import MAX_OBJECT_BYTES, TransferConfig
from transfer.model import NOT_SELECTED, DestinationObject, ObjectMeta, SkipReason, TransferRequest
from transfer.naming import NameFilter, Naming
from transfer.planning.costs import Costs, costs_of
from transfer.planning.prices import Prices
from transfer.planning.usage import Usage, UsageMeter
from transfer.ports import StateStore
from transfer.records.json_record import write_json
from transfer.records.layout import PLAN_JSON

KIB = 1024
BAND_ENDS_BYTES = (4 * KIB, 64 * KIB, KIB**2, 16 * KIB**2, 256 * KIB**2, 4 * KIB**3, 64 * KIB**3)
"""Of the size histogram, each included; one more band has what is larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """So many objects and their bytes."""

    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do: `to_copy + unchanged + exists + archived + not_selected + absent + forbidden + encrypted +
    prefix_itself + illegal_names + too_large = listed`."""

    run_id: str
    listing: str
    """Names the manifest: what a later run moves that is given this plan."""
    listed: Amount
    to_copy: Amount
    unchanged: Amount
    exists: Amount
    """Something of that name is there, and `overwrite` is `never`."""
    archived: Amount
    not_selected: Amount
    absent: Amount
    """Named by a manifest, and not in the source; a run reports them as failed."""
    forbidden: Amount
    """Likewise, and S3 refuses to tell of them."""
    encrypted: Amount
    """Likewise, and encrypted with a key that S3 does not have."""
    prefix_itself: Amount
    illegal_names: Amount
    """Cloud Storage cannot hold these names; a run reports them as failed."""
    too_large: Amount
    """More than Cloud Storage holds in one object; a run reports them as failed."""
    extra: Amount
    """At the destination only: what a run with `delete_extraneous` would delete, within its limit. None where the run does not
    list all of the source, nor of names that its globs leave out."""
    stored: Amount
    """All that is under the destination prefix."""
    sizes: tuple[Amount, ...]
    """Of what is to move, by BAND_ENDS_BYTES; the last band has no end."""
    usage: Usage
    costs: Costs
    prices_as_of: str
    prices_scope: str
    band_ends_bytes: tuple[int, ...] = field(default=BAND_ENDS_BYTES)

    @property
    def extra_percent(self) -> float:
        """Of the objects under the destination prefix, those that the source does not have."""
        return 100 * self.extra.objects / self.stored.objects if self.stored.objects else 0.0

    def to_dict(self) -> dict[str, object]:
        """As plan.json and the XCom hold it."""
        costs = self.costs
        derived = {"common_usd": costs.common_usd, "least_usd": costs.least_usd}
        ways = [asdict(way) | {"months": way.months} for way in costs.ways]
        return asdict(self) | {"extra_percent": self.extra_percent, "costs": asdict(costs) | derived | {"ways": ways}}


def write_plan(state: StateStore, plan: Plan) -> None:
    """Store plan.json."""
    write_json(state, PLAN_JSON, plan.to_dict())


class PlanTally:
    """Takes in what a listing finds and would publish (it is its publisher, too). Use from one thread."""

    def __init__(self, naming: Naming, config: TransferConfig, name_filter: NameFilter | None = None) -> None:
        self._naming = naming
        self._has_name = name_filter
        self._meter = UsageMeter(config)
        self._objects: Counter[str] = Counter()  # by the name of a field of the plan, or of a band of sizes
        self._bytes: Counter[str] = Counter()

    def publish(self, request: TransferRequest) -> None:
        """Count a message in place of sending it."""
        self._meter.publishes(request)

    def flush(self) -> None:
        """Nothing is on its way."""

    def take(self, item: ObjectMeta | None, stored: DestinationObject | None, skipped: SkipReason | None) -> None:
        """One name of either side, and why its object need not move."""
        if stored is not None:
            self._meter.stored()
            self._add("stored", stored.size_bytes)
        if item is not None:
            self._meter.listed()
            self._add("listed", item.size_bytes)
            self._add(self._fate(item, skipped), item.size_bytes)
        elif stored is not None and (
            self._has_name is None or self._has_name(self._naming.below_destination(stored.name))
        ):
            self._add("extra", stored.size_bytes)

    def _fate(self, item: ObjectMeta, skipped: SkipReason | None) -> str:
        if skipped is not None:
            return "not_selected" if skipped in NOT_SELECTED else skipped.replace("-", "_")
        if item.size_bytes > MAX_OBJECT_BYTES:
            return "too_large"
        if not self._naming.is_legal(self._naming.name_of(item.key)):
            return "illegal_names"
        self._meter.moves(item)
        self._add(_band(sum(item.size_bytes > end for end in BAND_ENDS_BYTES)), item.size_bytes)
        return "to_copy"

    def _add(self, name: str, size_bytes: int) -> None:
        self._objects[name] += 1
        self._bytes[name] += size_bytes

    def _amount(self, name: str) -> Amount:
        return Amount(objects=self._objects[name], bytes=self._bytes[name])

    def plan(self, prices: Prices, *, run_id: str, listing: str, is_listed_in_s3: bool) -> Plan:
        """What all of it comes to."""
        usage = self._meter.usage(is_listed_in_s3=is_listed_in_s3)
        return Plan(
            run_id=run_id,
            listing=listing,
            listed=self._amount("listed"),
            to_copy=self._amount("to_copy"),
            unchanged=self._amount("unchanged"),
            exists=self._amount("exists"),
            archived=self._amount("archived"),
            not_selected=self._amount("not_selected"),
            absent=self._amount("absent"),
            forbidden=self._amount("forbidden"),
            encrypted=self._amount("encrypted"),
            prefix_itself=self._amount("prefix_itself"),
            illegal_names=self._amount("illegal_names"),
            too_large=self._amount("too_large"),
            extra=self._amount("extra") if is_listed_in_s3 else Amount(),
            stored=self._amount("stored"),
            sizes=tuple(self._amount(_band(number)) for number in range(len(BAND_ENDS_BYTES) + 1)),
            usage=usage,
            costs=costs_of(usage, prices),
            prices_as_of=prices.as_of,
            prices_scope=prices.scope,
        )


def _band(number: int) -> str:
    return f"band {number}"
