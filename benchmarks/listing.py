"""Listing a bucket: the engine beside boto3's paginator, `rclone lsf` and `s5cmd ls`, on the same server, interleaved.

`python -m benchmarks.listing [--write-docs]`. The server keeps its pages; every client gets the same bytes.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks.document import DOCUMENT, with_sections
from benchmarks.listing_server import BUCKET
from benchmarks.measure import REPOSITORY, PeerFailed, run_module, run_program, servers_cpu_s
from benchmarks.servers import Processes

ENGINE, BOTO3, RCLONE, S5CMD = "engine", "boto3 paginator", "rclone lsf", "s5cmd ls"
CONTENDERS = (ENGINE, BOTO3, RCLONE, S5CMD)
BOTO3_SHARE = 4
"""boto3 lists fewer keys, because it takes as long as all others together."""
LATENCY_MS = 20.0
TIMEOUT_S = 600.0
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
NOTES = """
A thousand keys of 62 characters are 370 KB of XML: listing is mostly parsing. `keys/s` is by the clock, `keys/s of CPU` counts
the client's user and system time. engine is `list_objects`, to the last `ObjectMeta`; boto3 is its paginator over
`list_objects_v2`, on a part of the bucket; their imports are not counted. rclone (`lsf -R --fast-list`) and s5cmd are programs,
from start to end. The last column is the engine's rate of CPU over that contender's.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One listing by one contender."""

    keys: int
    wall_s: float
    cpu_s: float
    peak_rss_bytes: float
    servers_cpu_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the section if asked."""
    parser = argparse.ArgumentParser(prog="benchmarks.listing", description=__doc__)
    parser.add_argument("--keys", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--write-docs", action="store_true", help="write the section of docs/benchmarks.md")
    options = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "benchmarks.listing", *(sys.argv[1:] if arguments is None else arguments)])
    tables = []
    for latency_ms, keys in ((0.0, options.keys), (LATENCY_MS, options.keys // 2)):
        with server(keys, latency_ms) as (url, pids):
            samples = measure(url, pids, keys, options.rounds)
        latency = f", {latency_ms:g} ms of latency before each answer" if latency_ms else ""
        tables += [f"### {keys:,} keys{latency}", "", *table(samples), ""]
    text = "\n".join(
        [
            f"Written by `{command}` on {datetime.now(UTC):%Y-%m-%d}, on a machine with {os.cpu_count()} cores"
            f" ({platform.machine()}, Python {platform.python_version()}), whose load average was {os.getloadavg()[2]:.1f} over"
            f" the last 15 minutes. Medians of {options.rounds} rounds, contenders interleaved.",
            NOTES,
            *tables,
        ]
    )
    print(f"\n{text}")
    if options.write_docs:
        DOCUMENT.write_text(with_sections(DOCUMENT.read_text(), {"Listing": text}))
    return 0


@contextmanager
def server(keys: int, latency_ms: float) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A bucket of `keys` keys, and the processes that serve it."""
    processes = Processes()
    try:
        url = processes.module("benchmarks.listing_server", "--count", str(keys))
        if latency_ms:
            port = str(urlsplit(url).port)
            url = processes.module("benchmarks.delay", "--to-port", port, "--delay-ms", str(latency_ms))
        run_client(ENGINE, url, keys)  # the pages are made now, and not while somebody is measured
        yield url, processes.pids
    finally:
        processes.stop()


def measure(url: str, pids: Sequence[int], keys: int, rounds: int) -> dict[str, list[Sample]]:
    """Every contender in turn, round after round. Raises PeerFailed."""
    samples: dict[str, list[Sample]] = {name: [] for name in CONTENDERS}
    for number in range(1, rounds + 1):
        for name, taken in samples.items():
            share = keys // BOTO3_SHARE if name == BOTO3 else keys
            servers_s = servers_cpu_s(pids)
            numbers = run_client(name, url, share) if name in (ENGINE, BOTO3) else run_lister(name, url, share)
            sample = Sample(keys=share, servers_cpu_s=servers_cpu_s(pids) - servers_s, **numbers)
            taken.append(sample)
            print(
                f"  round {number}  {name:16} {share / sample.wall_s:10,.0f} keys/s {share / sample.cpu_s:10,.0f} of CPU"
            )
    return samples


def run_client(name: str, url: str, keys: int) -> dict[str, float]:
    """The engine or boto3."""
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": f"{REPOSITORY}/plugins:{REPOSITORY}"}
    task = {"client": name, "url": url, "keys": keys}
    numbers = run_module("benchmarks.listing_clients", task, environment, TIMEOUT_S)
    return {key: numbers[key] for key in ("wall_s", "cpu_s", "peak_rss_bytes")}


def run_lister(name: str, url: str, keys: int) -> dict[str, float]:
    """A program that prints a line for each key. Raises PeerFailed unless it prints all."""
    with tempfile.TemporaryFile(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as output:  # noqa: S108
        usage = run_program(lister_command(name, url), os.environ | ENVIRONMENT, output)
        output.seek(0)
        printed = sum(1 for _ in output)
    if printed != keys:
        raise PeerFailed(f"{name} listed {printed} of {keys} keys")
    return usage.to_json()


def lister_command(name: str, url: str) -> list[str]:
    """As a careful user would call it: the whole bucket in as few requests as there are."""
    program = name.partition(" ")[0]
    beside = Path(sys.executable).with_name(program)
    command = [str(beside) if beside.exists() else shutil.which(program) or program]
    if name == S5CMD:
        return [*command, "--endpoint-url", url, "ls", f"s3://{BUCKET}/*"]
    command += ["lsf", "-R", "--files-only", "--fast-list", f":s3:{BUCKET}", "--config", ""]
    command += ["--s3-provider", "Other", "--s3-endpoint", url, "--s3-list-version", "2", "--s3-env-auth"]
    return command


def table(samples: dict[str, list[Sample]]) -> list[str]:
    """Medians as Markdown."""
    lines = [
        "|  | keys | keys/s | keys/s of CPU | CPU µs/key | peak RSS MiB | servers' CPU | rate of CPU |",
        "|---|" + "---:|" * 7,
    ]
    rates = {name: median(each.keys / each.cpu_s for each in taken) for name, taken in samples.items()}
    for name, taken in samples.items():
        shown = [
            f"{taken[0].keys:,}",
            f"{median(each.keys / each.wall_s for each in taken):,.0f}",
            f"{rates[name]:,.0f}",
            f"{1e6 / rates[name]:,.1f}",
            f"{median(each.peak_rss_bytes for each in taken) / 1024**2:,.0f}",
            f"{median(each.servers_cpu_s / each.wall_s for each in taken):.2f}",
            "" if name == ENGINE else f"{rates[ENGINE] / rates[name]:.1f}×",
        ]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
