"""nginx with TLS on loopback, for both versions of HTTP: files to get, room to put, and how many connections came."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import shutil
import socket
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.servers import Processes, wait_for
from benchmarks.workloads import write_content

REQUESTS_PER_CONNECTION = 1_000
"""nginx's default `keepalive_requests`: over HTTP/2 the server then says GOAWAY."""

NGINX = """
worker_processes 1;
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; root {folder}; default_type application/octet-stream; open_file_cache max=100;
  tcp_nopush on; tcp_nodelay on; etag off; output_buffers 2 512k; keepalive_timeout 600s;
  client_max_body_size 0; client_body_buffer_size 256k; client_body_temp_path {folder}/body; dav_methods PUT;
  http2_chunk_size 16k; http2_body_preread_size 1m;
  ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
  proxy_temp_path {folder}/t1; fastcgi_temp_path {folder}/t2; uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;
  server {{ listen 127.0.0.1:{port} ssl http2 backlog=512; keepalive_requests 1000000000;
    location /streamed/ {{  # a body is taken as it comes, through a window of 1 MiB
      proxy_pass http://127.0.0.1:{status_port}/; proxy_request_buffering off; proxy_http_version 1.1;
      client_body_buffer_size 1m;
    }}
  }}
  server {{ listen 127.0.0.1:{closing_port} ssl http2 backlog=512; keepalive_requests {requests_per_connection}; }}
  server {{ listen 127.0.0.1:{status_port}; location = /status {{ stub_status; }} }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsServers:
    """nginx with TLS, and the certificate that it signed itself."""

    folder: Path
    port: int
    closing_port: int
    status_port: int

    def accepted(self) -> int:
        """Connections accepted so far, without those that asked for this."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/status") as answer:
            return int(answer.read().split()[7])


@contextlib.contextmanager
def tls_servers(sizes_bytes: Sequence[int]) -> Iterator[TlsServers]:
    """nginx on loopback and tmpfs with a file of each size, until the end of the block."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        raise SystemExit("nginx with ssl and http_v2 is needed: apt-get install nginx-light")
    memory = Path("/dev/shm")  # noqa: S108 - tmpfs where there is one; the folder made in it has a random name
    folder = Path(tempfile.mkdtemp(prefix="edgehaul-http-", dir=memory if os.access(memory, os.W_OK) else None))
    processes = Processes()
    try:
        with contextlib.ExitStack() as stack:
            taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
            port, closing_port, status_port = (item.getsockname()[1] for item in taken)
        servers = TlsServers(folder=folder, port=port, closing_port=closing_port, status_port=status_port)
        _certify(folder)
        for size_bytes in set(sizes_bytes):
            write_content(folder / f"{size_bytes}.bin", size_bytes)
        configuration = NGINX.format(
            folder=folder,
            user="user root;" if os.geteuid() == 0 else "",
            port=port,
            closing_port=closing_port,
            status_port=status_port,
            requests_per_connection=REQUESTS_PER_CONNECTION,
        )
        (folder / "nginx.conf").write_text(configuration)
        processes.start([nginx, "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"])
        wait_for(f"http://127.0.0.1:{status_port}/status")
        yield servers
    finally:
        processes.stop()
        shutil.rmtree(folder)


def _certify(folder: Path) -> None:
    """A key and a certificate for 127.0.0.1 that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edgehaul benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
