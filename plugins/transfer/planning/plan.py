"""Plans a run by listing alone (`mode=plan`): what it would do and cost, as plan.json.

The listing is that of a run that copies, messages included; they are counted instead of published.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from transfer.config import MAX_OBJECT_BYTES, TransferConfig
from transfer.model import NOT_SELECTED, DestinationObject, ObjectMeta, SkipReason, TransferRequest
from transfer.naming import NameFilter, Naming
from transfer.planning.costs import Costs, costs_of
from transfer.planning.prices import Prices
from transfer.planning.sizes import BAND_ENDS_BYTES, Amount, SizeHistogram
from transfer.planning.usage import Usage, UsageMeter
from transfer.ports import StateStore
from transfer.records.json_record import write_json
from transfer.records.layout import PLAN_JSON
from transfer.records.messages import billed_bytes, encode_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do with each listed object, and what that would cost.

    `to_copy + unchanged + exists + archived + not_selected + absent + forbidden + encrypted + prefix_itself + illegal_names +
    too_large = listed`.
    """

    run_id: str
    listing: str
    """Names the manifest of what was listed, which a later run copies with `plan_run`."""
    listed: Amount
    to_copy: Amount
    unchanged: Amount
    exists: Amount
    """The destination has an object of this name, and `overwrite` is `never`."""
    archived: Amount
    not_selected: Amount
    absent: Amount
    """Named by a manifest, but not in the source; a run reports them as failed."""
    forbidden: Amount
    """Named by a manifest, but S3 refuses access; a run reports them as failed."""
    encrypted: Amount
    """Named by a manifest, but encrypted with a key that S3 does not have; a run reports them as failed."""
    prefix_itself: Amount
    illegal_names: Amount
    """Cloud Storage does not allow these names; a run reports them as failed."""
    too_large: Amount
    """Larger than an object in Cloud Storage can be; a run reports them as failed."""
    extra: Amount
    """At the destination only: what a run with `delete_extraneous` would delete, within its limits. Zero where the run does not
    list the whole source; without names that the run's globs leave out."""
    stored: Amount
    """Everything under the destination prefix."""
    sizes: tuple[Amount, ...]
    """The objects to copy by size, in the bands of BAND_ENDS_BYTES; the last band has no end."""
    usage: Usage
    costs: Costs
    prices_as_of: str
    prices_scope: str
    band_ends_bytes: tuple[int, ...] = field(default=BAND_ENDS_BYTES)

    @property
    def extra_percent(self) -> float:
        """The share of the objects under the destination prefix that the source does not have."""
        return 100 * self.extra.objects / self.stored.objects if self.stored.objects else 0.0

    def to_dict(self) -> dict[str, object]:
        """The JSON object in plan.json and in the XCom `plan`."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        amounts = {name: value.to_dict() for name, value in values.items() if isinstance(value, Amount)}
        return (
            asdict(self)
            | amounts
            | {
                "sizes": [band.to_dict() for band in self.sizes],
                "band_ends_bytes": [*self.band_ends_bytes],
                "extra_percent": self.extra_percent,
                "costs": self.costs.to_dict(),
            }
        )


def write_plan(state: StateStore, plan: Plan) -> None:
    """Store plan.json, in place of an earlier one."""
    write_json(state, PLAN_JSON, plan.to_dict())


class PlanTally:
    """Counts the objects and messages of a listing, as its publisher and its observer. Use from one thread."""

    def __init__(self, naming: Naming, config: TransferConfig, name_filter: NameFilter | None = None) -> None:
        self._naming = naming
        self._name_filter = name_filter
        self._meter = UsageMeter(config)
        self._sizes = SizeHistogram()
        self._message_bytes = 0
        self._objects: Counter[str] = Counter()  # by the name of a field of the plan
        self._sizes_bytes: Counter[str] = Counter()

    def publish(self, request: TransferRequest) -> int:
        """Count a message instead of publishing it; the bytes that would be billed for it."""
        size_bytes = billed_bytes(*encode_request(request))
        self._message_bytes += size_bytes
        return size_bytes

    def flush(self) -> None:
        """Do nothing: no message is in flight."""

    def take(self, item: ObjectMeta | None, stored: DestinationObject | None, skipped: SkipReason | None) -> None:
        """Count one name of either side; `skipped` is why its object would not be copied, if so."""
        if stored is not None:
            self._add("stored", stored.size_bytes)
        if item is not None:
            self._add("listed", item.size_bytes)
            self._add(self._row(item, skipped), item.size_bytes)
        elif stored is not None and (
            self._name_filter is None or self._name_filter(self._naming.below_destination(stored.name))
        ):
            self._add("extra", stored.size_bytes)

    def _row(self, item: ObjectMeta, skipped: SkipReason | None) -> str:
        """The field of the plan that a listed object counts in."""
        if skipped is not None:
            return "not_selected" if skipped in NOT_SELECTED else skipped.replace("-", "_")
        if item.size_bytes > MAX_OBJECT_BYTES:
            return "too_large"
        if not self._naming.is_legal(self._naming.name_of(item.key)):
            return "illegal_names"
        self._meter.count_copy(item)
        self._sizes.add(item.size_bytes)
        return "to_copy"

    def _add(self, name: str, size_bytes: int) -> None:
        self._objects[name] += 1
        self._sizes_bytes[name] += size_bytes

    def _amount(self, name: str) -> Amount:
        return Amount(objects=self._objects[name], size_bytes=self._sizes_bytes[name])

    def plan(self, prices: Prices, *, run_id: str, listing: str, is_listed_in_s3: bool) -> Plan:
        """The plan of everything counted so far. `is_listed_in_s3` is whether S3 was listed, and not a file in its place."""
        usage = self._meter.usage(
            listed=self._objects["listed"] if is_listed_in_s3 else None,
            stored=self._objects["stored"],
            message_bytes=self._message_bytes,
        )
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
            sizes=self._sizes.bands(),
            usage=usage,
            costs=costs_of(usage, prices),
            prices_as_of=prices.as_of,
            prices_scope=prices.scope,
        )
