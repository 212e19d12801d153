"""The gRPC server: the service, its health, and reflection."""

import asyncio
from collections.abc import Callable

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # re-exported by an `if`
from grpc_reflection.v1alpha import reflection

from moderation.api.grpc.interceptor import MaskExceptions, UntilOpen
from moderation.api.grpc.security import guards, open_port
from moderation.api.grpc.servicer import ModerationServicer
from moderation.peers import GrpcSecurity
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["ModerationService"].full_name
LIVENESS = "live"
"""Asked for by this name, health says whether the process runs; otherwise whether it can do all it should."""
CALLS_AT_ONCE = 1000
"""Streams of edges and of health included; one more is answered with RESOURCE_EXHAUSTED."""
_LOOK_EVERY_S = 0.25
_OPTIONS = [
    # Two processes on one port would share it in silence.
    ("grpc.so_reuseport", 0),
    # Edges ping every 10 s to notice a peer that is gone. Without this, pings of less than 5 minutes' distance on a
    # stream that is silent end the connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class GrpcServer:
    """Listens from start to stop."""

    def __init__(
        self,
        servicer: ModerationServicer,
        is_ready: Callable[[], bool],
        security: GrpcSecurity,
        *,
        has_reflection: bool,
    ) -> None:
        self._is_ready = is_ready
        self._security = security
        self._health = health_aio.HealthServicer()
        self._door = UntilOpen()
        self._server = grpc.aio.server(
            interceptors=[*guards(security), self._door, MaskExceptions()],
            options=_OPTIONS,
            maximum_concurrent_rpcs=CALLS_AT_ONCE,
        )
        pb_grpc.add_ModerationServiceServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # type: ignore[no-untyped-call]  # not typed
        if has_reflection:
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)  # type: ignore[no-untyped-call]  # not typed

    async def start(self, host: str, port: int) -> int:
        """Bind and answer health: alive and not ready, until `open`. The port, chosen by the system where 0 was asked
        for. Raises RuntimeError."""
        bound = open_port(self._server, host, port, self._security)
        await self._server.start()
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._tell(is_ready=False)
        return bound

    def open(self) -> None:
        """Answer the calls of the contract from now on."""
        self._door.open()

    async def watch(self) -> None:
        """Tell health how things are, until cancelled."""
        while True:
            await self._tell(is_ready=self._is_ready())
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _tell(self, *, is_ready: bool) -> None:
        response = health_pb2.HealthCheckResponse
        for name in ("", SERVICE):
            await self._health.set(name, response.SERVING if is_ready else response.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Not ready from now on; calls may finish, streams are cut after the grace."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
