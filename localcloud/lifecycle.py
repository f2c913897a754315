"""What every local server shares: loopback only, one ready line on stdout, stop on SIGTERM or when the parent goes."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import threading
from typing import Protocol


class Server(Protocol):
    """A service of the local cloud. `start` returns once it listens; `stop` returns once its threads have ended."""

    url: str

    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102


def require_loopback(host: str) -> str:
    """The host itself. Raises ValueError unless it is a loopback address: these servers know no authentication."""
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"the local cloud binds loopback only, not {host}: use 127.0.0.1")
    return host


def serve_until_stopped(name: str, server: Server, **ready: str) -> None:
    """Start the server, print one JSON line `{"service": …, "url": …}`, wait for SIGTERM, SIGINT or the parent's end.

    With `LOCALCLOUD_PARENT_PIPE=1` in the environment, end of file on stdin means that the parent has gone.
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server.start()
    print(json.dumps({"service": name, "url": server.url, **ready}), flush=True)
    if os.environ.get("LOCALCLOUD_PARENT_PIPE") == "1":

        def watch_parent() -> None:
            while os.read(0, 4096):  # not sys.stdin: its lock, held here at exit, would abort the interpreter
                pass
            stopped.set()

        threading.Thread(target=watch_parent, name="parent-watch", daemon=True).start()
    while not stopped.wait(1.0):
        pass
    server.stop()
