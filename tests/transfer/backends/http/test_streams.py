"""Answers that come drop by drop end; what is held back here on purpose does not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from transfer.backends.http.client import CurlClient
from transfer.backends.http.loop import CurlLoop
from transfer.backends.http.streams import Download
from transfer.config import Timeouts
from transfer.errors import SourceUnavailable, Stage
from transfer.steps import Pause, Step

MIB = 1024 * 1024


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answers one connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        thread.join()


def head(count: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count


def drip(connection: socket.socket) -> None:
    connection.sendall(head(100_000))
    for _ in range(150):
        connection.sendall(b"drop!")
        time.sleep(0.1)


def client() -> CurlClient:
    return CurlClient(unavailable=SourceUnavailable, stage=Stage.DOWNLOAD, timeouts=Timeouts(connect_s=2, stall_s=1))


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_drip_is_broken_off(is_stream: bool) -> None:
    curl = client()
    caught: list[SourceUnavailable] = []

    def lane(url: str) -> Step[None]:
        try:
            if is_stream:
                stream = yield from curl.open(url)
                while not stream.is_over:
                    stream.take(MIB)
                    yield Pause(0.01)
                stream.close()
                raise stream.error()
            yield from curl.request("GET", url, max_body_bytes=MIB)
        except SourceUnavailable as error:
            caught.append(error)

    began = time.monotonic()
    with server(drip) as url:
        CurlLoop(threading.Event()).run([lane(url)])
        curl.close()
    assert caught[0].is_timeout
    assert time.monotonic() - began < 20


def test_a_stream_that_waits_for_us_is_no_drip() -> None:
    """Three times as long as a transfer may stall, with more to come than there is room for."""
    curl, taken = client(), 0
    body = b"x" * (8 * MIB)

    def lane(url: str) -> Step[None]:
        nonlocal taken
        stream = yield from curl.open(url)
        yield Pause(3)
        while taken < len(body):
            taken += len(data := stream.take(MIB))
            if not data:
                assert not stream.is_over
                yield Pause(0.01)
        stream.close()

    with server(lambda connection: connection.sendall(head(len(body)) + body)) as url:
        CurlLoop(threading.Event()).run([lane(url)])
        curl.close()
    assert taken == len(body)


def test_what_is_skipped_leaves_the_rest_in_order() -> None:
    """Several pieces may have arrived when it turns out that the server ignored the range."""
    download = Download(None, unavailable=SourceUnavailable, stage=Stage.DOWNLOAD)
    download.header_lines.append(b"HTTP/1.1 200 OK\r\n")
    for piece in (b"abcd", b"efgh", b"ij"):
        download.received(piece)
    download.skip(6)
    assert (download.waiting_bytes, download.take(100)) == (4, b"ghij")
    download.skip(3)
    download.received(b"abcd")
    assert download.take(100) == b"d"
