"""Connections between an edge and its services, with both ends' options: silent ones stay, old ones are renewed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from name_server import NameServer
from prometheus_client import CollectorRegistry

from chassis import grpc_channel, grpc_server
from chassis.grpc_security import GrpcSecurity
from chassis.grpc_server import GrpcServer
from chassis.metrics import ServiceMetrics
from moderation.api.grpc.servicer import SERVICE as MODERATION, ModerationServicer
from rooms.api.grpc.servicer import SERVICE as ROOMS, RoomsServicer
from salon.moderation.v1 import moderation_pb2_grpc
from salon.rooms.v1 import rooms_pb2, rooms_pb2_grpc

pytestmark = pytest.mark.slow

Options = list[tuple[str, Any]]
TIMES_FASTER = 10
"""No more: gRPC pings once a second at most."""
PINGS = 5
"""gRPC forgives two before it ends a connection."""
EDGE_PINGS_EVERY, SERVICE_TAKES_EVERY = "grpc.keepalive_time_ms", "grpc.http2.min_ping_interval_without_data_ms"


class CountedRooms(RoomsServicer):
    """Counts its calls, of which there is one kind."""

    def __init__(self) -> None:
        self.calls = 0

    async def GetStats(self, request: Any, context: Any) -> rooms_pb2.GetStatsResponse:  # noqa: N802 - the contract's name
        self.calls += 1
        return rooms_pb2.GetStatsResponse()


def faster(options: Any) -> Options:
    """Pings, and what is allowed of them, in a tenth of the time."""
    pings = (EDGE_PINGS_EVERY, SERVICE_TAKES_EVERY)
    return [(name, value // TIMES_FASTER if name in pings else value) for name, value in options]


def serving(service: str, register: Callable[[grpc.aio.Server], None], age_s: float | None = None) -> GrpcServer:
    return GrpcServer(
        service,
        register,
        statuses={},
        security=GrpcSecurity(),
        metrics=ServiceMetrics("tried", CollectorRegistry()),
        has_reflection=False,
        connection_age_s=age_s,
    )


def rooms(servicer: RoomsServicer, *, age_s: float = 3600) -> GrpcServer:
    return serving(ROOMS, lambda server: rooms_pb2_grpc.add_RoomsServiceServicer_to_server(servicer, server), age_s)


async def start_rooms(stack: AsyncExitStack) -> int:
    server = rooms(CountedRooms())
    stack.push_async_callback(server.stop, 0)
    return await server.start("127.0.0.1", 0)


async def start_moderation(stack: AsyncExitStack) -> int:
    servicer = object.__new__(ModerationServicer)
    add = moderation_pb2_grpc.add_ModerationServiceServicer_to_server
    server = serving(MODERATION, lambda server: add(servicer, server))
    stack.push_async_callback(server.stop, 0)
    return await server.start("127.0.0.1", 0)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as owned:
        yield owned


@pytest.mark.parametrize("start", [start_rooms, start_moderation])
async def test_a_stream_that_is_silent_stays_however_often_the_edge_pings(
    start: Callable[[AsyncExitStack], Awaitable[int]], stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (grpc_server, grpc_channel):
        monkeypatch.setattr(module, "_OPTIONS", faster(module._OPTIONS))
    options: dict[str, Any] = dict(grpc_channel._OPTIONS)
    pause_s = options[EDGE_PINGS_EVERY] / 1000
    channel = await stack.enter_async_context(
        grpc_channel.open_channel(f"127.0.0.1:{await start(stack)}", GrpcSecurity())
    )
    silent = health_pb2_grpc.HealthStub(channel).Watch(  # type: ignore[no-untyped-call]  # generated
        health_pb2.HealthCheckRequest(service="nobody")
    )
    await silent.read()
    with pytest.raises(TimeoutError):  # nothing comes, and no end either
        async with asyncio.timeout(PINGS * pause_s):
            await silent.read()


async def test_an_edge_finds_a_replica_of_rooms_that_came_later_and_loses_no_call(stack: AsyncExitStack) -> None:
    first, second = CountedRooms(), CountedRooms()
    names = await stack.enter_async_context(NameServer("127.0.0.1"))
    replicas = rooms(first, age_s=0.1), rooms(second, age_s=0.1)
    for replica in replicas:
        stack.push_async_callback(replica.stop, 0)
    port = await replicas[0].start("127.0.0.1", 0)
    channel = await stack.enter_async_context(
        grpc_channel.open_channel(f"dns://127.0.0.1:{names.port}/rooms.test:{port}", GrpcSecurity())
    )
    stub = rooms_pb2_grpc.RoomsServiceStub(channel)
    await stub.GetStats(rooms_pb2.GetStatsRequest(), timeout=5)
    await replicas[1].start("127.0.0.2", port)
    names.addresses.append("127.0.0.2")
    asked = 1
    async with asyncio.timeout(60):
        while second.calls < 300:
            await stub.GetStats(rooms_pb2.GetStatsRequest(), timeout=5)
            asked += 1
            await asyncio.sleep(0.005)  # for seconds, through dozens of connections
    assert first.calls + second.calls == asked
