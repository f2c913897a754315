"""Medians and ratios of the measurements, as Markdown and as JSON. No number is ever entered manually."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.document import with_sections
from benchmarks.plan import Case
from benchmarks.runs import BARE, ENGINE, Sample
from benchmarks.workloads import MIB

MEASURES = ("objects_per_s", "mib_per_s", "cpu_us_per_object", "cpu_s_per_gib", "peak_rss_bytes")
COLUMNS = (
    "",
    "objects",
    "objects/s",
    "MiB/s",
    "CPU µs/object",
    "CPU s/GiB",
    "peak RSS MiB",
    "servers' CPU",
    "rate",
    "CPU/object",
    "peak RSS",
)
HEAD = """# Benchmarks

Written by `python -m benchmarks --write-docs`, which replaces the sections of what it measures. Medians of some rounds, the
contenders interleaved. Clients, servers and whatever else runs share the machine's cores.
"""
NOTES = """
- Rates and costs are per object copied, so that slow contenders may copy a subset: the column "objects" says how many.
  CPU is user and system time of the process and its children. Peak RSS is the kernel's `VmHWM`.
- The last three columns are the engine's figure divided by that contender's: a rate above 1 is faster, CPU and memory
  below 1 are cheaper.
- "servers' CPU" is how many cores the servers had used in the meantime: near the machine's, they are the limit.
- engine: one worker, from the first pull to the last ack, ledger included, without its listing (which is below each table).
  engine data path: the same copiers on lanes over a list in memory, without queue and ledger.
- rclone: `copy` with `--transfers` = threads, one listing (`--fast-list`), no HEAD per object (`--use-server-modtime`),
  `--no-check-dest --ignore-checksum`; the whole process from start to end. "checks on" is without these last two flags.
- operator: `S3ToGCSOperator.execute`, one object after another. transfer_manager: boto3 to files on tmpfs, then
  google-cloud-storage's `upload_many_from_filenames`, or `upload_chunks_concurrently` above 32 MiB. script: a pool of
  threads, a pycurl GET to a temporary file on tmpfs and `upload_from_filename`. Their imports are not counted.
- Objects up to 8 MiB have MD5s for ETags, larger ones the multipart ETags the AWS CLI makes. The discarding sink
  computes the CRC32C of everything; after each run it must have got every object and byte. It computes no MD5:
  those of objects up to 8 MiB and of parts, which Cloud Storage names in its answers, it looks up by CRC32C.
