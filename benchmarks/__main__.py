"""The engine beside its peers on the same servers, interleaved, medians of several rounds.

Without more, fast servers are started on loopback. With AWS_ENDPOINT_URL_S3, STORAGE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST in
the environment those are used, and the edge of EDGE_URL (public) or of the connection AIRFLOW_CONN_CLOUDFRONT_DEFAULT (signed or
public); with the buckets EDGEHAUL_BENCH_SOURCE and EDGEHAUL_BENCH_DESTINATION: what is missing in the first is uploaded, and
what is copied to the second stays there.

All of it takes long. In pieces: --show lists the tables, --only makes some of them, and --write-docs replaces only the
sections of what was measured.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.document import DOCUMENT
from benchmarks.measure import REPOSITORY, PeerFailed
from benchmarks.plan import Case, cases
from benchmarks.populate import populate
from benchmarks.runs import CONTENDERS, Sample, run_once
from benchmarks.servers import Endpoints, delayed, fast_servers, given_endpoints
from benchmarks.table import Report, Result
from benchmarks.workloads import FULL, MIB, QUICK, Workload

DEFAULT_PEERS = [name for name in CONTENDERS if not name.startswith("engine")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases of the command line; returns 0 when every contender succeeded."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and files are cleared away
    known = QUICK if options.quick else FULL
    workloads = [known[name] for name in options.workload or known]
    rounds = options.rounds or (3 if options.quick else 5)
    part_size_bytes = options.part_mib * MIB
    planned = cases(workloads, options.threads, options.peers, is_quick=options.quick)
    planned = [case for case in planned if any(text in case.title for text in options.only)]
    if options.show:
        print(*(case.title for case in planned), sep="\n")
        return 0
    given = given_endpoints(os.environ, options.edge)
    if given is not None and not given.can_be_delayed:
        planned = [case for case in planned if not case.delay_ms]
    workloads = [known[name] for name in known if name in {case.workload.name.partition("-")[0] for case in planned}]
    command = shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if arguments is None else arguments)])
    report = Report(command=command, rounds=rounds, part_size_bytes=part_size_bytes)

    def add(case: Case, endpoints: Endpoints) -> None:
        report.results.append(_run_case(case, endpoints, rounds, part_size_bytes))
        report.write(options.json, DOCUMENT if options.write_docs else None)

    with _servers(workloads, given, is_faithful=False) as endpoints:
        report.servers = endpoints.description
        if given is not None:
            shares = {case.share_of(name) for case in planned for name in case.contenders if not case.is_faithful}
            populate(endpoints, sorted(shares, key=lambda share: share.name))
        print(f"servers: {endpoints.description}", flush=True)
        for case in planned:
            if not case.is_faithful:
                add(case, endpoints)
    for case in planned:
        if case.is_faithful and given is None:
            with _servers([known[case.workload.name.partition("-")[0]]], None, is_faithful=True) as own:
                add(case, own)
    print(f"\n{report.markdown()}\nall samples: {options.json}")
    return 1 if any(result.failures for result in report.results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", nargs="+", choices=list(FULL), help="default: all")
    parser.add_argument("--threads", nargs="+", type=int, help="default: those that show the most")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 3")
    parser.add_argument("--peers", nargs="*", choices=DEFAULT_PEERS, default=DEFAULT_PEERS, help="default: all")
    parser.add_argument("--part-mib", type=int, default=32, help="TransferConfig.part_size_bytes; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller objects, one number of threads")
    parser.add_argument("--edge", metavar="URL", help="what a key is appended to; also EDGE_URL")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="only tables with one of these in the title"
    )
    parser.add_argument("--show", action="store_true", help="list the tables, and measure nothing")
    parser.add_argument("--write-docs", action="store_true", help="write what is measured into docs/benchmarks.md")
    parser.add_argument("--json", type=Path, default=REPOSITORY / ".local" / "bench.json", help="default: %(default)s")
    return parser


@contextmanager
def _servers(workloads: Sequence[Workload], given: Endpoints | None, *, is_faithful: bool) -> Iterator[Endpoints]:
    """The given servers, else fast ones."""
    if given is not None:
        yield given
        return
    with fast_servers(workloads, is_faithful=is_faithful) as endpoints:
        yield endpoints


def _run_case(case: Case, endpoints: Endpoints, rounds: int, part_size_bytes: int) -> Result:
    """Every contender in turn, round after round; one that fails is left out of the rounds that follow."""
    print(f"\n{case.title}", flush=True)
    samples: dict[str, list[Sample]] = {name: [] for name in case.contenders}
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        if case.delay_ms:
            endpoints = stack.enter_context(delayed(endpoints, case.delay_ms))
        for number in range(1, rounds + 1):
            for name in case.contenders:
                if name in failures:
                    continue
                try:
                    sample = run_once(
                        name,
                        case.share_of(name),
                        endpoints,
                        threads=case.threads,
                        part_size_bytes=part_size_bytes,
                    )
                except PeerFailed as error:
                    failures[name] = str(error)
                    print(f"  {name} failed: {error}", flush=True)
                    continue
                samples[name].append(sample)
                print(f"  round {number}  {name:20} {sample_line(sample)}", flush=True)
    return Result(case, {name: taken for name, taken in samples.items() if taken}, failures, endpoints.description)


def sample_line(sample: Sample) -> str:
    """One sample as a line of text."""
    return (
        f"{sample.objects_per_s:10,.1f} objects/s {sample.mib_per_s:9,.1f} MiB/s"
        f" {sample.cpu_us_per_object:10,.0f} µs/object {sample.cpu_s_per_gib:8,.2f} s/GiB"
        f" {sample.peak_rss_bytes / MIB:6,.0f} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
