"""How a run ended, in one sentence."""

from __future__ import annotations

from pages import numbers
from pages.documents import Document
from pages.records import Tone, Verdict
from transfer.accounting.progress import human_bytes
from transfer.reconciliation.report import nothing_to_copy


def verdict_of(record: Document, mode: str) -> Verdict:
    """The verdict on the run that a report.json, or a plan.json, describes."""
    return _on_plan(record) if mode == "plan" else _on_report(record, was_copied=mode != "verify")


def _on_plan(plan: Document) -> Verdict:
    copied, costs = plan.within("to_copy"), plan.within("costs")
    sentence = (
        f"A plan: {copied.whole('objects'):,} of {plan.within('listed').whole('objects'):,} listed objects"
        f" ({human_bytes(copied.whole('bytes'))}) would be copied"
    )
    if cheapest := costs.text("cheapest", 100):
        sentence += f", at the least for {numbers.usd(costs.number('least_usd'))} with {cheapest}"
    return Verdict(tone=Tone.PLAIN, sentence=f"{sentence}.")


def _on_report(report: Document, *, was_copied: bool) -> Verdict:
    listed, matched, skipped = report.whole("listed"), report.whole("matched"), report.whole("skipped")
    problems = []
    if unfinished := listed - matched - skipped:
        how = "were not copied" if was_copied else "are missing or differ"
        problems.append(f"{unfinished:,} of {listed:,} objects {how}")
    is_empty = 0 < listed == report.whole("passed_over")
    if is_empty and not report.flag("allows_empty"):
        problems.append(nothing_to_copy(listed))
    sample = report.within("sample")
    if wrong := sample.whole("differing") + sample.whole("unreadable"):
        problems.append(
            f"of the sample read back, {wrong:,} of {sample.whole('chosen'):,} objects differ or could not be read"
        )
    if problems:
        return Verdict(tone=Tone.BAD, sentence=f"{_capital('; '.join(problems))}.")
    if not listed:
        return Verdict(tone=Tone.GOOD, sentence="Nothing was listed, and nothing was to be copied.")
    where = "is at the destination" if was_copied else "is equal on both sides"
    sentence = f"Every object {where}: {matched:,} of {listed:,} verified"
    if was_copied:
        sentence += (
            f", {report.whole('copied'):,} of them copied by this run ({human_bytes(report.whole('bytes_copied'))})"
        )
    if skipped:
        sentence += f"; {skipped:,} skipped with a reason"
    return Verdict(tone=Tone.GOOD, sentence=f"{sentence}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
