"""The whole service on a PostgreSQL that goes away: whoever joins is told soon, and not after all the timeouts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from tcp_line import TcpLine

from chassis.nats_connection import NatsSettings
from rooms.bootstrap import serving
from rooms.config import Config
from salon.rooms.v1 import rooms_pb2 as pb, rooms_pb2_grpc

if TYPE_CHECKING:
    from real_nats import NatsServer

pytestmark = pytest.mark.integration
SOON_S = 4.0
"""A second, and three for a busy machine; the shortest timeout of the database has 5."""


@pytest.fixture
async def line(postgres_socket: str) -> AsyncIterator[TcpLine]:
    line = TcpLine([f"{postgres_socket}/.s.PGSQL.5432"])
    await line.open()
    yield line
    line.go_on()
    await line.cut()


@pytest.fixture
async def rooms(
    line: TcpLine, fresh_postgres: str, nats_server: "NatsServer"
) -> AsyncIterator["rooms_pb2_grpc.RoomsServiceAsyncStub"]:
    name = fresh_postgres.partition("?")[0].rpartition("/")[2]
    config = Config(
        port=0, database_url=f"postgres://postgres:@127.0.0.1:{line.port}/{name}", nats=NatsSettings(nats_server.url),
        moderation_addresses=("127.0.0.1:1",),
    )  # fmt: skip
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield rooms_pb2_grpc.RoomsServiceStub(channel)


async def join(rooms: "rooms_pb2_grpc.RoomsServiceAsyncStub", number: int) -> pb.JoinResponse:
    item = pb.JoinItem(connection=number, ref=pb.RoomRef(slug=f"r{number}"), person=pb.Person(username="x"))
    return await rooms.Join(pb.JoinRequest(edge=f"{number:032x}", items=[item]), timeout=10)


async def until_it_answers(rooms: "rooms_pb2_grpc.RoomsServiceAsyncStub", number: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(grpc.aio.AioRpcError):
                assert (await join(rooms, number)).outcomes[0].result == pb.JoinOutcome.RESULT_JOINED
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("trouble", ["stopped", "paused"])
async def test_joins_are_refused_soon_while_postgresql_is_away_and_go_on_when_it_is_back(
    line: TcpLine, rooms: "rooms_pb2_grpc.RoomsServiceAsyncStub", trouble: str
) -> None:
    # On a machine so busy that PostgreSQL takes 0.6 s for the simplest statement it counts as away, and is back soon.
    await asyncio.gather(*(until_it_answers(rooms, number) for number in range(1, 30)))
    if trouble == "stopped":
        await line.cut()
    else:
        line.hold()
    for first in (100, 200):  # those who were about to join, and those who come later
        before = time.monotonic()
        calls = [join(rooms, number) for number in range(first, first + 30)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        took_s = time.monotonic() - before
        codes = {result.code() for result in results if isinstance(result, grpc.aio.AioRpcError)}
        assert (len(results), codes) == (30, {grpc.StatusCode.UNAVAILABLE})
        assert took_s < SOON_S
    if trouble == "stopped":
        await line.open()
    else:
        line.go_on()
    await until_it_answers(rooms, 300)