- Added latency holds back what a client sends to the edge; answers pass at once and connections open without delay.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One case with the samples of each contender that came through, and what went wrong with the others."""

    case: Case
    samples: dict[str, list[Sample]]
    failures: dict[str, str]
    servers: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    load_average: float = field(default_factory=lambda: os.getloadavg()[1])

    def medians(self, contender: str) -> dict[str, float]:
        """The median of each measure over the rounds."""
        samples = self.samples[contender]
        found = {name: median(getattr(sample, name) for sample in samples) for name in MEASURES}
        found["servers_cpu_share"] = median(sample.servers_cpu_s / sample.wall_s for sample in samples)
        for name in samples[0].extra:
            found[name] = median(sample.extra[name] for sample in samples)
        return found

    def ratios(self, contender: str) -> dict[str, float]:
        """The engine's medians over this contender's: above 1 in rates is faster, below 1 in CPU and memory is cheaper."""
        if ENGINE not in self.samples:
            return {}
        engine, other = self.medians(ENGINE), self.medians(contender)
        return {name: engine[name] / other[name] for name in MEASURES if other[name]}

    def to_json(self) -> dict[str, Any]:
        """Everything: each sample, the medians, the ratios."""
        contenders = {
            name: {
                "objects": samples[0].objects,
                "rounds": len(samples),
                "median": self.medians(name),
                "engine_over_this": self.ratios(name),
                "wall_s": [sample.wall_s for sample in samples],
                "cpu_s": [sample.cpu_s for sample in samples],
            }
            for name, samples in self.samples.items()
        }
        case = self.case
        return {
            "title": case.title,
            "workload": case.workload.name,
            "threads": case.threads,
            "delay_ms": case.delay_ms,
            "contenders": contenders,
            "failures": self.failures,
        }


@dataclass(slots=True, kw_only=True)
class Report:
    """All cases of one run of the tool. Written again after each case, so that an interrupted run leaves its results so far."""

    command: str
    rounds: int
    part_size_bytes: int
    servers: str = ""
    results: list[Result] = field(default_factory=list)

    def write(self, json_path: Path, docs_path: Path | None) -> None:
        """Everything as JSON, and the tables as a document, in which sections of what was not measured stay."""
        document = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg(),
            "command": self.command,
            "servers": self.servers,
            "rounds": self.rounds,
            "part_size_bytes": self.part_size_bytes,
            "cases": [result.to_json() for result in self.results],
        }
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(document, indent=1) + "\n")
        if docs_path is not None:
            before = docs_path.read_text() if docs_path.exists() else ""
            docs_path.write_text(self.markdown(before))

    def markdown(self, before: str = "") -> str:
        """One section a case, in place of that of the same title in the document `before`."""
        sections = {result.case.title: "\n".join([self._made(result), "", *_table(result)]) for result in self.results}
        last = [result for result in self.results if result.case.delay_ms][-1:]
        if latency := _latency(self.results):
            sections[last[0].case.title] += f"\n\n{latency}"
        return with_sections(before, sections, head=HEAD + NOTES)

    def _made(self, result: Result) -> str:
        """When and on what."""
        return (
            f"{result.at:%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()}), load"
            f" average {result.load_average:.1f} over 5 minutes. {result.servers}. {self.rounds} rounds, parts of"
            f" {self.part_size_bytes // MIB} MiB."
        )


def _table(result: Result) -> list[str]:
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    for name, samples in result.samples.items():
        found, ratios = result.medians(name), result.ratios(name)
        shown = [
            f"{samples[0].objects:,}",
            f"{found['objects_per_s']:,.1f}" if found["objects_per_s"] < 100 else f"{found['objects_per_s']:,.0f}",
            f"{found['mib_per_s']:,.1f}" if found["mib_per_s"] < 100 else f"{found['mib_per_s']:,.0f}",
            f"{found['cpu_us_per_object']:,.0f}",
            f"{found['cpu_s_per_gib']:,.2f}",
            f"{found['peak_rss_bytes'] / MIB:,.0f}",
            f"{found['servers_cpu_share']:.2f}",
            *([""] * 3 if name == ENGINE or not ratios else _shown(ratios)),
        ]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    lines += [f"\n{name} failed: {text.splitlines()[-1][:300]}" for name, text in result.failures.items()]
    if ENGINE in result.samples:
        lines += ["", _phases(result)]
    return lines


def _shown(ratios: dict[str, float]) -> list[str]:
    return [f"{ratios[name]:.2f}×" for name in ("objects_per_s", "cpu_us_per_object", "peak_rss_bytes")]


def _phases(result: Result) -> str:
    samples, found = result.samples[ENGINE], result.medians(ENGINE)
    wall_s = median(sample.wall_s for sample in samples)
    text = (
        f"The engine's {wall_s:.2f} s are from the first pull to the last ack; its last object was done after"
        f" {found['copied_s']:.2f} s. Listing and publishing before that took {found['list_wall_s']:.2f} s and"
        f" {found['list_cpu_s']:.2f} s of CPU."
    )
    bare = result.samples.get(BARE)
    if bare:
        text += f" Without queue and ledger the same copy takes {median(item.wall_s for item in bare):.2f} s."
    return text


def _latency(results: Sequence[Result]) -> str:
    """What threads pay where every request waits, the wait for the last ack left out: it is the same for any number."""
    rates = {
        item.case.threads: item.samples[ENGINE][0].objects / item.medians(ENGINE)["copied_s"]
        for item in results
        if item.case.delay_ms and ENGINE in item.samples
    }
    if len(rates) < 2:
        return ""
    low, high = min(rates), max(rates)
    return (
        f"With latency, from the first pull to the last object, {high} threads make {rates[high]:,.0f} objects/s:"
        f" {rates[high] / rates[low]:.1f} times the rate of {low}, {rates[low]:,.1f}."
    )
