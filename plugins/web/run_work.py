"""What the workers of a run have done so far, from their live counts: rows, totals, rates, failures by reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from operators.hand_over import SUMMARY_KEY
from operators.live_progress import HISTORY_KEY, PROGRESS_KEY
from pages.documents import Document
from pages.rates import complete, eta_s, now_of, rates_of
from pages.records import Amount, PhaseState, Progress, Rates, ReasonRow, WorkerRow
from pages.results import amount_of
from transfer.accounting.rate_history import RateHistory
from transfer.reconciliation.advice import advice_for
from transfer.reconciliation.reasons import SAMPLES
from web.run_phases import state_of, task_url
from web.run_rows import LIST, RECONCILE, RETRY, TRANSFER, WORKERS, RunRows, TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of a run so far."""

    progress: Progress | None = None
    rates: Rates | None = None
    workers: tuple[WorkerRow, ...] = ()
    failures: tuple[ReasonRow, ...] = ()
    skipped: tuple[ReasonRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    part: str
    task: TaskRow
    counts: Document
    """The counts of its present attempt."""
    history: RateHistory
    """The rates of all its attempts."""


def work_of(rows: RunRows, now: datetime) -> Work:
    """The work so far. `now` is aware."""
    at_s, workers = now.timestamp(), list(_workers(rows))
    listing = Document(rows.stored.get((LIST, -1, PROGRESS_KEY)))
    summary = Document(rows.result(LIST, SUMMARY_KEY))
    rates = rates_of([worker.history for worker in workers])
    if rates:
        rates = complete(rates, _ends_s(workers))
    counted = [worker.counts for worker in workers]
    listed_end = rows.tasks[LIST][0].ended_at if rows.tasks.get(LIST) else None
    since_s = listed_end.timestamp() if listed_end else 0.0
    done = [_done(worker, since_s) for worker in workers]
    progress = _listing(listing) if listing and not summary else None
    if summary and summary.text("mode") == "transfer":
        progress = _progress(rows, summary, workers, done, rates, at_s)
    return Work(
        progress=progress,
        rates=rates,
        workers=tuple(_row(rows, worker, amount, at_s) for worker, amount in zip(workers, done, strict=True)),
        failures=_together(counted, "failures"),
        skipped=_together([summary if "skips" in summary else listing, *counted], "skips"),
    )


def _workers(rows: RunRows) -> Iterator[_Worker]:
    for part in WORKERS:
        for task in rows.tasks.get(part, ()):
            if task.map_index < 0 or task.state is None:  # not mapped yet
                continue
            at = (part, task.map_index)
            returned = Document(rows.results.get((*at, "return_value"))) if task.has_ended else Document()
            stored = Document(rows.stored.get((*at, PROGRESS_KEY)))
            yield _Worker(
                part=part,
                task=task,
                counts=stored.updated(returned),
                history=rows.stored.get((*at, HISTORY_KEY)) or RateHistory(),
            )


def _ends_s(workers: Sequence[_Worker]) -> Iterator[float]:
    """Until when each worker that is at work has reported its rate."""
    for worker in workers:
        if state_of(worker.task) is PhaseState.RUNNING and worker.history.bytes:
            yield worker.history.began_at_s + len(worker.history.bytes) * worker.history.interval_s


def _done(worker: _Worker, since_s: float) -> Amount:
    """What a worker has done, over all its attempts since the listing ended: its counts begin again with each attempt."""
    counts, history = worker.counts, worker.history
    objects = counts.whole("copied") + counts.whole("skipped") + counts.whole("failed")
    size_bytes = counts.whole("bytes_copied")
    if worker.task.attempt > 1:
        first = max(0, int((since_s - history.began_at_s) // history.interval_s))
        objects = max(objects, sum(history.objects[first:]))
        size_bytes = max(size_bytes, sum(history.bytes[first:]))
    return Amount(objects=objects, size_bytes=size_bytes)


def _row(rows: RunRows, worker: _Worker, done: Amount, at_s: float) -> WorkerRow:
    task, counts = worker.task, worker.counts
    label = task.label or f"worker {task.map_index + 1}"
    state = state_of(task)
    rate = now_of(worker.history, at_s, unfinished=1)[0]
    if not worker.history.bytes and counts.number("seconds"):
        rate = counts.number("bytes_copied") / counts.number("seconds")
    return WorkerRow(
        label=label if worker.part == TRANSFER else f"second pass, {label}",
        state=state,
        lanes=counts.whole("lanes"),
        threads=counts.whole("threads"),
        bytes_per_s=rate if state is PhaseState.RUNNING else 0.0,
        done=done,
        failed=counts.whole("failed"),
        attempt=task.attempt,
        attempts=task.attempts,
        host=task.host,
        url=task_url(rows.key, task),
    )


def _listing(counts: Document) -> Progress:
    seconds = counts.number("seconds")
    return Progress(
        done=Amount(objects=counts.whole("objects_total"), size_bytes=counts.whole("bytes_total")),
        listed=counts.whole("listed"),
        objects_per_s=counts.number("listed") / seconds if seconds else 0.0,
    )


def _progress(
    rows: RunRows,
    summary: Document,
    workers: Sequence[_Worker],
    amounts: Sequence[Amount],
    rates: Rates | None,
    at_s: float,
) -> Progress:
    total = amount_of(summary)
    failed = {part: sum(w.counts.whole("failed") for w in workers if w.part == part) for part in WORKERS}
    # What the second pass copies had failed, or had never been reached, in the first one.
    again = min(failed[TRANSFER], Document(rows.result(RECONCILE, SUMMARY_KEY)).whole("republished"))
    retried = sum(a.objects for w, a in zip(workers, amounts, strict=True) if w.part == RETRY)
    objects = sum(amount.objects for amount in amounts) - min(again, retried)
    size_bytes = sum(amount.size_bytes for amount in amounts)
    done = Amount(objects=min(objects, total.objects), size_bytes=min(size_bytes, total.size_bytes))
    skipped_by_workers = sum(worker.counts.whole("skipped") for worker in workers)
    progress = Progress(
        done=done,
        total=total,
        listed=summary.whole("listed"),
        skipped=summary.whole("skipped") + skipped_by_workers,
        failed=failed[TRANSFER] - min(again, retried) + failed[RETRY],
    )
    began = [worker.task.began_at.timestamp() for worker in workers if worker.task.began_at]
    if not began:
        return progress
    ends = [worker.task.ended_at.timestamp() for worker in workers if worker.task.ended_at]
    is_working = any(state_of(worker.task) is PhaseState.RUNNING for worker in workers)
    span_s = max((at_s if is_working or not ends else max(ends)) - min(began), 1.0)
    average = done.size_bytes / span_s, done.objects / span_s
    now = now_of(rates, at_s) if rates else average
    now = now if is_working else (0.0, 0.0)
    return replace(
        progress,
        bytes_per_s=now[0],
        objects_per_s=now[1],
        average_bytes_per_s=average[0],
        average_objects_per_s=average[1],
        eta_s=eta_s(done, total, *now) if is_working else None,
    )


def _together(documents: Iterable[Document], name: str) -> tuple[ReasonRow, ...]:
    """The reasons of several tasks together, most frequent first."""
    found: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        for item in document.each(name):
            found[item.code("reason")].append(item)
    merged = [
        ReasonRow(
            verdict="",
            reason=reason,
            count=sum(item.whole("count") for item in items),
            samples=tuple(islice(dict.fromkeys(_keys(items)), SAMPLES)),
            message=items[0].text("message", 600),
            advice=advice_for(reason),
        )
        for reason, items in found.items()
    ]
    return tuple(sorted(merged, key=lambda row: -row.count))


def _keys(items: Sequence[Document]) -> list[str]:
    """Some of the keys, of a few workers only: making each key safe to show takes time."""
    return [key for item in items[:SAMPLES] for key in item.texts("samples", SAMPLES)]
