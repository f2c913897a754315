"""HTTP/1.1 beside HTTP/2 as libcurl speaks them: many lanes over one CurlMulti in one thread, as the engine drives them.

`python -m benchmarks.http_versions [--quick]` starts nginx with TLS on loopback, lets every variant do the same in turn, round
after round, and prints a Markdown table. Options and loop are those of `transfer.backends.http.client` and `driving`, written out
here so that the engine's own choice of version does not decide what is measured.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pycurl

from benchmarks.measure import Meter, PeerFailed
from benchmarks.servers import Processes
from benchmarks.tls_servers import REQUESTS_PER_CONNECTION, TlsServers, tls_servers
from benchmarks.workloads import MIB

SMALL_BYTES = 4096
PIECE_BYTES = 512 * 1024
"""`BUFFERSIZE` and `UPLOAD_BUFFERSIZE`, as the engine streams."""
DELAY_MS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to speak: options of each handle and of the CurlMulti on top of the engine's."""

    name: str
    options: tuple[tuple[int, int], ...] = ()
    multi_options: tuple[tuple[int, int], ...] = ()
    version: int = pycurl.CURL_HTTP_VERSION_2_0
    """What the server must have agreed to."""


VARIANTS = (
    Variant(
        name="1.1",
        options=((pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),),
        version=pycurl.CURL_HTTP_VERSION_1_1,
    ),
    Variant(name="2, libcurl's defaults"),
    Variant(name="2, PIPEWAIT", options=((pycurl.PIPEWAIT, 1),)),
    Variant(name="2, not multiplexed", multi_options=((pycurl.M_PIPELINING, pycurl.PIPE_NOTHING),)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What every variant does in turn."""

    method: str
    lanes: int
    requests: int
    size_bytes: int = SMALL_BYTES
    delay_ms: float = 0.0
    is_streamed_on: bool = False
    """Whether the server reads the body piece by piece (HTTP/2: through its window) and not all at once."""
    is_closing: bool = False
    """Whether the server ends connections after a number of requests."""

    @property
    def is_large(self) -> bool:
        """Measured in bytes, not in requests."""
        return self.size_bytes >= MIB

    def __str__(self) -> str:
        size = f"{self.size_bytes // MIB} MiB" if self.is_large else f"{self.size_bytes // 1024} KiB"
        notes = [f"{self.delay_ms:.0f} ms"] * bool(self.delay_ms) + ["windows of 1 MiB"] * self.is_streamed_on
        notes += [f"{REQUESTS_PER_CONNECTION:,} requests a connection"] * self.is_closing
        return f"{self.method} {size}, {self.lanes} lane{'s' * (self.lanes > 1)}" + "".join(
            f", {note}" for note in notes
        )


def cases(*, is_quick: bool) -> list[Case]:
    """Small and large objects, both ways, near and far."""
    few, large = (4, 32 * MIB) if is_quick else (1, 256 * MIB)
    found = [Case(method=method, lanes=n, requests=24_000 // few) for method in ("GET", "PUT") for n in (16, 64)]
    found += [Case(method="GET", lanes=n, requests=max(4, n), size_bytes=large) for n in (1, 8)]
    found += [Case(method="PUT", lanes=n, requests=max(4, n) * 2, size_bytes=large // 2) for n in (1, 8)]
    found += [Case(method="GET", lanes=n, requests=50 * n // few, delay_ms=DELAY_MS) for n in (1, 16, 64)]
    found += [Case(method="GET", lanes=n, requests=2 * n, size_bytes=large // n, delay_ms=DELAY_MS) for n in (1, 8)]
    found += [
        Case(method="PUT", lanes=n, requests=2 * n, size_bytes=large // 4 // n, delay_ms=DELAY_MS, is_streamed_on=True)
        for n in (1, 8)
    ]
    found += [Case(method="GET", lanes=64, requests=24_000 // few, is_closing=True)]
    return [*found, Case(method="PUT", lanes=16, requests=3_000 // few, size_bytes=MIB, is_closing=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One variant's run of one case."""

    rate: float
    """Requests a second, or MiB a second."""
    cpu: float
    """CPU µs a request, or CPU seconds a GiB, of this process."""
    opening_cpu_ms: float
    """CPU of the lanes' first requests: of small ones, mostly TLS handshakes."""
    opened: int
    """Connections that the server accepted."""
    used: int
    """Connections that answers came over, after each lane's first."""
    failed: int
    """Requests that libcurl reported as failed; the engine would retry each after a pause."""


class Lanes:
    """Warm handles over one CurlMulti, each sending its next request when its last one is answered."""

    def __init__(self, case: Case, variant: Variant, base_url: str, ca_path: Path) -> None:
        self._case = case
        self._variant = variant
        self._body = memoryview(bytes(case.size_bytes if case.method == "PUT" else 0))
        self._multi = pycurl.CurlMulti()
        for option, value in variant.multi_options:
            self._multi.setopt(option, value)
        folder = "streamed/" if case.is_streamed_on else ""
        self._handles = [
            self._handle(ca_path, f"{base_url}/{folder}{f'{case.size_bytes}.bin' if case.method == 'GET' else number}")
            for number in range(case.lanes)
        ]
        self.local_ports: set[int] = set()
        """Of the connections in use since this was last emptied."""

    def _handle(self, ca_path: Path, url: str) -> Any:
        curl, case = pycurl.Curl(), self._case
        options: list[tuple[int, Any]] = [
            (pycurl.URL, url),
            (pycurl.PATH_AS_IS, 1),
            (pycurl.NOSIGNAL, 1),
            (pycurl.CAINFO, str(ca_path)),
            (pycurl.LOW_SPEED_LIMIT, 1),
            (pycurl.LOW_SPEED_TIME, 60),
            (pycurl.TCP_KEEPALIVE, 1),
            *self._variant.options,
        ]
        if case.is_large and case.method == "GET":
            options += [(pycurl.BUFFERSIZE, PIECE_BYTES)]
        elif case.is_large:
            options += [(pycurl.UPLOAD, 1), (pycurl.UPLOAD_BUFFERSIZE, PIECE_BYTES)]
        elif case.method == "PUT":
            options += [(pycurl.POSTFIELDS, bytes(self._body)), (pycurl.CUSTOMREQUEST, "PUT")]
        for option, value in options:
            curl.setopt(option, value)
        return curl

    def run(self, requests: int) -> int:
        """Send a number of requests, wait for all, and return how many failed. Raises PeerFailed for wrong answers."""
        idle = list(self._handles)
        left, in_flight, failures = requests, 0, 0
        while left or in_flight:
            while left and idle:
                left, in_flight = left - 1, in_flight + 1
                self._send(idle.pop())
            if self._multi.perform()[1] >= in_flight:
                if self._multi.select(0.25) < 0:
                    time.sleep(0.01)
                continue
            more = 1
            while more:
                more, succeeded, failed = self._multi.info_read()
                for curl in succeeded:
                    self._check(curl)
                ended = [*succeeded, *(curl for curl, _, _ in failed)]
                for curl in ended:
                    self._multi.remove_handle(curl)
                idle += ended
                left, in_flight, failures = left + len(failed), in_flight - len(ended), failures + len(failed)
                if failures > requests:
                    raise PeerFailed(f"{self._case}, {self._variant.name}: {failed[-1][1:]}")
        return failures

    def close(self) -> None:
        """Close handles and connections."""
        for curl in self._handles:
            curl.close()
        self._multi.close()

    def _send(self, curl: Any) -> None:
        header_lines: list[bytes] = []
        curl.setopt(pycurl.HTTPHEADER, ["Expect:"])
        curl.setopt(pycurl.HEADERFUNCTION, header_lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, len if self._case.is_large else io.BytesIO().write)
        if self._case.is_large and self._case.method == "PUT":
            curl.setopt(pycurl.READFUNCTION, _reader(self._body))
            curl.setopt(pycurl.INFILESIZE_LARGE, self._case.size_bytes)
        self._multi.add_handle(curl)

    def _check(self, curl: Any) -> None:
        self.local_ports.add(curl.getinfo(pycurl.LOCAL_PORT))
        status, version = curl.getinfo(pycurl.RESPONSE_CODE), curl.getinfo(pycurl.INFO_HTTP_VERSION)
        is_whole = self._case.method == "PUT" or curl.getinfo(pycurl.SIZE_DOWNLOAD_T) == self._case.size_bytes
        if status not in (200, 201, 204) or version != self._variant.version or not is_whole:
            raise PeerFailed(f"{self._case}, {self._variant.name}: status {status}, version {version}, {is_whole=}")


def _reader(body: memoryview) -> Callable[[int], bytes]:
    position = 0

    def read(limit: int) -> bytes:
        nonlocal position
        piece = bytes(body[position : position + limit])
        position += len(piece)
        return piece

    return read


def measure(case: Case, variant: Variant, servers: TlsServers, port: int) -> Sample:
    """One run: every lane opens and warms up with one request, and only what follows counts."""
    lanes = Lanes(case, variant, f"https://127.0.0.1:{port}", servers.folder / "certificate.pem")
    accepted = servers.accepted()
    try:
        meter = Meter()
        failed = lanes.run(case.lanes)
        opening = meter.stop()
        lanes.local_ports.clear()
        meter = Meter()
        failed += lanes.run(case.requests)
        usage = meter.stop()
    finally:
        lanes.close()
    units = case.requests * case.size_bytes / MIB if case.is_large else case.requests
    passed_on = case.requests + case.lanes if case.is_streamed_on else 0
    return Sample(
        rate=units / usage.wall_s,
        cpu=usage.cpu_s / units * (1024 if case.is_large else 1e6),
        opening_cpu_ms=opening.cpu_s * 1000,
        opened=servers.accepted() - accepted - 1 - passed_on,
        used=len(lanes.local_ports),
        failed=failed,
    )


def rows(case: Case, samples: dict[str, list[Sample]]) -> list[str]:
    """A line of the table for each variant; ratios are medians over the rounds, each against the same round's 1.1."""
    found = []
    for name, taken in samples.items():
        middle = {field: statistics.median(getattr(sample, field) for sample in taken) for field in FIELDS}
        pairs = list(zip(taken, samples[VARIANTS[0].name], strict=True))
        of_rate = statistics.median(sample.rate / base.rate for sample, base in pairs)
        of_cpu = statistics.median(sample.cpu / base.cpu for sample, base in pairs)
        rate_unit, cpu_unit, digits = ("MiB/s", "s/GiB", 2) if case.is_large else ("/s", "µs", 1)
        opening = "" if case.is_large else f"{middle['opening_cpu_ms']:,.0f} ms"
        found.append(
            f"| {case} | {name} | {middle['rate']:,.0f} {rate_unit} | {middle['cpu']:,.{digits}f} {cpu_unit}"
            f" | {opening} | {middle['opened']:.0f} | {middle['used']:.0f} | {middle['failed']:.0f}"
            f" | {of_rate:.2f}× | {of_cpu:.2f}× |"
        )
    return found


FIELDS = ("rate", "cpu", "opening_cpu_ms", "opened", "used", "failed")
HEAD = (
    "| case | HTTP | rate | CPU | CPU to open | opened | used | failed | rate ÷ 1.1's | CPU ÷ 1.1's |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.http_versions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller objects")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 1")
    parser.add_argument("--only", default="", metavar="TEXT", help="the cases whose name holds this")
    options = parser.parse_args(arguments)
    planned = [case for case in cases(is_quick=options.quick) if options.only in str(case)]
    print(f"{pycurl.version}\n\n{HEAD}", flush=True)
    with tls_servers([case.size_bytes for case in planned if case.method == "GET"]) as servers:
        for case in planned:
            processes = Processes()
            try:
                port = servers.closing_port if case.is_closing else servers.port
                if case.delay_ms:
                    url = processes.module("benchmarks.delay", "--to-port", str(port), "--delay-ms", str(case.delay_ms))
                    port = urlsplit(url).port or 0
                samples: dict[str, list[Sample]] = {variant.name: [] for variant in VARIANTS}
                for _ in range(options.rounds or (1 if options.quick else 5)):
                    for variant in VARIANTS:
                        samples[variant.name].append(measure(case, variant, servers, port))
            finally:
                processes.stop()
            print("\n".join(rows(case, samples)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
