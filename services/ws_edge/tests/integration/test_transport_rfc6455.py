"""RFC 6455 on the wire, frame by frame."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import websockets

from ws_edge.transport.websocket import Keepalive

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, StartEdge

pytestmark = pytest.mark.integration

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


async def test_text_is_received_and_sent(edge: Edge) -> None:
    async with websockets.connect(edge.url("/chat/ws/room/live")) as client:
        await client.send("héllo")
        assert await client.recv() == "héllo"
    await edge.receiver.until("lost")
    assert edge.receiver.told == [("connected",), ("text", "héllo".encode()), ("lost",)]
    assert client.close_code == 1000


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 4096, 16384])
async def test_texts_of_every_length_form_arrive_whole(edge: Edge, size: int) -> None:
    client = await edge.open()
    client.send(TEXT, b"x" * size)
    assert await client.read() == (TEXT, b"x" * size)


async def test_fragments_are_put_together_around_control_frames(edge: Edge) -> None:
    client = await edge.open()
    client.send(TEXT, b"h" + "é".encode()[:1], fin=False)
    client.send(PING, b"between")
    client.send(CONTINUATION, "é".encode()[1:], fin=False)
    client.send(PONG, b"unasked")
    client.send(CONTINUATION, b"!", fin=True)
    assert await client.read() == (PONG, b"between")
    assert await client.read() == (TEXT, "hé!".encode())


async def test_frames_may_arrive_byte_by_byte(edge: Edge) -> None:
    client = await edge.open()
    for byte in client.frame(TEXT, b"slow") + client.frame(PING, b"p"):
        client.writer.write(bytes((byte,)))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert await client.read() == (TEXT, b"slow")
    assert await client.read() == (PONG, b"p")


async def test_binary_messages_are_told_without_content(edge: Edge) -> None:
    client = await edge.open()
    client.send(BINARY, b"\xff", fin=False)
    client.send(CONTINUATION, b"\xfe")
    await edge.receiver.until("binary")


@pytest.mark.parametrize("payload", [b"", b"ping", b"\x00\xff" * 60, b"x" * 125])
async def test_a_ping_is_answered_with_its_payload(edge: Edge, payload: bytes) -> None:
    client = await edge.open()
    client.send(PING, payload)
    assert await client.read() == (PONG, payload)


async def test_an_unasked_pong_is_ignored(edge: Edge) -> None:
    client = await edge.open()
    client.send(PONG, b"hello")
    client.send(TEXT, b"still here")
    assert await client.read() == (TEXT, b"still here")


def broken(name: str, code: int, *frames: dict[str, object] | bytes) -> object:
    return pytest.param(frames, code, id=name)


def f(opcode: int, payload: bytes = b"", **how: object) -> dict[str, object]:
    return {"opcode": opcode, "payload": payload, **how}


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        *(broken(f"reserved bit {rsv}", 1002, f(TEXT, b"x", rsv=rsv)) for rsv in (1, 2, 4, 7)),
        broken("reserved bit in a ping", 1002, f(PING, rsv=1)),
        broken("reserved bit in a close", 1002, f(CLOSE, b"\x03\xe8", rsv=2)),
        *(broken(f"opcode {opcode}", 1002, f(opcode)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        broken("opcode inside a message", 1002, f(TEXT, b"x", fin=False), f(3)),
        broken("unmasked text", 1002, f(TEXT, b"x", masked=False)),
        broken("unmasked close", 1002, f(CLOSE, b"", masked=False)),
        broken("continuation of nothing", 1002, f(CONTINUATION, b"x")),
        broken("unfinished continuation of nothing", 1002, f(CONTINUATION, b"x", fin=False)),
        broken("text inside a text", 1002, f(TEXT, b"x", fin=False), f(TEXT, b"y")),
        broken("fragmented ping", 1002, f(PING, b"x", fin=False)),
        broken("long ping", 1002, f(PING, b"x" * 126)),
        broken("long close", 1002, f(CLOSE, b"\x03\xe8" + b"x" * 124)),
        broken("close of one byte", 1002, f(CLOSE, b"\x03")),
        *(
            broken(f"close code {code}", 1002, f(CLOSE, code.to_bytes(2, "big")))
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
        ),
        broken("close reason in bad UTF-8", 1007, f(CLOSE, b"\x03\xe8\xff\xfe")),
        broken("bad UTF-8", 1007, f(TEXT, b"a\xc3(")),
        broken("bad UTF-8 across fragments", 1007, f(TEXT, b"\xe2\x82", fin=False), f(CONTINUATION, b"x")),
        broken("one byte too much", 1009, f(TEXT, b"x" * 16385)),
        broken("fragments too long together", 1009, f(TEXT, b"x" * 16384, fin=False), f(CONTINUATION, b"x")),
        broken("binary too long", 1009, f(BINARY, b"x" * 16385)),
        broken("announced over the limit", 1009, b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"\1\2\3\4"),
        broken("length with the highest bit", 1002, b"\x81\xff" + (1 << 63).to_bytes(8, "big") + b"\1\2\3\4"),
        broken("length in too many bytes", 1002, b"\x81\xfe\x00\x05\1\2\3\4abcde"),
    ],
)
async def test_a_broken_frame_is_answered_with_its_close_code(
    edge: Edge, frames: tuple[dict[str, object] | bytes, ...], code: int
) -> None:
    client = await edge.open()
    for frame in frames:
        client.writer.write(frame if isinstance(frame, bytes) else client.frame(**frame))  # type: ignore[arg-type]  # a table of arguments
    assert await client.read_close() == code
    assert await client.read() is None, "nothing follows the close frame"
    await edge.receiver.until("lost")
    assert edge.receiver.told == [("connected",), ("lost",)]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 1014, 3000, 3999, 4000, 4999])
async def test_a_close_is_echoed(edge: Edge, code: int) -> None:
    client = await edge.open()
    client.send(CLOSE, code.to_bytes(2, "big") + b"bye")
    assert await client.read_close() == code
    assert await client.read() is None
    await edge.receiver.until("lost")


async def test_a_close_without_code_is_answered_with_1000(edge: Edge) -> None:
    client = await edge.open()
    client.send(CLOSE)
    assert await client.read_close() == 1000
    assert await client.read() is None


async def test_after_the_answer_to_a_close_nothing_more_is_waited_for(start_edge: StartEdge) -> None:
    edge = await start_edge(keepalive=Keepalive(close_within_s=60))
    client = await edge.open()
    client.send(CLOSE)
    assert await client.read_close() == 1000
    assert await client.read() is None
    client.reset()


async def test_what_follows_a_close_is_not_received(edge: Edge) -> None:
    client = await edge.open()
    client.writer.write(client.frame(CLOSE, b"\x03\xe8") + client.frame(TEXT, b"late") + client.frame(PING))
    assert await client.read_close() == 1000
    assert await client.read() is None
    assert edge.receiver.told == [("connected",), ("lost",)]


async def test_a_sender_of_too_much_still_reads_its_1009(start_edge: StartEdge) -> None:
    edge = await start_edge(keepalive=Keepalive(close_within_s=60))  # a busy machine needs its time for 8 MiB
    client = await edge.open()
    client.writer.write(b"\x81\xff" + (8 << 20).to_bytes(8, "big") + b"\0\0\0\0")
    for _ in range(128):  # 8 MiB, most of it after the close frame was sent
        client.writer.write(b"x" * 65536)
    await client.writer.drain()
    assert await client.read_close() == 1009


async def test_the_limit_is_the_receivers_own(start_edge: StartEdge) -> None:
    edge = await start_edge()
    make = edge.acceptor.make
    edge.acceptor.make = lambda: make(frame_limit_bytes=4096)  # type: ignore[call-arg]  # it is the class
    client = await edge.open("/live/ws")
    client.send(TEXT, b"x" * 4096)
    assert await client.read() == (TEXT, b"x" * 4096)
    client.send(TEXT, b"x" * 4097)
    assert await client.read_close() == 1009


async def test_one_broken_client_does_not_disturb_another(edge: Edge) -> None:
    good, bad = await edge.open(), await edge.open()
    bad.send(3)
    assert await bad.read_close() == 1002
    good.send(TEXT, b"fine")
    assert await good.read() == (TEXT, b"fine")
