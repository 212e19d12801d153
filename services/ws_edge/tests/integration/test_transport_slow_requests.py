"""Connections that are no WebSocket yet: whoever is slow with a request is given up, and leaves room for the others."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import structlog

from ws_edge.transport.patience import Patience

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, RawClient, StartEdge

pytestmark = pytest.mark.integration

SHORT = Patience(request_within_s=0.3, idle_for_s=60.0)
JSON = "Content-Type: application/json"
BODY_TO_COME = f"POST /graphql HTTP/1.1\r\nHost: x\r\n{JSON}\r\nContent-Length: 1000\r\n"
DRIBBLES = {
    "a head": "GET /chat/ws/room/1 HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "a body": f"{BODY_TO_COME}\r\n",
    "a body in parts": BODY_TO_COME.replace("Content-Length: 1000", "Transfer-Encoding: chunked") + "\r\n3e8\r\n",
    "the body of an upgrade": f"{BODY_TO_COME}Upgrade: websocket\r\n\r\n",
    "the body of a handshake": "GET /chat/ws/room/1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    "Connection: upgrade\r\nContent-Length: 1000\r\n\r\n",
    "a body that nobody asked for": "GET /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
}


@pytest.fixture(autouse=True)
def _ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ws_edge.transport.patience._ENDS_WITHIN_S", 0.1)


async def dribble(client: RawClient, begin: str) -> None:
    """One byte after the other, for as long as somebody takes them."""
    client.writer.write(begin.encode())
    with suppress(ConnectionError):
        while not client.writer.is_closing():
            client.writer.write(b"x")
            await client.writer.drain()
            await asyncio.sleep(0.05)


async def ended(client: RawClient) -> bytes:
    """Whatever was answered, once the connection is over."""
    async with asyncio.timeout(15):
        with suppress(ConnectionError):
            return await client.reader.read()
    return b""


def test_a_request_has_15_s_and_a_silent_connection_75() -> None:
    assert Patience(at_most_open=5) == Patience(15.0, 75.0, at_most=16_384, at_most_open=5)


@pytest.mark.parametrize(
    ("files", "connections"), [(20_000, 19_744), (1024, 768), (100, 256), (resource.RLIM_INFINITY, sys.maxsize)]
)
def test_so_many_connections_may_be_open_as_there_are_files(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert Patience().at_most_open == connections


@pytest.mark.parametrize("what", DRIBBLES)
async def test_a_request_that_dribbles_in_is_given_up_however_often_a_byte_comes(
    start_edge: StartEdge, what: str
) -> None:
    edge = await start_edge(patience=SHORT)
    client = await edge.raw()
    dribbling = asyncio.create_task(dribble(client, DRIBBLES[what]))
    await ended(client)
    await dribbling


@pytest.mark.parametrize("what", DRIBBLES)
async def test_a_request_of_which_no_more_comes_is_given_up(start_edge: StartEdge, what: str) -> None:
    edge = await start_edge(patience=SHORT)
    client = await edge.raw()
    client.writer.write(DRIBBLES[what].encode())
    await ended(client)


@pytest.mark.parametrize(("what", "counted"), [("a head", True), ("the body of a handshake", True), ("a body", False)])
async def test_who_was_too_slow_is_told_408_and_a_handshake_is_counted(
    start_edge: StartEdge, what: str, counted: bool
) -> None:
    edge = await start_edge(patience=SHORT)
    client = await edge.raw()
    client.writer.write(DRIBBLES[what].encode())
    with structlog.testing.capture_logs() as logs:
        assert (await ended(client)).startswith(b"HTTP/1.1 408 ")
    assert edge.acceptor.turned_away_with == ["http_408"] * counted
    assert logs == []


async def test_a_connection_that_says_nothing_at_all_ends_as_soon_as_one_that_is_slow(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=SHORT)
    client = await edge.raw()
    assert await ended(client) == b""


async def test_between_two_requests_a_connection_may_rest_for_longer(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=SHORT)
    client = await edge.raw()
    for _ in range(2):
        status, headers = await client.request("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status == 200
        await client.reader.readexactly(int(headers["content-length"]))
        await asyncio.sleep(2 * SHORT.request_within_s)


@pytest.mark.parametrize("patience", [Patience(at_most=20), Patience(at_most_open=21)])
async def test_of_too_many_unfinished_requests_the_oldest_makes_room_and_newcomers_get_in(
    start_edge: StartEdge, patience: Patience
) -> None:
    edge = await start_edge(patience=patience)
    inside = await edge.open()
    slow = [await edge.raw() for _ in range(60)]
    for client in slow:
        client.writer.write(DRIBBLES["a head"].encode())
    for client in slow[:40]:
        await ended(client)
    began_s = time.monotonic()
    newcomer = await edge.open()
    assert time.monotonic() - began_s < Patience().request_within_s
    for client in (inside, newcomer):
        client.send(1, b"fine")
        assert await client.read() == (1, b"fine")
    assert edge.acceptor.turned_away_with == ["http_dropped"] * 41
    assert len(edge.app.ctx.waiting) <= 20


async def test_a_websocket_does_not_count_among_them(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=Patience(at_most=3))
    clients = [await edge.open() for _ in range(10)]
    for client in clients:
        client.send(1, b"fine")
        assert await client.read() == (1, b"fine")
    assert edge.acceptor.turned_away_with == []


async def test_a_slow_request_behind_a_quick_one_has_no_more_time(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=SHORT)
    client = await edge.raw()
    _, headers = await client.request("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.reader.readexactly(int(headers["content-length"]))
    await asyncio.sleep(2 * SHORT.request_within_s)  # the time between requests runs
    client.writer.write(DRIBBLES["a head"].encode())
    assert (await ended(client)).startswith(b"HTTP/1.1 408 ")


async def test_a_request_that_has_begun_when_its_connection_is_accepted_has_no_more_time(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=SHORT)
    with socket.create_connection(("127.0.0.1", edge.port)) as early:
        early.sendall(DRIBBLES["a head"].encode())
        reader, writer = await asyncio.open_connection(sock=early)
        async with asyncio.timeout(15):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


async def test_who_asked_last_stays_longest(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=Patience(at_most=2))
    first, second = await edge.raw(), await edge.raw()
    for client in (first, second, first):
        _, headers = await client.request("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.reader.readexactly(int(headers["content-length"]))
    await edge.raw()
    assert await ended(second) == b""
    assert (await first.request("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200


async def until_waiting(edge: Edge, *, somebody: bool) -> None:
    async with asyncio.timeout(15):
        while bool(edge.app.ctx.waiting) is not somebody:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def test_who_asks_and_reads_no_answer_is_given_up(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=SHORT, page=b"x" * 100_000)
    client = await edge.raw()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
    client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    await until_waiting(edge, somebody=True)
    await until_waiting(edge, somebody=False)


async def test_nothing_is_kept_of_who_has_gone(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=SHORT)
    clients = [await edge.raw() for _ in range(10)]
    for number, client in enumerate(clients):
        client.writer.write(b"GET / " if number % 2 else b"")
        client.reset()
    await until_waiting(edge, somebody=False)
