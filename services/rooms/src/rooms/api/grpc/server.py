"""The gRPC server with its services: rooms, health and reflection."""

from collections.abc import Mapping

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rooms.api.grpc.masking import MaskingInterceptor
from rooms.api.grpc.security import guards, open_port
from rooms.api.grpc.servicer import RoomsServicer
from rooms.peers import GrpcSecurity
from salon.rooms.v1 import rooms_pb2, rooms_pb2_grpc

SERVICE = rooms_pb2.DESCRIPTOR.services_by_name["RoomsService"].full_name
CALLS_AT_ONCE = 1000
"""Streams of health included; one more is answered with RESOURCE_EXHAUSTED."""
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    # Edges ping every 10 s to notice a peer that is gone. Without this, pings of less than 5 minutes' distance on a
    # connection that is silent end it.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Calls under way when a connection is too old: longer than the deadline of any.
    ("grpc.max_connection_age_grace_ms", 30_000),
]


class CannotListen(Exception):
    """The address is taken, or is not ours."""


class RoomsServer:
    """Start with `start`, end with `stop`."""

    def __init__(
        self, servicer: RoomsServicer, security: GrpcSecurity, *, has_reflection: bool, connection_age_s: float
    ) -> None:
        """Connections are closed at that age, a tenth sooner or later: an edge looks the name up again when it loses
        one, and finds the replicas that came since."""
        self._servicer = servicer
        self._security = security
        self._server = grpc.aio.server(
            interceptors=[*guards(security), MaskingInterceptor()],
            options=[*_OPTIONS, ("grpc.max_connection_age_ms", int(connection_age_s * 1000))],
            maximum_concurrent_rpcs=CALLS_AT_ONCE,
        )
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined] # the package binds it without a stub
        rooms_pb2_grpc.add_RoomsServiceServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # type: ignore[no-untyped-call] # generated
        if has_reflection:
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)  # type: ignore[no-untyped-call] # has no types

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port. Raises CannotListen."""
        try:
            bound = open_port(self._server, host, port, self._security)
        except RuntimeError:
            raise CannotListen(f"cannot listen on {host}:{port}") from None
        await self._server.start()
        return bound

    async def tell_health(self, dependencies: Mapping[str, bool]) -> None:
        """Each dependency under its own name. The service itself goes on without NATS, never without its database."""
        await self._health.set("live", health_pb2.HealthCheckResponse.SERVING)
        for name, is_up in dependencies.items():
            await self._health.set(name, _status(is_up))
        for name in ("", SERVICE):
            await self._health.set(name, _status(dependencies["database"]))

    async def stop(self, grace_s: float) -> None:
        """Not ready, then finish the calls under way."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
        await self._servicer.drain()


def _status(is_up: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    return health_pb2.HealthCheckResponse.SERVING if is_up else health_pb2.HealthCheckResponse.NOT_SERVING
