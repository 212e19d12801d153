"""The whole service on a PostgreSQL that goes away: whoever joins is told soon, and not after all the timeouts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from chassis.nats_connection import NatsSettings
from rooms.bootstrap import serving
from rooms.config import Config
from salon.rooms.v1 import rooms_pb2 as pb, rooms_pb2_grpc

if TYPE_CHECKING:
    from real_nats import NatsServer

pytestmark = pytest.mark.integration
SOON_S = 4.0
"""A second, and three for a busy machine; the shortest timeout of the database has 5."""


class Line:
    """A TCP port in front of PostgreSQL's socket."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """As where the server stops: nobody listens, and connections are closed."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def hold(self) -> None:
        """As a process that is paused: connections are accepted, and nothing is answered."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(f"{self._socket}/.s.PGSQL.5432")
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            pipe = asyncio.create_task(self._pipe(source, sink))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


@pytest.fixture
async def line(postgres_socket: str) -> AsyncIterator[Line]:
    line = Line(postgres_socket)
    await line.open()
    yield line
    line.go_on()
    await line.cut()


@pytest.fixture
async def rooms(
    line: Line, fresh_postgres: str, nats_server: "NatsServer"
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
    line: Line, rooms: "rooms_pb2_grpc.RoomsServiceAsyncStub", trouble: str
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
