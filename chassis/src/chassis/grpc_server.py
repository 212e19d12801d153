"""A gRPC server as every service has it: health, reflection, the token, masked exceptions, counted calls.

Health answers under the name LIVENESS for as long as the process runs, under the service's own name and the empty one
while it is ready, and under the name of each dependency while that answers.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined] # re-exported by an `if`
from grpc_reflection.v1alpha import reflection

from chassis.errors import CannotListen
from chassis.grpc_security import GrpcSecurity
from chassis.logs import LogSummary
from chassis.metrics import ServiceMetrics
from chassis.traces import TRACE_HEADER, hold_trace, read_trace

LIVENESS = "live"
CALLS_AT_ONCE = 1000
"""Streams of health included; one more is answered with RESOURCE_EXHAUSTED."""
_OPTIONS = [
    # Two processes on one port would share it in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    # Channels ping every 10 s, streams without data included; more often than every 5 minutes is too often otherwise,
    # and ends the connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Calls under way when a connection is too old: longer than the deadline of any.
    ("grpc.max_connection_age_grace_ms", 30_000),
]
_OPEN = frozenset({"/grpc.health.v1.Health/Check"})
"""Asked by what starts and balances services, and by nobody's token. Watch is a stream: a stranger could hold as many
as there may be calls at once."""
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """What a caller reads of an exception."""

    code: grpc.StatusCode
    text: str = ""
    """Empty: the exception's own, for those that are written for callers."""


StatusTable: TypeAlias = Mapping[type[Exception], Status]
"""The first class that an exception is an instance of decides; what is in no table is INTERNAL, and logged."""


class GrpcServer:
    """Listens from `start` to `stop`."""

    def __init__(
        self,
        service: str,
        register: Callable[[grpc.aio.Server], None],
        *,
        statuses: StatusTable,
        security: GrpcSecurity,
        metrics: ServiceMetrics,
        has_reflection: bool,
        connection_age_s: float | None = None,
        is_open: bool = True,
    ) -> None:
        """`service` is the full name in the contract; `register` adds its servicer. Connections are closed at
        `connection_age_s`, a tenth sooner or later: a channel looks the name up again when it loses one, and finds the
        replicas that came since. Where it is not open, calls of the contract are UNAVAILABLE until `open`."""
        self._is_open = is_open
        self._service = service
        self._security = security
        guards = [_ServiceTokens(security.tokens)] if security.tokens else []
        self._server = grpc.aio.server(
            interceptors=[*guards, _Masked(f"/{service}/", statuses, metrics, lambda: self._is_open)],
            options=[*_OPTIONS, *_age_limit(connection_age_s)],
            maximum_concurrent_rpcs=CALLS_AT_ONCE,
        )
        self._health = health_aio.HealthServicer()
        register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # type: ignore[no-untyped-call] # generated
        if has_reflection:
            names = (service, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)  # type: ignore[no-untyped-call] # has no types

    async def start(self, host: str, port: int) -> int:
        """Listen, alive and not ready; gives the port, chosen by the system where 0 was asked for. Raises
        CannotListen."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._bind(address)
        except RuntimeError:
            raise CannotListen(f"cannot listen on {host}:{port}") from None
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self.set_health(is_ready=False)
        await self._server.start()
        return bound

    def open(self) -> None:
        """Answer the calls of the contract from now on."""
        self._is_open = True

    async def set_health(self, *, is_ready: bool, dependencies: Mapping[str, bool] | None = None) -> None:
        """Whether the service can do its work, and which of its dependencies answer."""
        for name, is_up in {"": is_ready, self._service: is_ready, **(dependencies or {})}.items():
            await self._health.set(name, _health_status(is_up))

    async def stop(self, grace_s: float) -> None:
        """Not ready from now on; calls under way may finish, streams are cut after the grace."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    def _bind(self, address: str) -> int:
        security = self._security
        if not security.is_encrypted:
            return self._server.add_insecure_port(address)
        pair = (security.key, security.certificate)
        credentials = grpc.ssl_server_credentials([pair], security.authority, require_client_auth=True)
        return self._server.add_secure_port(address, credentials)


