"""A pass of the reconciliation against a brute-force model, and the tables of verdicts and retries."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compared_objects import ITEM, OTHER, SAME
from memory_state import MemoryState
from transfer.comparison import holds
from transfer.errors import Stage
from transfer.model import DestinationObject, ObjectMeta, Proof, SkipReason, TransferFailure
from transfer.naming import Naming
from transfer.reconciliation.advice import FAILURES
from transfer.reconciliation.failures import FailureTable
from transfer.reconciliation.reconcile import PassSettings, judge_keys, reconcile
from transfer.reconciliation.run_context import RunContext
from transfer.reconciliation.verdicts import Pass, Verdict, generation_to_replace, is_republished, judge
from transfer.records.layout import UNFINISHED
from transfer.records.ledger import UnboundCopy
from transfer.records.manifest import read_manifest

NAMING = Naming(source_prefix="in/", destination_prefix="out/", state_prefix=".edgehaul/")
KEYS = [f"in/{name}" for name in ("", "a", "a!", "a/b", "b", "\uffee", "\U0001f69a", "z")]
CRCS = ["AAAAAA==", "BBBBBB=="]
ETAGS = ["0" * 32, "1" * 32, "2" * 32 + "-2"]

items = st.builds(
    ObjectMeta,
    key=st.sampled_from(KEYS),
    size_bytes=st.integers(0, 1),
    etag=st.sampled_from(ETAGS),
    last_modified_s=st.just(7),
    replaces_generation=st.sampled_from([0, 3, 4]),
)
stored_objects = st.builds(
    DestinationObject,
    name=st.sampled_from([NAMING.name_of(key) for key in KEYS] + ["out/extra"]),
    size_bytes=st.integers(0, 1),
    generation=st.sampled_from([3, 4]),
    source_etag=st.sampled_from([*ETAGS, ""]),
    source_mtime=st.sampled_from(["", "7", "7", "8"]),
    md5=st.sampled_from([*ETAGS[:2], ""]),
    crc32c=st.sampled_from(CRCS),
    proof=st.sampled_from(["", *(f"crc32c={crc32c}; proof={proof}" for crc32c in CRCS for proof in Proof)]),
)
unbound_copies = st.builds(
    UnboundCopy,
    key=st.sampled_from(KEYS),
    crc32c=st.sampled_from(CRCS),
    generation=st.sampled_from([3, 4]),
    proof=st.sampled_from(Proof),
)
failures = st.builds(
    TransferFailure,
    key=st.sampled_from([*KEYS, "in/not listed", "elsewhere"]),
    stage=st.just(Stage.UPLOAD),
    error_code=st.sampled_from([*FAILURES, "Unheard"]),
    http_status=st.none(),
    attempts=st.just(1),
    message=st.just("m"),
)
worlds = st.tuples(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.tuples(
            items, st.sampled_from([None, None, *(item for item in SkipReason if item is not SkipReason.IDENTICAL)])
        ),
    ),
    st.lists(stored_objects, unique_by=lambda item: item.name),
    st.lists(failures, unique_by=lambda item: item.key),
    st.lists(unbound_copies, unique_by=lambda item: item.key),
)


class Collected:
    def __init__(self) -> None:
        self.items: list[tuple[ObjectMeta, bool]] = []

    def add(self, item: ObjectMeta, *, is_alone: bool = False) -> None:
        self.items.append((item, is_alone))


def byte_order(texts) -> list[str]:
    return sorted(texts, key=lambda text: text.encode())


def same(there: DestinationObject, item: ObjectMeta, copies: list[UnboundCopy]) -> str | None:
    """The evidence that a destination object holds a source object, computed otherwise than in the product."""
    copied = [copy for copy in copies if (copy.generation, copy.crc32c) == (there.generation, there.crc32c)]
    if there.size_bytes == item.size_bytes and there.source_mtime != "8":
        if there.md5 == item.etag:
            return "etag-md5"
        crc32c, _, proof = there.proof.removeprefix("crc32c=").partition("; proof=")
        if there.source_etag == item.etag and crc32c == there.crc32c and not (there.md5 and proof == "etag-md5"):
            return "transport" if proof == "crc32c" else proof
    return ("transport" if copied[-1].proof == "crc32c" else str(copied[-1].proof)) if copied else None


NEVER_COPIED = (
    "archived",
    "prefix-itself",
    "not-selected-name",
    "not-selected-size",
    "not-selected-time",
    "not-selected-class",
)


def model(listed, there, failed, unbound, which: Pass, may_overwrite: bool):
    """Verdicts, republished objects and evidence, computed key by key with everything in dictionaries."""
    verdicts: dict[str, Verdict] = {}
    again: dict[str, tuple[int, bool]] = {}
    evidences: dict[str, Counter[str]] = {claim: Counter() for claim in ("unchanged", "matched", "exists")}
    for key, (item, skipped) in listed.items():
        at = there.get("out/" + key.removeprefix("in/"))
        evidence = at and same(at, item, [copy for copy in unbound if copy.key == key])
        arrived = bool(evidence) and (
            skipped is not None or not item.replaces_generation or at.generation != item.replaces_generation
        )
        code = failed[key].error_code if key in failed else None
        if skipped in NEVER_COPIED or (skipped == "exists" and at is not None):
            verdicts[key] = Verdict.SKIPPED
            evidences["exists"]["name"] += skipped == "exists"
        elif skipped in UNRESOLVED:
            verdicts[key], code = Verdict.FAILED, UNRESOLVED[skipped]
        elif arrived:
            verdicts[key] = Verdict.SKIPPED if skipped else Verdict.MATCHED
            assert evidence
            evidences["unchanged" if skipped else "matched"][evidence] += 1
        elif code is not None:
            verdicts[key] = Verdict.FAILED
        else:
            verdicts[key] = Verdict.MISSING if at is None else Verdict.DIFFERING
        if verdicts[key] in ("failed", "missing", "differing"):
            if skipped in UNRESOLVED:
                continue
            hopeless = code is not None and not (code in FAILURES and FAILURES[code].is_worth_retrying)
            if which is Pass.REPLAY or (which is Pass.FIRST and not hopeless):
                generation = 0 if at is None else at.generation if may_overwrite else item.replaces_generation
                again[key] = (generation, code == "PoisonMessage")
    return verdicts, again, evidences


UNRESOLVED = {"absent": "SourceNotFound", "forbidden": "SourceForbidden", "encrypted": "SourceEncrypted"}
globs = st.sampled_from([None, lambda name: not name.startswith("a"), lambda name: name == "extra", lambda name: False])


@given(worlds, st.sampled_from(Pass), st.booleans(), globs)
def test_a_pass_judges_every_key_as_the_model_does(world, which: Pass, may_replace: bool, name_filter) -> None:
    entries, stored, failed, unbound = world
    unbound = sorted(unbound, key=lambda copy: copy.key.encode())
    listed = {key: (replace(item, key=key), skipped) for key, (item, skipped) in entries.items()}
    there, reported = {item.name: item for item in stored}, {item.key: item for item in failed}
    verdicts, again, evidences = model(listed, there, reported, unbound, which, may_replace and which is Pass.REPLAY)
    state, collected = MemoryState(), Collected()
    with FailureTable() as table:
        for failure in failed:
            table.report(failure)
        judged = list(
            judge_keys(
                [listed[key] for key in byte_order(listed)],
                sorted(stored, key=lambda item: item.name.encode()),
                table.sorted(),
                unbound,
                naming=NAMING,
                name_filter=name_filter,
            )
        )
    run = RunContext(
        run_id="r", transfer_id="r", state=state, naming=NAMING, listing="1", listed=len(listed), attempt=1
    )
    settings = PassSettings(which=which, may_replace=may_replace, has_extras=True)
    report = reconcile(judged, run, settings, collected, round_name="1.001")
    assert {key.item.key: key.verdict for key in judged if key.item is not None} == verdicts
    assert {item.key: (item.replaces_generation, is_alone) for item, is_alone in collected.items} == again
    counts = {verdict: list(verdicts.values()).count(verdict) for verdict in Verdict}
    found = (report.matched, report.skipped, report.failed, report.missing, report.differing)
    assert found == tuple(
        counts[verdict]
        for verdict in (Verdict.MATCHED, Verdict.SKIPPED, Verdict.FAILED, Verdict.MISSING, Verdict.DIFFERING)
    )
    assert sum(found) == report.listed == len(listed)
    names = {NAMING.name_of(key) for key in listed}
    alone = [item.name.removeprefix("out/") for item in stored if item.name not in names]
    assert report.extra == sum(name_filter is None or name_filter(name) for name in alone)
    assert report.extra + report.protected == len(alone)
    left = [key for key in byte_order(verdicts) if verdicts[key] in ("failed", "missing", "differing")]
    recorded = [item for item, _ in read_manifest(state, "1.001", folder=UNFINISHED)]
    assert recorded == [listed[key][0] for key in left]
    matched = "verified" if which is Pass.COMPARE else "copied"
    expected = {**evidences, matched: evidences["matched"]}
    assert {claim: Counter(counts) for claim, counts in report.evidence.items()} == {
        claim: +counts for claim, counts in expected.items() if +counts
    }
    passed_over = sum(skipped in NEVER_COPIED for _, skipped in listed.values())
    assert (report.passed_over, report.is_empty) == (passed_over, 0 < len(listed) == passed_over)
    assert report.is_green == (not left and not report.is_empty)
    assert bool(report.why_red(was_copied=True)) != report.is_green
    assert bool(report.unfinished) == bool(left)
    assert report.is_final == (which is Pass.FINAL or not again)
    rows = state.read("failures.csv").decode().splitlines()[1:]
    assert len(rows) == len(left)
    cold = [key for key in byte_order(listed) if listed[key][1] == "archived"]
    archived = state.read("archived.csv").decode().splitlines() if cold else []
    assert [line.split(",")[0] for line in archived] == (["key", *cold] if cold else [])
    assert not list(state.entries("archived")) or cold
    assert sum(reason.count for reason in report.reasons) == len(left) + counts[Verdict.SKIPPED]


def failure(code: str) -> TransferFailure:
    return TransferFailure(key="k", stage=Stage.UPLOAD, error_code=code, http_status=None, attempts=1, message="")


@pytest.mark.parametrize(
    ("verdict", "code", "answers"),
    [
        (Verdict.MATCHED, None, (False, False, False)),
        (Verdict.MATCHED, "SourceUnavailable", (False, False, False)),
        (Verdict.SKIPPED, None, (False, False, False)),
        (Verdict.EXTRA, None, (False, False, False)),
        (Verdict.PROTECTED, None, (False, False, False)),
        (Verdict.MISSING, None, (True, True, False)),
        (Verdict.DIFFERING, None, (True, True, False)),
        (Verdict.FAILED, "SourceUnavailable", (True, True, False)),
        (Verdict.FAILED, "SourceNotFound", (False, True, False)),
        (Verdict.FAILED, "NeverHeardOf", (False, True, False)),
    ],
)
def test_which_verdicts_are_published_again(verdict: Verdict, code: str | None, answers: tuple[bool, ...]) -> None:
    known = failure(code) if code else None
    assert tuple(is_republished(verdict, known, which) for which in (Pass.FIRST, Pass.REPLAY, Pass.FINAL)) == answers


@pytest.mark.parametrize(
    ("generation_now", "may_overwrite", "expected"),
    [(None, False, 0), (None, True, 0), (5, False, 5), (5, True, 5), (6, False, 5), (6, True, 6)],
)
def test_an_object_that_somebody_else_wrote_is_overwritten_only_when_asked_to(
    generation_now, may_overwrite, expected
) -> None:
    item = ObjectMeta(key="in/k", size_bytes=1, etag="e", last_modified_s=0, replaces_generation=5)
    stored = generation_now and DestinationObject(name="out/k", size_bytes=1, generation=generation_now)
    assert generation_to_replace(item, stored, may_overwrite=may_overwrite) == expected


AGAIN = replace(ITEM, replaces_generation=3)


FAILURE = TransferFailure(key="in/k", stage=Stage.DOWNLOAD, error_code="X", http_status=None, attempts=1, message="m")


@pytest.mark.parametrize(
    ("item", "skipped", "stored", "failure", "verdict"),
    [
        (None, None, OTHER, None, Verdict.EXTRA),
        (ITEM, SkipReason.ARCHIVED, None, None, Verdict.SKIPPED),
        (ITEM, SkipReason.PREFIX_ITSELF, None, None, Verdict.SKIPPED),
        (ITEM, SkipReason.EXISTS, OTHER, None, Verdict.SKIPPED),
        (ITEM, SkipReason.EXISTS, None, None, Verdict.MISSING),
        (ITEM, SkipReason.UNCHANGED, SAME, None, Verdict.SKIPPED),
        (ITEM, SkipReason.UNCHANGED, OTHER, None, Verdict.DIFFERING),
        (ITEM, SkipReason.UNCHANGED, None, None, Verdict.MISSING),
        (ITEM, None, SAME, None, Verdict.MATCHED),
        (ITEM, None, SAME, FAILURE, Verdict.MATCHED),
        (ITEM, None, OTHER, FAILURE, Verdict.FAILED),
        (ITEM, None, None, FAILURE, Verdict.FAILED),
        (ITEM, None, None, None, Verdict.MISSING),
        (ITEM, None, OTHER, None, Verdict.DIFFERING),
        # What the listing saw there is still there, and had to be replaced (overwrite=always).
        (AGAIN, None, SAME, None, Verdict.DIFFERING),
        (AGAIN, None, SAME, FAILURE, Verdict.FAILED),
        (AGAIN, None, replace(SAME, generation=4), FAILURE, Verdict.MATCHED),
        (AGAIN, SkipReason.UNCHANGED, SAME, None, Verdict.SKIPPED),
        (AGAIN, SkipReason.EXISTS, OTHER, None, Verdict.SKIPPED),
    ],
)
def test_the_truth_table_of_verdicts(item, skipped, stored, failure, verdict) -> None:
    is_held = item is not None and stored is not None and holds(stored, item)
    assert judge(item, skipped, stored, failure, is_held=is_held) is verdict
