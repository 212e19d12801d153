"""What an upgrade has to keep when Sanic's connection becomes picows'."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING

import pytest
import websockets
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out
from sanic import Request
from sanic.server import HttpProtocol

from ws_edge.chat.arrivals import Refusal
from ws_edge.errors import CloseCode, ErrorCode
from ws_edge.protocol import codec
from ws_edge.transport.front_door import FrontDoor
from ws_edge.transport.patience import Patience
from ws_edge.transport.websocket import Keepalive

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, RawClient, StartEdge

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("each_door")]

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


async def test_frames_right_behind_the_head_are_received(edge: Edge) -> None:
    client = await edge.raw()
    early = b"".join(client.frame(TEXT, text) for text in (b"one", b"two" * 2000, b"three"))
    status, _ = await client.request(edge.head(), early)
    assert status == 101
    assert await edge.receiver.until_texts(3) == [b"one", b"two" * 2000, b"three"]


async def test_frames_sent_before_and_after_the_answer_are_received_in_order(edge: Edge) -> None:
    client = await edge.raw()
    client.writer.write(edge.head().encode() + client.frame(TEXT, b"early"))
    client.send(TEXT, b"later")
    await client.writer.drain()
    await client.request("")
    client.send(TEXT, b"last")
    texts = [await client.read() for _ in range(3)]
    assert texts == [(TEXT, b"early"), (TEXT, b"later"), (TEXT, b"last")]


async def test_half_a_frame_behind_the_head_is_completed_later(edge: Edge) -> None:
    client = await edge.raw()
    frame = client.frame(TEXT, b"in two pieces")
    await client.request(edge.head(), frame[:5])
    client.writer.write(frame[5:])
    assert await client.read() == (TEXT, b"in two pieces")


async def test_a_client_that_goes_at_the_last_moment_is_connected_and_lost(edge: Edge) -> None:
    def make() -> object:
        for found in gc.get_objects():
            if isinstance(found, HttpProtocol) and found.transport is not None:
                found.transport.abort()
            elif isinstance(found, FrontDoor):
                found.abort()
        return original(echoes=False)  # type: ignore[call-arg]  # it is the class

    original, edge.acceptor.make = edge.acceptor.make, make  # type: ignore[assignment]  # returns a Recorder
    client = await edge.raw()
    client.writer.write(edge.head().encode())
    assert await client.read() is None
    assert edge.receiver.told == [("connected",), ("lost",)]
    edge.receiver.socket.write(b"\x81\x00")
    edge.receiver.socket.close(1000)
    assert edge.receiver.socket.unsent_bytes() == 0
    assert not edge.app.ctx.open_sockets


async def test_the_first_frames_and_a_close_may_be_sent_on_connecting(edge: Edge) -> None:
    make = edge.acceptor.make
    edge.acceptor.make = lambda: make(  # type: ignore[call-arg]  # it is the class
        on_connected=lambda transport: (transport.write(b"\x81\x02no"), transport.close(4003, "é" * 100))
    )
    client = await edge.open()
    assert await client.read() == (TEXT, b"no")
    frame = await client.read()
    assert frame is not None
    assert frame == (CLOSE, (4003).to_bytes(2, "big") + ("é" * 61).encode()), "a reason is cut at a whole character"
    client.send(CLOSE, frame[1][:2])
    assert await client.read() is None
    await edge.receiver.until("lost")


async def knock(edge: Edge) -> RawClient:
    """A client whose receiver writes soon, and has written nothing yet."""
    make = edge.acceptor.make
    edge.acceptor.make = lambda: make(writes_soon=True)  # type: ignore[call-arg]  # it is the class
    client = await edge.raw()
    client.writer.write(edge.head().encode())
    async with asyncio.timeout(15):
        while not edge.acceptor.receivers:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    await edge.receiver.until("connected")
    return client


async def test_the_answer_goes_together_with_what_is_written_soon(edge: Edge) -> None:
    client = await knock(edge)
    edge.receiver.socket.write(b"\x81\x02hi")
    edge.receiver.socket.write(b"\x81\x03you")
    async with asyncio.timeout(15):
        received = await client.reader.read(65536)
        head, _, frames = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert frames.startswith(b"\x81\x02hi")
    client.send(TEXT, b"there")
    assert await edge.receiver.until_texts(1) == [b"there"]


async def test_a_frame_of_the_client_that_comes_first_is_answered_by_the_handshake(edge: Edge) -> None:
    client = await knock(edge)
    client.send(PING, b"early")
    assert (await client.request(""))[0] == 101
    assert await client.read() == (PONG, b"early")


async def test_a_close_without_a_frame_comes_behind_the_answer(edge: Edge) -> None:
    client = await knock(edge)
    edge.receiver.socket.close(4003)
    assert (await client.request(""))[0] == 101
    assert await client.read_close() == 4003


async def test_what_is_not_written_soon_is_not_waited_for(start_edge: StartEdge) -> None:
    edge = await start_edge(keepalive=Keepalive(answer_within_s=0.05, close_within_s=0.3))
    client = await knock(edge)
    assert (await client.request(""))[0] == 101
    edge.receiver.socket.write(b"\x81\x02hi")
    assert await client.read() == (TEXT, b"hi")


async def test_a_client_that_goes_before_it_is_answered_is_lost(edge: Edge) -> None:
    client = await knock(edge)
    client.reset()
    await edge.receiver.until("lost")
    edge.receiver.socket.write(b"\x81\x02hi")
    edge.receiver.socket.close(4003)
    await asyncio.sleep(0)
    assert not edge.app.ctx.open_sockets


async def test_a_handshake_is_answered_within_a_second() -> None:
    assert Keepalive().answer_within_s == 1.0


async def test_sanic_keeps_nothing_of_an_upgraded_connection(edge: Edge) -> None:
    clients = [await edge.open(f"/chat/ws/room/{n}?token=TOKEN-{n}-SECRET") for n in range(5)]

    def left() -> list[object]:
        gc.collect()
        found = [found for found in gc.get_objects() if isinstance(found, Request | HttpProtocol)]
        return [each for each in found if each.app is edge.app]  # others may be held by the failures of other tests

    # The client may read the answer before the connection's task has ended: that takes some turns of the loop.
    async with asyncio.timeout(30):
        while left():  # noqa: ASYNC110 - Sanic tells nobody
            await asyncio.sleep(0.01)
    for client in clients:
        client.send(TEXT, b"here")
        assert await client.read() == (TEXT, b"here")


def parsers() -> int:
    gc.collect()
    return sum(isinstance(found, WSProtocol) for found in gc.get_objects())


async def test_who_only_reads_needs_no_parser(edge: Edge) -> None:
    before = parsers()
    client = await edge.open()
    edge.receiver.socket.write(b"\x81\x04read")
    assert await client.read() == (TEXT, b"read")
    assert parsers() == before
    client.send(TEXT, b"written")
    assert await client.read() == (TEXT, b"written")
    assert parsers() == before + 1


async def until(client: RawClient, frame: tuple[int, bytes]) -> None:
    """Read up to this frame: on a busy machine pings come earlier than one thinks."""
    while (found := await client.read()) != frame:
        assert found == (PING, b"")


async def test_who_is_silent_needs_no_parser_any_more_nor_for_a_pong(start_edge: StartEdge) -> None:
    edge = await start_edge(keepalive=Keepalive(ping_after_s=0.1, pong_within_s=2.0))
    make, before = edge.acceptor.make, parsers()
    while_receiving: list[int] = []
    edge.acceptor.make = lambda: make(on_text=lambda *_: while_receiving.append(parsers() - before))  # type: ignore[call-arg]  # it is the class
    client = await edge.open()
    for text in (b"once", b"again"):
        client.send(TEXT, text)
        await until(client, (TEXT, text))
        await until(client, (PING, b""))
        assert parsers() == before
        client.send(PONG, b"here")
        await until(client, (PING, b""))
        assert parsers() == before
    assert while_receiving == [1, 1]
    assert edge.receiver.parts == 2


@pytest.mark.parametrize("sent", [1, 7])
async def test_a_silence_in_the_middle_of_a_frame_changes_nothing(start_edge: StartEdge, sent: int) -> None:
    edge = await start_edge(keepalive=Keepalive(ping_after_s=0.1, pong_within_s=10.0))
    client = await edge.open()
    frame = client.frame(TEXT, b"in two pieces")
    client.writer.write(frame[:sent])
    await until(client, (PING, b""))
    client.writer.write(frame[sent:])
    await until(client, (TEXT, b"in two pieces"))


async def test_a_silence_in_the_middle_of_a_message_changes_nothing(start_edge: StartEdge) -> None:
    edge = await start_edge(keepalive=Keepalive(ping_after_s=0.1, pong_within_s=10.0))
    client = await edge.open()
    client.send(TEXT, b"one ", fin=False)
    await until(client, (PING, b""))
    client.send(0, b"message")
    await until(client, (TEXT, b"one message"))


async def test_who_only_reads_and_is_closed_may_answer_the_close(edge: Edge) -> None:
    client = await edge.open()
    edge.receiver.socket.close(4003)
    assert await client.read_close() == 4003
    client.send(CLOSE, (4003).to_bytes(2, "big"))
    assert await client.read() is None


async def test_a_lost_connection_leaves_nothing_behind(edge: Edge) -> None:
    client = await edge.open()
    assert len(edge.app.ctx.open_sockets) == 1
    client.reset()
    await edge.receiver.until("lost")
    await asyncio.sleep(0)
    assert not edge.app.ctx.open_sockets


async def test_no_task_remains_for_an_idle_connection(edge: Edge) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(5):
        await edge.open()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) <= before


async def test_the_time_of_a_request_does_not_reach_an_upgraded_connection(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=Patience(request_within_s=0.1, idle_for_s=0.1))
    client = await edge.open()
    idle_http = await edge.raw()
    assert await idle_http.read() is None, "a connection that asks nothing ends"
    client.send(TEXT, b"awake")
    assert await client.read() == (TEXT, b"awake")


async def test_the_log_stays_clean(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with websockets.connect(edge.url("/live/ws"), logger=logging.getLogger("quiet")) as polite:
        await polite.send("hello")
        await polite.recv()
    broken = await edge.open()
    broken.send(3)
    assert await broken.read_close() == 1002
    gone = await edge.open()
    gone.reset()
    await edge.receiver.until("lost")
    assert [record.getMessage() for record in caplog.records if not record.name.startswith("quiet")] == []


async def test_connections_that_drain_leaves_open_are_closed_at_the_stop(start_edge: StartEdge) -> None:
    edge = await start_edge()
    answering, silent = await edge.open(), await edge.open()
    edge.stop.set()
    assert await answering.read_close() == 1012
    answering.send(CLOSE, b"\x03\xf4")
    assert await answering.read() is None
    async with asyncio.timeout(4):
        await edge.served
    assert edge.drained.is_set()
    assert await silent.read_close() == 1012
    assert [receiver.told[-1] for receiver in edge.acceptor.receivers] == [("lost",), ("lost",)]


async def test_while_draining_the_edge_answers_newcomers_and_is_not_ready(start_edge: StartEdge) -> None:
    going = asyncio.Event()
    edge = await start_edge(drain=going.wait)
    kept = await edge.raw()
    status, _ = await kept.request("GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    await kept.reader.readuntil(b"}")
    client = await edge.open()
    edge.stop.set()
    await asyncio.sleep(0)
    status, headers = await kept.request("GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
    body = await kept.reader.readexactly(int(headers["content-length"]))
    assert (status, body) == (503, b'{"status":"not ready","failing":["draining"]}')
    status, _, body = await edge.http("GET", "/health/ready")
    assert (status, body) == (503, b'{"status":"not ready","failing":["draining"]}')
    edge.acceptor.make = lambda: Refusal(ErrorCode.UNAVAILABLE, CloseCode.SERVICE_RESTART)  # type: ignore[assignment, return-value]  # no Recorder
    late = await edge.open()
    assert await late.read() == (TEXT, codec.error(ErrorCode.UNAVAILABLE)[2:])
    assert await late.read_close() == 1012
    client.send(TEXT, b"still served")
    assert await client.read() == (TEXT, b"still served")
    going.set()
    assert await client.read_close() == 1012
    with pytest.raises(ConnectionRefusedError):
        await edge.raw()


async def test_a_request_in_flight_is_answered_before_the_stop(start_edge: StartEdge) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def check() -> None:
        asked.set()
        await answer.wait()

    edge = await start_edge(checks={"rooms": check})
    client = await edge.raw()
    client.writer.write(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
    await asked.wait()
    edge.stop.set()
    await edge.drained.wait()
    answer.set()
    status, _ = await client.request("")
    assert status == 503, "the edge is draining by now"
    async with asyncio.timeout(4):
        await edge.served


async def test_a_drain_that_fails_still_closes_every_client(start_edge: StartEdge) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    edge = await start_edge(drain=fail)
    client = await edge.open()
    edge.stop.set()
    assert await client.read_close() == 1012
    (receiver,) = edge.acceptor.receivers
    assert receiver.told[-1] == ("lost",)  # at once: what it wrote now would come behind the close frame
    client.send(CLOSE, b"\x03\xf4")
    with pytest.raises(ZeroDivisionError):
        await edge.served
    edge.served = asyncio.create_task(asyncio.sleep(0))
