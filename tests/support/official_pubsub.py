"""Starts Google's own Pub/Sub emulator where the Google Cloud CLI and Java are installed.

The jar is run directly: the CLI's wrapper leaves Java behind when it is stopped.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


@cache
def official_pubsub_jar() -> Path | None:
    """The emulator's jar under the CLI's root, or None."""
    command = shutil.which("gcloud")
    if command is None:
        return None
    root = Path(command).resolve().parent.parent
    jars = sorted(root.glob("platform/pubsub-emulator/lib/*pubsub*.jar"))
    return jars[-1] if jars else None


def why_unavailable() -> str | None:
    """Why the emulator cannot be started here, or None if it can."""
    if shutil.which("java") is None:
        return "the official Pub/Sub emulator needs java on the PATH"
    if official_pubsub_jar() is None:
        return "the official Pub/Sub emulator is not installed (gcloud components install pubsub-emulator)"
    return None


@contextlib.contextmanager
def official_pubsub() -> Iterator[str]:
    """The `host:port` of a fresh emulator, for `PUBSUB_EMULATOR_HOST`. Raises RuntimeError if it does not start."""
    jar = official_pubsub_jar()
    java = shutil.which("java")
    if jar is None or java is None:
        raise RuntimeError(why_unavailable())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [java, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_open(process, port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    abort_upload = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < abort_upload:
        if process.poll() is not None:
            raise RuntimeError(f"the official Pub/Sub emulator ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("the official Pub/Sub emulator did not open its port in time")
