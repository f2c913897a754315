"""The servers of a benchmark: those that the environment names, else fast ones started here on loopback and tmpfs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.measure import REPOSITORY
from benchmarks.source import Content
from benchmarks.workloads import BUCKET, DESTINATION, Workload, part_hashes, write_content
from transfer.backends.cloudfront.signing import PublicUrls, UrlAuthorizer

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
EDGE_CONNECTION = "AIRFLOW_CONN_CLOUDFRONT_DEFAULT"

NGINX = """
worker_processes {workers};
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on; tcp_nopush on; tcp_nodelay on; etag off; default_type application/octet-stream;
  keepalive_requests 1000000000; keepalive_timeout 600s;
  open_file_cache max=100;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port} backlog=512;
    {locations}
    location = /{bucket} {{ proxy_pass {listing_url}; }}
    location = /{bucket}/ {{ proxy_pass {listing_url}; }}
    # boto3 sends If-Match with ranges, and nginx compares that with the ETag that it computes itself: no file here ever changes.
    location @unconditional {{
      proxy_pass http://127.0.0.1:{port}; proxy_set_header If-Match ""; proxy_http_version 1.1; proxy_buffering off;
    }}
    location / {{ return 404; }}
  }}
}}
"""
NGINX_LOCATION = """
    location ~ ^/{bucket}/{name}(-[0-9]+)?/ {{
      error_page 418 = @unconditional;
      if ($http_if_match) {{ return 418; }}
      alias {path}; add_header ETag '"{etag}"';
    }}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where everything is. `edge_url` is what a key is appended to; the others as their environment variables say."""

    s3_url: str
    edge_url: str
    gcs_url: str
    pubsub_host: str
    description: str
    pids: tuple[int, ...] = ()
    """The servers started here, for their CPU time."""
    authorizer: UrlAuthorizer = field(default_factory=PublicUrls)
    """What the edge lets its readers in by."""
    has_counting_sink: bool = False
    source_bucket: str = BUCKET
    destination_bucket: str = DESTINATION

    @property
    def can_be_delayed(self) -> bool:
        """Whether something can be put in front of the edge: on this machine, and no signature names its address."""
        edge = urlsplit(self.edge_url)
        return (
            edge.hostname in ("127.0.0.1", "localhost") and bool(edge.port) and isinstance(self.authorizer, PublicUrls)
        )


class Processes:
    """Server processes that end with the benchmark."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Their ids."""
        return tuple(process.pid for process in self._running)

    def module(self, name: str, *arguments: str) -> str:
        """Start `python -m name` and return the URL of its ready line."""
        process = self.start([sys.executable, "-m", name, *arguments], stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} did not start")
        url: str = json.loads(line)["url"]
        return url

    def start(self, command: Sequence[str], stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a program."""
        # With the parent pipe, Python servers end when the benchmark does, however it does.
        environment = os.environ | {
            "PYTHONPATH": f"{REPOSITORY}/plugins:{REPOSITORY}",
            "LOCALCLOUD_PARENT_PIPE": "1",
        }
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, env=environment, cwd=REPOSITORY, text=True
        )
        self._running.append(process)
        return process

    def stop(self) -> None:
        """Stop all."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def given_endpoints(environment: Mapping[str, str], edge_url: str | None) -> Endpoints | None:
    """The servers the environment names, if it names any. Raises ValueError when it names only some."""
    names = ("AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
    values = [environment.get(name, "") for name in names]
    edge = edge_url or environment.get("EDGE_URL", "")
    authorizer: UrlAuthorizer = PublicUrls()
    if not any((*values, edge)):
        return None
    if not edge and EDGE_CONNECTION in environment:
        edge, authorizer = _connected_edge()
    if not all((*values, edge)):
        raise ValueError(
            f"set all of {', '.join(names)} and one of EDGE_URL (or --edge) and {EDGE_CONNECTION}, or none of them"
        )
    return Endpoints(
        s3_url=values[0].rstrip("/"),
        edge_url=edge.rstrip("/"),
        gcs_url=values[1].rstrip("/"),
        pubsub_host=values[2],
        description="the servers named in the environment",
        authorizer=authorizer,
        source_bucket=environment.get("EDGEHAUL_BENCH_SOURCE", BUCKET),
        destination_bucket=environment.get("EDGEHAUL_BENCH_DESTINATION", DESTINATION),
    )


def _connected_edge() -> tuple[str, UrlAuthorizer]:
    """Where the connection `cloudfront_default` leads, and its signature: as in the pipeline."""
    os.environ.setdefault("AIRFLOW_HOME", str(REPOSITORY / ".local" / "bench-airflow"))
    from hooks.cloudfront import CloudfrontHook  # Airflow takes seconds to import

    hook = CloudfrontHook()
    return hook.base_url, hook.get_signer()


@contextlib.contextmanager
def fast_servers(workloads: Sequence[Workload], *, is_faithful: bool = False) -> Iterator[Endpoints]:
    """Source, edge, sink and Pub/Sub on loopback; `is_faithful` puts the local cloud's Cloud Storage in the sink's place."""
    memory = Path("/dev/shm")  # noqa: S108 - tmpfs where there is one; the folder made in it has a random name
    folder = Path(tempfile.mkdtemp(prefix="edgehaul-bench-", dir=memory if os.access(memory, os.W_OK) else None))
    processes = Processes()
    try:
        contents = [_content(folder, workload) for workload in workloads]
        spec = json.dumps([content.to_spec() for content in contents])
        source_url = processes.module("benchmarks.source", "--spec", spec)
        edge_url, edge = _static_edge(processes, folder, contents, source_url)
        if is_faithful:
            data = ["--data", str(folder / "gcs"), "--bucket", DESTINATION]
            gcs_url, sink = processes.module("localcloud.gcs", *data), "localcloud.gcs on tmpfs"
        else:
            hashes = folder / "hashes.json"
            hashes.write_text(
                json.dumps({crc: md5 for item in contents for crc, md5 in part_hashes(item.path).items()})
            )
            gcs_url, sink = processes.module("benchmarks.sink", "--hashes", str(hashes)), "discarding sink with CRC32C"
        yield Endpoints(
            s3_url=edge_url,
            edge_url=f"{edge_url}/{BUCKET}",
            gcs_url=gcs_url,
            pubsub_host=processes.module("localcloud.pubsub"),
            description=f"{edge}; {sink}; localcloud.pubsub",
            pids=processes.pids,
            has_counting_sink=not is_faithful,
        )
    finally:
        processes.stop()
        shutil.rmtree(folder)


@contextlib.contextmanager
def delayed(endpoints: Endpoints, delay_ms: float) -> Iterator[Endpoints]:
    """The servers with additional latency in front of the edge and S3."""
    processes = Processes()
    parts = urlsplit(endpoints.edge_url)
    try:
        arguments = ["--to-port", str(parts.port), "--delay-ms", str(delay_ms)]
        url = processes.module("benchmarks.delay", *arguments)
        yield replace(
            endpoints,
            edge_url=url + parts.path,
            s3_url=url if endpoints.s3_url.endswith(parts.netloc) else endpoints.s3_url,
            pids=endpoints.pids + processes.pids,
        )
    finally:
        processes.stop()


def _content(folder: Path, workload: Workload) -> Content:
    path = folder / workload.name
    return Content(workload, path, write_content(path, workload.size_bytes))


def _static_edge(processes: Processes, folder: Path, contents: Sequence[Content], source_url: str) -> tuple[str, str]:
    """nginx in front of the source server where it is installed, else the source server itself."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        return source_url, "source and edge of benchmarks.source"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    locations = [
        NGINX_LOCATION.format(bucket=BUCKET, name=item.workload.name, path=item.path, etag=item.etag)
        for item in contents
    ]
    configuration = NGINX.format(
        workers=os.cpu_count(),
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        port=port,
        bucket=BUCKET,
        locations="".join(locations),
        listing_url=source_url,
    )
    (folder / "nginx.conf").write_text(configuration)
    processes.start([nginx, "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"])
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}/{BUCKET}?list-type=2")
    return url, "nginx on tmpfs as source and edge"


def wait_for(url: str) -> None:
    """Return when the server answers; raises OSError when it does not in time."""
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url):  # noqa: S310 - loopback
                return
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)
