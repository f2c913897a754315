"""Two drivers of steps: one step alone, waiting in place, and many lanes over one CurlMulti."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import pycurl

from transfer.backends.http.exchange import Transfer
from transfer.backends.http.streams import Download
from transfer.errors import Stopped
from transfer.steps import Pause, Pending, Step
from transfer.stopping import POLL_S, Stop

T = TypeVar("T")

NO_SOCKET_WAIT_S = 0.01
CONNECTIONS_A_LANE = 4
"""What stays open; without this, libcurl's limit follows the requests under way and closes what waiting lanes had."""


def complete(step: Step[T], stop: Stop) -> T:
    """Drive one step to its end in this thread. Raises Stopped when it is time to stop, about a second later at most."""
    try:
        wait = next(step)
        while True:
            if isinstance(wait, Pause):
                if stop.wait(wait.seconds):
                    raise Stopped
                wait = step.send(None)
                continue
            try:
                answer = wait.perform(stop)
            except Exception as error:  # noqa: BLE001 - not handled here: the step gets it where it waited
                wait = step.throw(error)
            else:
                wait = step.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


class CurlLoop:
    """Drives many lanes from one thread: whatever has an answer goes on, and all the rest waits in one poll.

    Use from one thread. Steps may only wait for requests of `CurlClient` and for pauses.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._multi = pycurl.CurlMulti()
        self._in_flight: dict[Any, tuple[Step[None], Transfer]] = {}
        self._downloads: dict[Any, Download] = {}
        self._opening: dict[Download, Step[None]] = {}
        self._running_downloads = 0
        self._paused: list[tuple[float, int, Step[None]]] = []
        self._serial = 0

    def run(self, lanes: Sequence[Step[None]]) -> None:
        """Drive the lanes until all have ended. Raises Stopped after a stop request, or what a lane raises."""
        self._multi.setopt(pycurl.M_MAXCONNECTS, CONNECTIONS_A_LANE * len(lanes))
        try:
            for lane in lanes:
                self._go_on(lane, None)
            while self._in_flight or self._paused or self._downloads:
                if self._stop.is_set():
                    raise Stopped
                self._resume_paused()
                if not self._advance():
                    self._wait()
        finally:
            for download in list(self._downloads.values()):
                download.close()
            for curl in self._in_flight:
                self._multi.remove_handle(curl)
            self._multi.close()

    def _advance(self) -> bool:
        """Let every request that can move do so; whether there may be more to do at once."""
        if not (self._in_flight or self._downloads):
            return False
        requests = len(self._in_flight) + self._running_downloads
        has_moved: bool = self._multi.perform()[1] < requests
        if has_moved:
            self._take_answers()
        for download in list(self._downloads.values()):
            has_moved |= self._tend(download)
        return has_moved

    def _tend(self, download: Download) -> bool:
        """Whatever a download or the upload that takes it waits for, if it has come."""
        has_moved = False
        if download.is_open and (lane := self._opening.pop(download, None)) is not None:
            self._go_on(lane, None)
            has_moved = True
        has_moved |= download.resume()
        if download.relay is not None:
            has_moved |= download.relay.resume()
        return has_moved

    def _wait(self) -> None:
        wait_s = POLL_S
        if self._paused:
            wait_s = min(wait_s, max(0.0, self._paused[0][0] - time.monotonic()))
        for download in self._downloads.values():
            if rest_s := download.rest_s():
                wait_s = min(wait_s, rest_s)
        if not (self._in_flight or self._downloads):
            if self._paused:  # otherwise the last lane has ended
                self._stop.wait(wait_s)
        # Nothing to wait on yet, as while a name is looked up.
        elif self._multi.select(self._within_curls_own(wait_s)) < 0:
            self._stop.wait(NO_SOCKET_WAIT_S)

    def _within_curls_own(self, wait_s: float) -> float:
        """No longer than until libcurl has something to do by its own timers."""
        timeout_ms: int = self._multi.timeout()
        return wait_s if timeout_ms < 0 else min(wait_s, timeout_ms / 1000)

    def _resume_paused(self) -> None:
        now = time.monotonic()
        while self._paused and self._paused[0][0] <= now:
            self._go_on(heapq.heappop(self._paused)[2], None)

    def _take_answers(self) -> None:
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                self._answer(curl, None)
            for curl, number, text in failed:
                self._answer(curl, pycurl.error(number, text))

    def _answer(self, curl: Any, error: pycurl.error | None) -> None:
        if (download := self._downloads.get(curl)) is not None:
            self._multi.remove_handle(curl)
            self._running_downloads -= 1
            download.ended(error)
            return
        lane, transfer = self._in_flight.pop(curl)
        self._multi.remove_handle(curl)
        try:
            answer = transfer.answer(error)
        except Exception as raised:  # noqa: BLE001 - not handled here: the lane gets it where it waited
            self._go_on(lane, raised)
        else:
            self._go_on(lane, answer)

    def _go_on(self, lane: Step[None], value: object) -> None:
        """Let a lane run until it waits again or ends."""
        wait: Pause | Pending
        try:
            wait = lane.throw(value) if isinstance(value, Exception) else lane.send(value)
        except StopIteration:
            return
        if isinstance(wait, Pause):
            self._serial += 1  # so that two lanes due at the same instant need not be compared
            heapq.heappush(self._paused, (time.monotonic() + wait.seconds, self._serial, lane))
            return
        if isinstance(wait, Download):
            download = wait
            self._opening[download] = lane
            self._downloads[download.curl] = download
            self._running_downloads += 1
            download.on_close = lambda: self._let_go(download)
        else:
            assert isinstance(wait, Transfer), "a lane waits for requests, downloads and pauses only"
            self._in_flight[wait.curl] = (lane, wait)
        self._multi.add_handle(wait.curl)

    def _let_go(self, download: Download) -> None:
        self._opening.pop(download, None)
        if self._downloads.pop(download.curl, None) is not None and not download.is_over:
            self._running_downloads -= 1
            self._multi.remove_handle(download.curl)
