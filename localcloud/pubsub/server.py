"""The Pub/Sub server: a port for `PUBSUB_EMULATOR_HOST`, a directory to survive a restart in, faults and chaos."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

from localcloud.faults import FaultPlan
from localcloud.grpc_control import GrpcServer, decode_json_object
from localcloud.pubsub.broker import Broker, Chaos
from localcloud.pubsub.journal import Journal
from localcloud.pubsub.service import PubSubService
from localcloud.pubsub.store import Store


class PubSubServer:
    """Pub/Sub on loopback, with its own event loop in a thread; `start` and `stop` may be called from any thread.

    Control methods besides those of grpc_control.py: `/localcloud.Control/Chaos`, JSON in and out, with the fields of
    Chaos; an empty request reads them. `/localcloud.Control/Clock`: the same with `ahead_s`, by how many seconds this
    server's clock is ahead of the real one.
    """

    def __init__(
        self,
        data_dir: Path | None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: FaultPlan | None = None,
        chaos: Chaos | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Without `data_dir` everything is in memory. Raises ValueError off loopback, RuntimeError on a taken port.

        A `clock` that runs fast is for tests that wait for leases to end: of 10 s at least, as the service has it.
        """
        self._broker = Broker(Store(Journal(data_dir and data_dir / "pubsub.journal")), chaos=chaos, clock=clock)
        self._server = GrpcServer(host=host, port=port, faults=faults)
        self.url = self._server.url
        """`127.0.0.1:PORT`, what `PUBSUB_EMULATOR_HOST` wants."""
        self.faults = self._server.faults
        PubSubService(self._broker).register(self._server)
        self._server.add_raw_service("localcloud.Control", {"Chaos": self._control_chaos, "Clock": self._control_clock})

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Break off what is in flight and close the journal."""
        self._server.stop()
        self._broker.store.close()

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `MethodName STATUS`."""
        return self._server.requests()

    def set_ahead(self, seconds: float) -> None:
        """Set the clock ahead of the real one: leases, messages and unused subscriptions age by so much, at once."""
        self._server.run(lambda: self._broker.set_ahead(seconds))

    def _control_clock(self, request: bytes) -> str:
        if request:
            self._broker.set_ahead(float(decode_json_object(request, ["ahead_s"])["ahead_s"]))
        return json.dumps({"ahead_s": self._broker.ahead_s})

    def _control_chaos(self, request: bytes) -> str:
        if request:
            self._broker.set_chaos(Chaos(**decode_json_object(request, [item.name for item in fields(Chaos)])))
        return json.dumps(asdict(self._broker.chaos))
