"""Clients that misbehave, on a real port with real sessions: whatever they do, they go alone and nothing is kept.

What else shows it:

| what a client does | test |
| --- | --- |
| a request that dribbles in, or never comes | test_transport_slow_requests.py |
| no answer to a ping, over real services | tests/e2e/test_connecting.py, test_alive_a_peer_that_answers_no_ping_is_pinged_after_20_s_and_dropped_after_20_more |
| it does not read | tests/e2e/test_slow_reader.py |
| 10,000 connections of one address | tests/e2e/test_crowds.py |
| frames that are compressed too well | tests/unit/transport/test_framing.py |
| frames that RFC 6455 does not know | test_transport_rfc6455.py, test_a_broken_frame_is_answered_with_its_close_code |
"""  # noqa: E501 - a table

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from edge_world import World
from tcp_line import TcpLine

from ws_edge.errors import CloseCode
from ws_edge.transport.websocket import Keepalive

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, RawClient, StartEdge

pytestmark = pytest.mark.integration

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
SHORT = Keepalive(ping_after_s=0.2, pong_within_s=0.4, close_within_s=0.2)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.ports.tasks.stop()


@pytest.fixture
async def busy(start_edge: StartEdge, world: World) -> Edge:
    """An edge whose clients come into rooms."""
    return await start_edge(acceptor=world.arrivals)


async def until_holds_nothing(world: World) -> None:
    async with asyncio.timeout(30):
        while not world.holds_nothing():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def joined(edge: Edge, path: str = "/chat/ws/room/s") -> RawClient:
    client = await edge.open(path)
    frame = await client.read()
    assert frame is not None
    assert b"room_joined" in frame[1]
    return client


async def answer_pings(client: RawClient) -> None:
    while (frame := await client.read()) is not None:
        if frame[0] == PING:
            client.send(PONG)


async def test_clients_that_vanish_without_a_word_leave_room_count_and_limits_and_the_others_stay(
    start_edge: StartEdge, world: World
) -> None:
    edge = await start_edge(acceptor=world.arrivals, keepalive=SHORT)
    line = TcpLine([edge.port])
    await line.open()
    there = edge.port
    try:
        edge.port = line.port
        for number in range(1, 11):
            await joined(edge, f"/chat/ws/room/s?token={number}:user")
        await edge.open("/live/ws")
        edge.port = there
        stays = await joined(edge, "/chat/ws/room/s?token=11:user")
        answering = asyncio.create_task(answer_pings(stays))
        assert len(world.limits) == 12
        line.hold()
        async with asyncio.timeout(30):
            while len(world.limits) + len(edge.app.ctx.open_sockets) > 2:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        assert len(world.worker.connections) == 1
        assert len(world.rooms.members) == 1
        assert len(world.worker.live.audience) == 0
        assert not answering.done()
        stays.send(CLOSE, (1000).to_bytes(2, "big"))
        await answering
        await until_holds_nothing(world)
    finally:
        line.go_on()
        await line.cut()


async def test_a_client_that_vanishes_while_it_is_told_to_go_is_dropped(start_edge: StartEdge, world: World) -> None:
    edge = await start_edge(acceptor=world.arrivals, keepalive=SHORT)
    line = TcpLine([edge.port])
    await line.open()
    try:
        edge.port = line.port
        await joined(edge)
        line.hold()
        for connection in list(world.worker.connections):
            connection.end(CloseCode.TRY_AGAIN_LATER)
        async with asyncio.timeout(30):
            while edge.app.ctx.open_sockets:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        assert world.holds_nothing()
    finally:
        line.go_on()
        await line.cut()


FLOODS = {
    "bad frames": (TEXT, b"nonsense", True, 1008),
    "binary frames": (BINARY, b"x", True, 1008),
    "unknown frames": (TEXT, b'{"type":"x"}', True, 1008),
    "pings": (PING, b"x" * 125, True, 1008),
    "pongs": (PONG, b"", True, 1008),
    "pings of the protocol": (TEXT, b'{"type":"ping"}', True, 1008),
    "empty fragments without an end": (CONTINUATION, b"", False, 1008),
    "fragments without an end": (CONTINUATION, b"x" * 100, False, 1009),
    "large fragments without an end": (CONTINUATION, b"x" * 8000, False, 1009),
}


@pytest.mark.parametrize("path", ["/chat/ws/room/s", "/live/ws"])
@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_closes_its_sender_alone(busy: Edge, world: World, what: str, path: str) -> None:
    neighbour = await joined(busy)
    client = await busy.open(path)
    opcode, payload, is_final, code = FLOODS[what]
    if opcode == CONTINUATION:
        client.send(TEXT, b"", fin=False)
    client.writer.write(client.frame(opcode, payload, fin=is_final) * 2000)
    assert await client.read_close() == code
    client.send(CLOSE, code.to_bytes(2, "big"))
    neighbour.send(TEXT, b'{"type":"ping"}')
    async with asyncio.timeout(15):
        while (frame := await neighbour.read()) is not None and b"pong" not in frame[1]:
            pass
    assert frame is not None
    neighbour.send(CLOSE, (1000).to_bytes(2, "big"))
    with suppress(AssertionError):
        await neighbour.read_close()
    await until_holds_nothing(world)


async def test_50_bad_frames_are_answered_and_the_last_of_them_closes(busy: Edge) -> None:
    client = await joined(busy)
    for number in range(50):
        client.send(TEXT, b"nonsense")
        frame = await client.read()
        assert frame is not None
        assert b"Invalid message format" in frame[1], number
    assert await client.read() == (CLOSE, (1008).to_bytes(2, "big"))
