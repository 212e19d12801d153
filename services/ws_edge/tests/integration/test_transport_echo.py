"""The echo server and what RFC 6455 asks of it, byte for byte. Cases with a number are Autobahn's of that number.

Clients mask with zeros, so that their bytes can be read here.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from ws_edge.transport import echo as echo_module
from ws_edge.transport.echo import EchoAcceptor

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, StartEdge

pytestmark = pytest.mark.integration

CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
PING = b"\x89\x80\0\0\0\0"
KOSME = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
"""Greek, 11 bytes."""


def text(payload: bytes) -> bytes:
    """A whole text frame of a client."""
    return b"\x81" + _size(len(payload)) + b"\0\0\0\0" + payload


def _size(size: int) -> bytes:
    if size < 126:
        return bytes((0x80 | size,))
    return b"\xfe" + size.to_bytes(2) if size < 65536 else b"\xff" + size.to_bytes(8)


def octets(payload: bytes) -> list[bytes]:
    """A text in as many fragments as it has bytes."""
    opcodes = [0x01] + [0x00] * (len(payload) - 1)
    opcodes[-1] |= 0x80
    return [bytes((opcode, 0x81, 0, 0, 0, 0, byte)) for opcode, byte in zip(opcodes, payload, strict=True)]


def closing(code: int, reason: bytes = b"") -> bytes:
    return bytes((0x88, 0x80 | (2 + len(reason)), 0, 0, 0, 0)) + code.to_bytes(2) + reason


def echoed(payload: bytes) -> bytes:
    """A whole text frame of the server."""
    size = len(payload)
    head = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    return b"\x81" + head + payload


Case = tuple[list[bytes], bytes, int]
"""What is sent, in parts; what comes back before the close frame; its code. Nothing comes after it."""

FRAGMENTS: dict[str, Case] = {
    "5.1 ping in two frames": ([b"\x09\x81\0\0\0\0a", b"\x80\x81\0\0\0\0b"], b"", 1002),
    "5.2 pong in two frames": ([b"\x0a\x81\0\0\0\0a", b"\x80\x81\0\0\0\0b"], b"", 1002),
    "5.3 text in two frames": ([b"\x01\x81\0\0\0\0a", b"\x80\x81\0\0\0\0b", CLOSE], b"\x81\x02ab", 1000),
    "5.5 text in many frames": ([*octets(b"fragment"), CLOSE], b"\x81\x08fragment", 1000),
    "5.6 ping between fragments": (
        [b"\x01\x81\0\0\0\0a", b"\x89\x82\0\0\0\0hi", b"\x80\x81\0\0\0\0b", CLOSE],
        b"\x8a\x02hi\x81\x02ab",
        1000,
    ),
    "5.9 continuation of nothing": ([b"\x80\x81\0\0\0\0a", text(b"x")], b"", 1002),
    "5.12 unfinished continuation of nothing": ([b"\x00\x81\0\0\0\0a", text(b"x")], b"", 1002),
    "5.15 continuation behind a whole message": (
        [b"\x01\x81\0\0\0\0a", b"\x80\x81\0\0\0\0b", b"\x00\x81\0\0\0\0c", text(b"x")],
        b"\x81\x02ab",
        1002,
    ),
    "5.18 text inside a text": ([b"\x01\x81\0\0\0\0a", b"\x81\x81\0\0\0\0b"], b"", 1002),
    "5.19 two pings between five fragments": (
        [
            *(b"\x01\x81\0\0\0\0a", b"\x00\x81\0\0\0\0b", b"\x89\x81\0\0\0\x001", b"\x00\x81\0\0\0\0c"),
            *(b"\x00\x81\0\0\0\0d", b"\x89\x81\0\0\0\x002", b"\x80\x81\0\0\0\0e", CLOSE),
        ],
        b"\x8a\x011\x8a\x012\x81\x05abcde",
        1000,
    ),
    "empty fragments": ([b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0", b"\x80\x80\0\0\0\0", CLOSE], b"\x81\x00", 1000),
}

BEHIND_A_TEXT: dict[str, Case] = {
    "3.2 reserved bit": ([text(b"a"), b"\xa1\x81\0\0\0\0b", PING], b"\x81\x01a", 1002),
    "4.1.3 reserved opcode": ([text(b"a"), b"\x85\x80\0\0\0\0", PING], b"\x81\x01a", 1002),
    "4.2.3 reserved control opcode": ([text(b"a"), b"\x8d\x80\0\0\0\0", PING], b"\x81\x01a", 1002),
    "unmasked": ([text(b"a"), b"\x81\x01b"], b"\x81\x01a", 1002),
    "long ping": ([text(b"a"), b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126], b"\x81\x01a", 1002),
    "too big": ([text(b"a"), b"\x81\xff\0\0\0\0\x01\0\0\x01"], b"\x81\x01a", 1009),
    "one masked with more than zeros": ([b"\x81\x83\x01\x02\x03\x04`a`", CLOSE], b"\x81\x03acc", 1000),
}

CLOSES: dict[str, Case] = {
    "7.1.1 text, close": ([text(b"Hello"), CLOSE], b"\x81\x05Hello", 1000),
    "7.1.2 two closes": ([CLOSE, CLOSE], b"", 1000),
    "7.1.2 the second one is another": ([closing(3000, b"bye"), closing(4000)], b"", 3000),
    "7.1.2 the second one is broken": ([CLOSE, closing(1005)], b"", 1000),
    "7.1.3 close, ping": ([CLOSE, PING], b"", 1000),
    "7.1.4 close, text": ([CLOSE, text(b"late")], b"", 1000),
    "7.1.5 close inside a text": ([b"\x01\x81\0\0\0\0a", CLOSE, b"\x80\x81\0\0\0\0b"], b"", 1000),
    "7.1.6 256 KiB, close, ping": ([text(b"x" * 262144), CLOSE, PING], echoed(b"x" * 262144), 1000),
    "close, broken frame": ([CLOSE, b"\x83\x80\0\0\0\0"], b"", 1000),
    "close, unmasked frame": ([CLOSE, b"\x81\x01a"], b"", 1000),
    "7.3.1 no code": ([b"\x88\x80\0\0\0\0"], b"", 1000),
    "7.3.2 half a code": ([b"\x88\x81\0\0\0\0\x03"], b"", 1002),
    "7.3.3 a code": ([closing(1000)], b"", 1000),
    "7.3.4 a reason": ([closing(1000, b"adieu")], b"", 1000),
    "7.3.5 the longest reason": ([closing(1000, b"x" * 123)], b"", 1000),
    "7.3.6 too long a reason": ([b"\x88\xfe\x00\x7e\0\0\0\0\x03\xe8" + b"x" * 124], b"", 1002),
    "7.5.1 reason in bad UTF-8": ([closing(1000, KOSME + b"\xed\xa0\x80edited")], b"", 1007),
    **{
        f"7.7 code {code}": ([closing(code)], b"", code)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
    **{
        f"7.9, 7.13 code {code}": ([closing(code)], b"", 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}

VALID = [
    *(b"", b"\0", b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!", KOSME),
    *(b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80", b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"),
    *(b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xef\xbf\xbe", b"\xef\xb7\x90", b"\xf0\x9f\xbf\xbe"),
]
INVALID = [
    *(b"\x80", b"\xbf", b"\x80\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xc0\x80", b"\xe0\x80\xaf", b"\xe0\x9f\xbf"),
    *(b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80"),
    *(b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xc0 ", b"\xe0 ", b"\xf0 ", b"\xed\xa0\x80", b"\xed\xbf\xbf"),
    *(b"\xed\xa0\x80\xed\xb0\x80", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
]
CUT_SHORT = [b"\xce", b"\xce\xba\xe1", b"\xce\xba\xe1\xbd", b"\xf0\x90\x80", b"\xe0\xa0", b"\xed\x9f", b"\xf4\x8f\xbf"]

UTF8: dict[str, Case] = {
    **{f"6 valid {payload!r}": ([text(payload), CLOSE], echoed(payload), 1000) for payload in VALID},
    **{f"6 valid in octets {payload!r}": ([*octets(payload), CLOSE], echoed(payload), 1000) for payload in VALID[1:]},
    **{f"6 invalid {payload!r}": ([text(payload)], b"", 1007) for payload in [*INVALID, *CUT_SHORT]},
    **{f"6 invalid in octets {payload!r}": (octets(payload), b"", 1007) for payload in [*INVALID, *CUT_SHORT]},
    # The rest of these is never sent: only what came so far can have told.
    "6.4.1 in the second of three fragments": (
        [b"\x01\x8b\0\0\0\0" + KOSME, b"\x00\x84\0\0\0\0\xf4\x90\x80\x80"],
        b"",
        1007,
    ),
    "6.4.2 with the byte that breaks it at a fragment's end": (
        [b"\x01\x8c\0\0\0\0" + KOSME + b"\xf4", b"\x00\x81\0\0\0\0\x90"],
        b"",
        1007,
    ),
    "6.4.3 in a part of a frame": ([b"\x81\x95\0\0\0\0" + KOSME, b"\xf4\x90\x80\x80"], b"", 1007),
    "6.4.4 with the byte that breaks it in a part of a frame": (
        [b"\x81\x95\0\0\0\0" + KOSME + b"\xf4", b"\x90"],
        b"",
        1007,
    ),
    "in a part of a continuation": (
        [b"\x01\x81\0\0\0\0\xf4", PING, b"\x80\xfe\x01\x00\0\0\0\0", b"\x90"],
        b"\x8a\x00",
        1007,
    ),
    "half a surrogate pair, before its third byte": ([b"\x01\x82\0\0\0\0\xed\xa0"], b"", 1007),
    "in a part of a masked frame": ([b"\x81\x90\x01\x02\x03\x04`", b"\xfd"], b"", 1007),
    "in a part of a long frame behind a text": ([text(b"a") + b"\x81\xfe\x40\x00\0\0\0\0a\xff"], b"\x81\x01a", 1007),
}


@pytest.fixture
async def echo(start_edge: StartEdge) -> Edge:
    return await start_edge(acceptor=EchoAcceptor())


@pytest.mark.parametrize("how", ["at once", "in parts", "byte by byte"])
@pytest.mark.parametrize(
    "cases", [FRAGMENTS, BEHIND_A_TEXT, CLOSES, UTF8], ids=["fragments", "behind a text", "closes", "utf-8"]
)
async def test_what_comes_back_is_what_the_protocol_asks_for_however_it_was_cut(
    echo: Edge, cases: dict[str, Case], how: str
) -> None:
    told = {name: await tell(echo, sent, how, len(answer)) for name, (sent, answer, _) in cases.items()}
    assert told == {name: (answer, code) for name, (_, answer, code) in cases.items()}


async def tell(echo: Edge, sent: list[bytes], how: str, answer_bytes: int) -> tuple[bytes, int]:
    """What came before the close frame, which is to be the last thing, and the code of that."""
    client = await echo.open("/live/ws")
    whole = b"".join(sent)
    octets = [whole[:-300], *(bytes((byte,)) for byte in whole[-300:])]
    for part in {"at once": [whole], "in parts": sent, "byte by byte": octets}[how]:
        client.writer.write(part)
        await client.writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        received = await client.reader.read(-1)
    client.writer.close()
    close = received[answer_bytes:]
    if close[:1] != b"\x88" or close[1] != len(close) - 2:
        return received, 0
    return received[:answer_bytes], int.from_bytes(close[2:4])


async def test_the_module_is_a_server_of_its_own() -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ws_edge.transport.echo", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            assert server.stdout is not None
            line = (await server.stdout.readline()).decode()
            port = int(line.removeprefix("Echo on ws://127.0.0.1:").removesuffix("/live/ws\n"))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET /live/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.write(text(b"x" * 1_000_000))
            assert await reader.readexactly(1_000_010) == echoed(b"x" * 1_000_000)
            server.send_signal(signal.SIGTERM)
            assert await reader.readexactly(4) == b"\x88\x02\x03\xf4"
            writer.write(closing(1012))
            assert await reader.read() == b""
            writer.close()
            assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def test_who_does_not_read_the_echo_is_closed(echo: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo_module, "UNSENT_LIMIT_BYTES", 1024 * 1024)
    client = await echo.open("/live/ws")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
    client.writer.write(text(b"x" * 65535) * 512)  # 32 MiB: far more than any kernel holds
    (peer,) = echo.app.ctx.open_sockets
    async with asyncio.timeout(20):
        while peer in echo.app.ctx.open_sockets:
            await asyncio.sleep(0.01)
            assert peer.unsent_bytes() < 2 * 1024 * 1024
