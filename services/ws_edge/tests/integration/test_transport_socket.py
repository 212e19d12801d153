"""A client's socket: closing, silence, slow readers, faults of the owner."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import structlog

from chassis.logs import configure_logging
from ws_edge.transport import upgrade
from ws_edge.transport.websocket import Keepalive

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, StartEdge

pytestmark = pytest.mark.integration

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@pytest.fixture
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a test that configures the log: gives the test run its own back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    # A logger that was used once keeps the configuration of that time.
    monkeypatch.setattr(upgrade, "_log", structlog.get_logger(upgrade.__name__))
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(False)
    root.handlers, root.level = handlers, level


async def test_our_close_waits_for_the_peers_and_discards_what_comes_first(edge: Edge) -> None:
    client = await edge.open()
    edge.receiver.socket.close(4003, "Access denied")
    edge.receiver.socket.close(1000)
    edge.receiver.socket.write(b"\x81\x04late")
    assert await client.read() == (CLOSE, (4003).to_bytes(2, "big") + b"Access denied")
    client.send(TEXT, b"on its way")
    client.send(PING)
    client.send(CLOSE, (4003).to_bytes(2, "big"))
    assert await client.read() is None
    await edge.receiver.until("lost")
    assert edge.receiver.told == [("connected",), ("lost",)]


async def test_a_peer_that_does_not_answer_our_close_is_dropped(edge: Edge) -> None:
    client = await edge.open()
    edge.receiver.socket.close(1008)
    assert await client.read_close() == 1008
    client.send(TEXT, b"I stay")
    assert await client.read() is None
    await edge.receiver.until("lost")


async def test_a_broken_answer_to_our_close_brings_no_second_one(edge: Edge) -> None:
    client = await edge.open()
    edge.receiver.socket.close(1008)
    assert await client.read_close() == 1008
    client.send(3)
    client.send(TEXT, b"x" * 20000)
    assert await client.read() is None
    await edge.receiver.until("lost")


async def test_a_flooding_client_still_reads_our_close(edge: Edge) -> None:
    client = await edge.open()
    edge.receiver.on_text = lambda transport, _payload: transport.close(1008)
    client.writer.write(client.frame(TEXT, b"x" * 1000) * 4000)
    assert await client.read_close() == 1008


@pytest.mark.slow
async def test_after_20_s_of_silence_the_server_pings_and_drops_after_20_s_more(start_edge: StartEdge) -> None:
    assert Keepalive() == Keepalive(ping_after_s=20.0, pong_within_s=20.0, close_within_s=2.0)
    edge = await start_edge(keepalive=Keepalive(ping_after_s=0.1, pong_within_s=2.0))
    client = await edge.open()
    for _ in range(3):
        assert await client.read() == (PING, b"")
        client.send(PONG)
    assert await client.read() == (PING, b"")
    assert await client.read() is None
    await edge.receiver.until("lost")


async def test_any_frame_counts_as_a_sign_of_life(start_edge: StartEdge) -> None:
    edge = await start_edge(keepalive=Keepalive(ping_after_s=0.1, pong_within_s=2.0))
    client = await edge.open()
    for _ in range(3):
        assert await client.read() == (PING, b"")
        client.send(TEXT, b"here")
        assert await client.read() == (TEXT, b"here")


async def test_every_frame_that_completes_no_message_is_told(edge: Edge) -> None:
    client = await edge.open()
    client.send(PING, b"1")
    client.send(PONG)
    client.send(TEXT, b"a", fin=False)
    client.send(0, fin=False)
    client.send(PING, b"2")
    client.send(0, b"b")
    assert [await client.read() for _ in range(3)] == [(PONG, b"1"), (PONG, b"2"), (TEXT, b"ab")]
    assert edge.receiver.parts == 5


@pytest.mark.parametrize("flood", [(PING, b"x" * 125, True), (PONG, b"", True), (0, b"", False)])
async def test_a_receiver_that_has_enough_ends_a_flood_of_such_frames(
    edge: Edge, flood: tuple[int, bytes, bool]
) -> None:
    client = await edge.open()
    edge.receiver.on_part = lambda transport: transport.close(1008) if edge.receiver.parts == 500 else None
    opcode, payload, fin = flood
    client.send(TEXT, b"", fin=False)
    client.writer.write(client.frame(opcode, payload, fin=fin) * 10_000)
    pongs = 0
    while (frame := await client.read()) is not None and frame[0] == PONG:
        pongs += 1
    assert frame == (CLOSE, b"\x03\xf0")
    assert pongs == (498 if opcode == PING else 0)
    assert edge.receiver.parts == 500


async def test_a_receiver_that_fails_at_a_ping_is_closed_with_1011(edge: Edge) -> None:
    client = await edge.open()

    def fail(_transport: object) -> None:
        raise ZeroDivisionError

    edge.receiver.on_part = fail
    with structlog.testing.capture_logs() as logs:
        client.send(PING)
        assert await client.read() == (CLOSE, b"\x03\xf3")
    assert [entry["event"] for entry in logs] == ["receiver_failed"]


async def test_a_slow_reader_is_told_of_and_closed_alone(edge: Edge) -> None:
    slow, other = await edge.open(), await edge.open()
    slow.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
    receiver = edge.acceptor.receivers[0]
    frame = b"\x82\x7e\xff\xff" + b"x" * 65535
    while ("congested", True) not in receiver.told:
        receiver.socket.write(frame)
        await asyncio.sleep(0)
    assert receiver.socket.unsent_bytes() > 64 * 1024
    receiver.socket.close(1013)
    await receiver.until("lost")
    assert receiver.socket.unsent_bytes() == 0
    other.send(TEXT, b"fine")
    assert await other.read() == (TEXT, b"fine")


async def test_a_reader_that_catches_up_is_told_of(edge: Edge) -> None:
    client = await edge.open()
    frame = b"\x82\x7e\xff\xff" + b"x" * 65535
    while ("congested", True) not in edge.receiver.told:
        edge.receiver.socket.write(frame)
        await asyncio.sleep(0)
    while ("congested", False) not in edge.receiver.told:
        assert await client.read() == (2, b"x" * 65535)


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_a_client_that_goes_without_a_close_is_lost_once(edge: Edge, how: str) -> None:
    client = await edge.open()
    if how == "reset":
        client.reset()
    else:
        client.writer.write_eof()
    await edge.receiver.until("lost")
    assert edge.receiver.told == [("connected",), ("lost",)]
    edge.receiver.socket.write(b"\x81\x00")
    edge.receiver.socket.close(1000)


async def test_a_fault_of_the_owner_closes_its_connection_alone_with_1011(edge: Edge) -> None:
    good, bad = await edge.open(), await edge.open()

    def fail(_transport: object, _payload: bytes) -> None:
        raise ZeroDivisionError

    edge.receiver.on_text = fail
    with structlog.testing.capture_logs() as logs:
        bad.send(TEXT, b"x")
        assert await bad.read_close() == 1011
    assert edge.acceptor.receivers[1].told[-1] == ("lost",)  # before the peer has answered
    assert [(entry["event"], entry["call"]) for entry in logs] == [("receiver_failed", "receive_text")]
    good.send(TEXT, b"fine")
    assert await good.read() == (TEXT, b"fine")


@pytest.mark.usefixtures("logging_as_before")
async def test_an_acceptor_that_fails_closes_with_1011_and_logs_no_token(
    edge: Edge, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("ws_edge")
    edge.acceptor.failure = lambda: ValueError("the token was SECRET")
    client = await edge.open("/chat/ws/room/1?token=SECRET")
    assert await client.read_close() == 1011
    assert edge.acceptor.turned_away_with == ["internal"]
    (line,) = capsys.readouterr().out.splitlines()
    assert "SECRET" not in line
    event = json.loads(line)
    assert (event["event"], event["level"], event["kind"]) == ("arrival_failed", "error", "ValueError")
    assert event["place"].endswith(" _arrive")
