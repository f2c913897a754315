"""What the gRPC servers share: one event loop, faults, request counts, and a control service.

Faults are decided on `MethodName resource/name`, such as `Publish projects/p/topics/t`. The actions are `status` (its
HTTP status becomes the gRPC code, its body the details), `delay`, and `lose_answer`, which does the work and then
answers UNAVAILABLE; the others cut into an HTTP body, have no meaning here, and let the request pass.

Control methods take and give raw JSON bytes. `/localcloud.Control/Faults`: an empty request reads the plan, JSON
replaces it (see faults.py). `/localcloud.Control/Requests`: how many answers were given, by `MethodName STATUS`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import grpc

from localcloud.faults import Fault, FaultPlan
from localcloud.lifecycle import require_loopback

MAX_REQUEST_BYTES = 20 * 1024 * 1024
STOP_GRACE_S = 0.2
CALL_TIMEOUT_S = 30.0

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

T = TypeVar("T")
Unary = Callable[[Any, Any], Awaitable[Any]]
Streaming = Callable[[Any, Any, Fault | None], Awaitable[None]]


class RefusedError(Exception):
    """A refused request: `code` and `details` go to the client as they are."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class _Loop:
    """The one event loop of every server in this process, in a thread that lives while there is a server.

    grpc.aio has one completion queue a process; several loops in several threads would fight over its events.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        with self._lock:
            self._users += 1
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="grpc-loop", daemon=True)
                self._thread.start()

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._loop is None or self._thread is None:
                return
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_TIMEOUT_S)


_shared_loop = _Loop()


class GrpcServer:
    """A gRPC server on loopback whose handlers are coroutines. It listens from its constructor on; stop it once."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, faults: FaultPlan | None = None) -> None:
        self.faults = faults or FaultPlan()
        self._counts: Counter[str] = Counter()
        self._background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        _shared_loop.acquire()
        try:
            self.port = _shared_loop.call(self._bind(require_loopback(host), port))
        except BaseException:
            _shared_loop.release()
            raise
        self.url = f"{host}:{self.port}"
        self.add_raw_service(
            "localcloud.Control", {"Faults": self._control_faults, "Requests": lambda _: json.dumps(self.requests())}
        )

    async def _bind(self, host: str, port: int) -> int:
        options = [
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(options=options)
        return int(self._server.add_insecure_port(f"{host}:{port}"))

    def add_service(
        self,
        name: str,
        unary: Mapping[str, tuple[Unary, Any, Any]],
        streaming: Mapping[str, tuple[Streaming, Any, Any]] | None = None,
    ) -> None:
        """Serve methods given as name → (handler, protobuf request class, protobuf response class).

        A streaming handler gets the first request, the context to read and write, and the fault for it to break on.
        """
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                self._guard(method, handler),
                request_deserializer=request.FromString,
                response_serializer=response.SerializeToString,
            )
            for method, (handler, request, response) in unary.items()
        }
        for method, (stream_handler, request, response) in (streaming or {}).items():
            handlers[method] = grpc.stream_stream_rpc_method_handler(
                self._guard_stream(method, stream_handler),
                request_deserializer=request.FromString,
                response_serializer=response.SerializeToString,
            )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    def add_raw_service(self, name: str, methods: Mapping[str, Callable[[bytes], str]]) -> None:
        """Serve methods from bytes to text, such as control methods. A ValueError becomes INVALID_ARGUMENT."""

        def wrap(method: Callable[[bytes], str]) -> Any:
            async def handle(request: bytes, context: Any) -> bytes:
                try:
                    return method(request).encode()
                except (ValueError, TypeError) as error:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                    raise  # abort has raised already

            return grpc.unary_unary_rpc_method_handler(handle)

        handlers = {key: wrap(method) for key, method in methods.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    def add_background(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine on the loop from start to stop."""
        self._background.append(job)

    def start(self) -> None:
        """Begin to answer."""

        async def start() -> None:
            await self._server.start()
            self._tasks = [asyncio.ensure_future(job()) for job in self._background]

        _shared_loop.call(start())

    def stop(self) -> None:
        """Break off what is in flight after a short grace; the loop's thread ends with its last server."""

        async def stop() -> None:
            await self._server.stop(STOP_GRACE_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        _shared_loop.call(stop())
        _shared_loop.release()

    def run(self, job: Callable[[], None]) -> None:
        """Call it on the loop, and wait until it has returned."""

        async def run() -> None:
            job()

        _shared_loop.call(run())

    def requests(self) -> dict[str, int]:
        """How many answers were given, by `MethodName STATUS`."""
        return dict(self._counts)

    def _control_faults(self, request: bytes) -> str:
        if request:
            self.faults.load_json(request)
        return self.faults.to_json()

    def _guard(self, method: str, handler: Unary) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            fault = self.faults.decide(f"{method} {resource_name(request)}")
            try:
                await _before(fault)
                answer = await handler(request, context)
                break_answer(fault)
            except RefusedError as refusal:
                self._counts[f"{method} {refusal.code.name}"] += 1
                return await context.abort(refusal.code, refusal.details)
            self._counts[f"{method} OK"] += 1
            return answer

        return handle

    def _guard_stream(self, method: str, handler: Streaming) -> Any:
        async def handle(_: Any, context: Any) -> None:
            outcome = "CANCELLED"
            try:
                first = await context.read()
                fault = None if first is grpc.aio.EOF else self.faults.decide(f"{method} {resource_name(first)}")
                await _before(fault)
                await handler(first, context, fault)
                outcome = "OK"
            except RefusedError as refusal:
                outcome = refusal.code.name
                await context.abort(refusal.code, refusal.details)
            finally:
                self._counts[f"{method} {outcome}"] += 1

        return handle


def resource_name(request: Any) -> str:
    """The resource a request is about: its `name`, `topic`, `subscription`, …, whichever it has first."""
    for field in ("name", "topic", "subscription", "project", "log_name", "parent", "resource"):
        value = getattr(request, field, "")
        name = value if isinstance(value, str) else getattr(value, "name", "")
        if name:
            return str(name)
    return ""


async def _before(fault: Fault | None) -> None:
    if fault is not None and fault.action == "status":
        code = _CODES.get(fault.status, grpc.StatusCode.UNKNOWN)
        raise RefusedError(code, fault.body or f"an injected {fault.status}")
    if fault is not None and fault.action == "delay":
        await asyncio.sleep(fault.seconds)


def break_answer(fault: Fault | None) -> None:
    """Raise UNAVAILABLE if the fault is to lose this answer."""
    if fault is not None and fault.action == "lose_answer":
        raise RefusedError(grpc.StatusCode.UNAVAILABLE, "the answer was lost")


def decode_json_object(text: bytes, known: Iterable[str]) -> dict[str, Any]:
    """A JSON object with no other keys than these. Raises ValueError."""
    document = json.loads(text)
    if not isinstance(document, dict) or set(document) - set(known):
        raise ValueError(f"expected a JSON object of {', '.join(known)}")
    return document
