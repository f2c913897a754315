"""The server: a thread a connection, faults by plan, and counts of its answers.

Control path, on every server: `GET|PUT|DELETE /_localcloud/faults` (see faults.py) and `GET|DELETE
/_localcloud/requests`, a count of answers by `kind status`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable

from localcloud.faults import FaultPlan
from localcloud.http1.connection import Connection, ConnectionBroken
from localcloud.http1.exchange import Exchange
from localcloud.lifecycle import require_loopback

IDLE_TIMEOUT_S = 75.0


class HttpServer:
    """Serves `handler(exchange)` on loopback, a thread a connection. The handler must send exactly one answer."""

    def __init__(
        self,
        handler: Callable[[Exchange], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: FaultPlan | None = None,
        name: str = "http",
    ) -> None:
        self.faults = faults or FaultPlan()
        self._handler = handler
        self._name = name
        self._counts: Counter[str] = Counter()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((require_loopback(host), port), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._accept, name=f"{name}-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept; the socket has listened since the constructor."""
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `kind status`; a broken-off one counts as `kind broken`."""
        with self._lock:
            return dict(self._counts)

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock, address[0]), name=self._name, daemon=True).start()

    def _serve(self, sock: socket.socket, peer: str) -> None:
        connection = Connection(sock, peer)
        try:
            sock.settimeout(IDLE_TIMEOUT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (head := connection.read_head()) is not None and self._answer(connection, head):
                pass
        except (ConnectionBroken, OSError):
            pass  # the peer is gone or was disconnected, so nobody can get an answer
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _answer(self, connection: Connection, head: bytes) -> bool:
        lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, version = lines[0].split(" ", 2)
        except ValueError as error:
            raise ConnectionBroken from error
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        exchange = Exchange(connection, method, target, headers)
        if target.startswith("/_localcloud/"):
            self._control(exchange)
        else:
            self._answer_with_faults(connection, exchange)
        exchange.drain()
        return version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"

    def _answer_with_faults(self, connection: Connection, exchange: Exchange) -> None:
        exchange.on_status = self._count
        exchange.fault = fault = self.faults.decide(f"{exchange.method} {exchange.target}")
        try:
            if fault is not None and fault.action == "status":
                exchange.drain()
                exchange.fault = None
                exchange.send(fault.status, fault.headers.items(), fault.body.encode())
                return
            if fault is not None and fault.action == "reset" and not fault.at_byte:
                connection.break_off()
            if fault is not None and fault.action == "delay":
                self.faults.delay(fault)
                exchange.fault = None
            self._handler(exchange)
            if fault is not None and "content-length" in map(str.lower, fault.headers):
                raise ConnectionBroken  # the peer cannot know where this answer ends
        finally:
            if exchange.status is None:
                self._count(exchange)

    def _count(self, exchange: Exchange) -> None:
        with self._lock:
            self._counts[f"{exchange.kind} {exchange.status or 'broken'}"] += 1

    def _control(self, exchange: Exchange) -> None:
        body = exchange.read_body()
        if exchange.path == "/_localcloud/faults":
            if exchange.method == "PUT":
                try:
                    self.faults.load_json(body)
                except (ValueError, TypeError) as error:
                    exchange.send_json(400, {"error": str(error)})
                    return
            elif exchange.method == "DELETE":
                self.faults.replace([])
            exchange.send(200, [("Content-Type", "application/json")], self.faults.to_json().encode())
        elif exchange.path == "/_localcloud/requests":
            answer = self.requests()
            if exchange.method == "DELETE":
                with self._lock:
                    self._counts.clear()
            exchange.send_json(200, answer)
        else:
            exchange.send_json(404, {"error": "control paths are /_localcloud/faults and /_localcloud/requests"})