def _age_limit(seconds: float | None) -> list[tuple[str, int]]:
    return [] if seconds is None else [("grpc.max_connection_age_ms", int(seconds * 1000))]


def _health_status(is_up: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    return health_pb2.HealthCheckResponse.SERVING if is_up else health_pb2.HealthCheckResponse.NOT_SERVING


class _ServiceTokens(grpc.aio.ServerInterceptor):
    """Refuses every call without one of the tokens as `authorization: Bearer …`, methods that do not exist included."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._accepted = [f"Bearer {token}".encode() for token in tokens]
        self._refused = LogSummary(_log, "caller_refused")  # whoever is refused may try as often as they like

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """See grpc.aio."""
        method = handler_call_details.method
        if method in _OPEN or self._is_known(handler_call_details.invocation_metadata):
            return await continuation(handler_call_details)
        self._refused.note(method=method[:200])
        return _REFUSAL

    def _is_known(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
        given = next((value for key, value in metadata or () if key == "authorization"), "")
        presented = given if isinstance(given, bytes) else given.encode()
        # The time that it takes says nothing about how much of a token was right.
        return any(hmac.compare_digest(presented, accepted) for accepted in self._accepted)


async def _refuse(_: Any, context: _Context) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the service token is missing or wrong")


_REFUSAL: _Handler = grpc.stream_stream_rpc_method_handler(_refuse)
"""For calls of every kind: it reads nothing of the request."""


class _Masked(grpc.aio.ServerInterceptor):
    """Maps exceptions to statuses, whose texts grpc.aio would send to the caller otherwise; counts and times calls;
    holds the caller's trace for the log."""

    def __init__(
        self, prefix: str, statuses: StatusTable, metrics: ServiceMetrics, is_open: Callable[[], bool]
    ) -> None:
        self._is_open = is_open
        self._prefix = prefix
        self._statuses = statuses
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wraps the two kinds of calls that the contracts have, both coroutines here; health and reflection pass."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(self._prefix):
            return handler
        if not self._is_open():
            return _STARTING
        name = method.removeprefix(self._prefix)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._masked(handler.stream_stream, name, is_timed=False),
                handler.request_deserializer,
                handler.response_serializer,
            )
        assert handler.unary_unary is not None, "no contract has calls that stream one way"
        return grpc.unary_unary_rpc_method_handler(
            self._masked(handler.unary_unary, name, is_timed=True),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _masked(self, behaviour: Any, name: str, *, is_timed: bool) -> Any:
        async def call(request: Any, context: _Context) -> Any:
            began_s = time.perf_counter()
            status = Status(grpc.StatusCode.OK)
            try:
                with _caller_trace(context):
                    return await behaviour(request, context)
            except grpc.aio.AbortError:
                status = Status(grpc.StatusCode.ABORTED)
                raise
            except asyncio.CancelledError:
                status = Status(grpc.StatusCode.CANCELLED)
                raise
            except Exception as problem:  # noqa: BLE001 - whatever went wrong ends here
                status = self._status_of(problem)
                with _caller_trace(context):
                    _log_failure(name, status.code, problem)
            finally:
                self._metrics.called(name, status.code.name, time.perf_counter() - began_s if is_timed else None)
            return await context.abort(status.code, status.text)

        return call

    def _status_of(self, problem: Exception) -> Status:
        found = next((status for kind, status in self._statuses.items() if isinstance(problem, kind)), _INTERNAL)
        return found if found.text else Status(found.code, str(problem))


async def _refuse_until_open(_: Any, context: _Context) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "starting")


_STARTING: _Handler = grpc.stream_stream_rpc_method_handler(_refuse_until_open)
_INTERNAL = Status(grpc.StatusCode.INTERNAL, "internal error")


def _log_failure(method: str, status: grpc.StatusCode, problem: Exception) -> None:
    if status is grpc.StatusCode.INTERNAL:
        _log.error("call_failed", method=method, exc_info=problem)
    elif status is grpc.StatusCode.UNAVAILABLE:
        _log.warning("call_failed", method=method, problem=str(problem) or type(problem).__name__)


def _caller_trace(context: _Context) -> AbstractContextManager[None]:
    header = next((value for key, value in context.invocation_metadata() or () if key == TRACE_HEADER), None)
    return hold_trace(read_trace(header))
