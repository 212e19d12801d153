"""permessage-deflate on the wire: what is negotiated, and what a client may send then."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, RawClient, StartEdge

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("each_door")]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2 = 4, 2
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LIMIT = 16 * 1024


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    return await start_edge(has_compression=True)


async def negotiated(edge: Edge, path: str = "/chat/ws/room/1") -> RawClient:
    client = await edge.raw()
    status, answer = await client.request(edge.head(path, Sec_WebSocket_Extensions="permessage-deflate"))
    assert (status, answer["sec-websocket-extensions"]) == (101, ANSWER)
    return client


def deflated(message: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


async def test_without_the_setting_nothing_is_negotiated(start_edge: StartEdge) -> None:
    plain = await start_edge()
    client = await plain.raw()
    status, answer = await client.request(plain.head(Sec_WebSocket_Extensions="permessage-deflate"))
    assert status == 101
    assert "sec-websocket-extensions" not in answer
    client.send(TEXT, deflated(b"x"), rsv=RSV1)
    assert await client.read_close() == 1002
    assert not plain.receiver.socket.takes_compressed


async def test_who_offers_nothing_acceptable_gets_a_connection_without(edge: Edge) -> None:
    for offer in (None, "permessage-deflate; server_max_window_bits=9", "permessage-deflate; =", "unknown"):
        client = await edge.raw()
        status, answer = await client.request(edge.head(Sec_WebSocket_Extensions=offer))
        assert status == 101
        assert "sec-websocket-extensions" not in answer
        assert not edge.receiver.socket.takes_compressed
        client.send(TEXT, b"plain")
        assert await client.read() == (TEXT, b"plain")


@pytest.mark.parametrize("path", ["/chat/ws/room/1", "/chat/ws/video/1", "/live/ws"])
async def test_every_address_negotiates_beside_a_subprotocol(edge: Edge, path: str) -> None:
    client = await edge.raw()
    head = edge.head(path, Sec_WebSocket_Extensions="permessage-deflate", Sec_WebSocket_Protocol="bearer, a.b.c")
    status, answer = await client.request(head)
    assert status == 101
    assert answer["sec-websocket-extensions"] == ANSWER
    assert answer["sec-websocket-protocol"] == "bearer"
    assert edge.receiver.socket.takes_compressed


@pytest.mark.parametrize("window_bits", [9, 12, 15])
async def test_the_websockets_library_is_understood(edge: Edge, window_bits: int) -> None:
    offer = ClientPerMessageDeflateFactory(
        server_max_window_bits=12, client_max_window_bits=window_bits, compress_settings={"level": 9}
    )
    texts = ["héllo " * 100, "", "x", "a" * LIMIT]
    async with websockets.connect(edge.url("/chat/ws/room/live"), compression=None, extensions=[offer]) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        for text in texts:
            await client.send(text)
            assert await client.recv() == text
        await client.send(text[:100] for text in texts if text)
        assert await client.recv() == "".join(text[:100] for text in texts)
    assert await edge.receiver.until_texts(5)


async def test_a_negotiated_client_may_send_plain_messages_between_compressed_ones(edge: Edge) -> None:
    client = await negotiated(edge)
    client.send(TEXT, b"plain")
    client.send(TEXT, deflated(b"compressed"), rsv=RSV1)
    client.send(TEXT, b"pl", fin=False)
    client.send(CONTINUATION, b"ain")
    client.send(BINARY, deflated(b"\xff"), rsv=RSV1)
    assert [await client.read() for _ in range(3)] == [(TEXT, b"plain"), (TEXT, b"compressed"), (TEXT, b"plain")]
    await edge.receiver.until("binary")


async def test_compressed_fragments_are_put_together_around_control_frames(edge: Edge) -> None:
    client = await negotiated(edge)
    payload = deflated("héllo".encode() * 50)
    client.send(TEXT, payload[:3], fin=False, rsv=RSV1)
    client.send(PING, b"between")
    client.send(CONTINUATION, payload[3:])
    assert await client.read() == (PONG, b"between")
    assert await client.read() == (TEXT, "héllo".encode() * 50)


async def test_a_compressed_frame_may_arrive_byte_by_byte(edge: Edge) -> None:
    client = await negotiated(edge)
    for byte in client.frame(TEXT, deflated(b"\xc3\xa9" * 100), rsv=RSV1) + client.frame(PING, b"p"):
        client.writer.write(bytes((byte,)))
        await client.writer.drain()
    assert await client.read() == (TEXT, b"\xc3\xa9" * 100)
    assert await client.read() == (PONG, b"p")


async def test_the_limit_is_that_of_the_inflated_message(edge: Edge) -> None:
    client = await negotiated(edge)
    text = b"x" * LIMIT
    stored = zlib.compressobj(0, wbits=-15)
    payload = (stored.compress(text) + stored.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")
    assert len(payload) > LIMIT
    client.send(TEXT, payload, rsv=RSV1)
    assert await client.read() == (TEXT, text)
    client.send(TEXT, deflated(text + b"x"), rsv=RSV1)
    assert await client.read_close() == 1009


async def test_the_limit_is_the_receivers_own(edge: Edge) -> None:
    make = edge.acceptor.make
    edge.acceptor.make = lambda: make(frame_limit_bytes=4096)  # type: ignore[call-arg]  # it is the class
    client = await negotiated(edge, "/live/ws")
    client.send(TEXT, deflated(b"x" * 4096), rsv=RSV1)
    assert await client.read() == (TEXT, b"x" * 4096)
    client.send(TEXT, deflated(b"x" * 4097), rsv=RSV1)
    assert await client.read_close() == 1009


Frame = tuple[int, bytes, bool, int]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([(PING, b"", True, RSV1)], 1002, id="a compressed ping"),
        pytest.param([(CLOSE, b"\x03\xe8", True, RSV1)], 1002, id="a compressed close"),
        pytest.param([(TEXT, b"x", True, RSV2)], 1002, id="another reserved bit"),
        pytest.param([(TEXT, deflated(b"x"), True, RSV1 | RSV2)], 1002, id="another reserved bit beside it"),
        pytest.param(
            [(TEXT, deflated(b"xy")[:2], False, RSV1), (CONTINUATION, deflated(b"xy")[2:], True, RSV1)],
            1002,
            id="a continuation that says so again",
        ),
        pytest.param(
            [(TEXT, b"x", False, 0), (CONTINUATION, b"y", True, RSV1)], 1002, id="only a continuation says so"
        ),
        pytest.param([(CONTINUATION, b"y", True, RSV1)], 1002, id="a continuation of nothing"),
        pytest.param([(TEXT, b"x", False, 0), (TEXT, deflated(b"x"), True, RSV1)], 1002, id="inside a text"),
        pytest.param([(TEXT, b"not deflate", True, RSV1)], 1007, id="no deflate"),
        pytest.param([(TEXT, deflated(b"cut short")[:-4], True, RSV1)], 1007, id="cut short"),
        pytest.param([(TEXT, deflated(b"\xc3("), True, RSV1)], 1007, id="bad UTF-8"),
        pytest.param([(TEXT, deflated(b"\0" * 10_000_000), True, RSV1)], 1009, id="a bomb"),
        pytest.param([(TEXT, b"x" * (LIMIT + 1), True, 0)], 1009, id="a plain text over the limit"),
        pytest.param([(TEXT, b"x" * 2 * LIMIT, True, RSV1)], 1009, id="twice the limit, compressed"),
        pytest.param(
            [(TEXT, b"\0" * LIMIT, False, RSV1), (CONTINUATION, b"\0" * LIMIT, True, 0)], 1009, id="in fragments"
        ),
    ],
)
async def test_what_breaks_the_extension_is_answered_with_its_close_code(
    edge: Edge, frames: list[Frame], code: int
) -> None:
    client = await negotiated(edge)
    for opcode, payload, fin, rsv in frames:
        client.send(opcode, payload, fin=fin, rsv=rsv)
    assert await client.read_close() == code
    assert await client.read() is None, "nothing follows the close frame"
    await edge.receiver.until("lost")
    assert edge.receiver.told == [("connected",), ("lost",)]


async def test_bombs_are_refused_without_disturbing_another(edge: Edge) -> None:
    good, bomb = await negotiated(edge), deflated(b"\0" * 10_000_000)
    for _ in range(20):
        bad = await negotiated(edge)
        bad.send(TEXT, bomb, rsv=RSV1)
        assert await bad.read_close() == 1009
    good.send(TEXT, deflated(b"fine"), rsv=RSV1)
    assert await good.read() == (TEXT, b"fine")
