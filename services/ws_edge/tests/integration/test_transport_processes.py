"""A server in a process of its own, ended by a signal."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import pytest

pytestmark = pytest.mark.integration
STARTS_AND_STOPS_WITHIN_S = 60.0  # the machine may be busy

SERVER = """
import contextlib, socket, sys, uvloop
from chassis.process import serve_until_signal
from ws_edge.transport.server import EdgeParts, create_app, listening

class Receiver:
    frame_limit_bytes = 100
    writes_soon = False
    def connected(self, transport): transport.write(b"\\x81\\x02hi")
    def receive_part(self): pass
    def congestion_changed(self, is_congested): pass
    def lost(self): pass

class Acceptor:
    def arrive_room(self, ref, token, address, resume=None, resume_text=None): return Receiver()
    arrive_video = arrive_live = arrive_room
    def turned_away(self, code): pass

async def drain(): pass

@contextlib.asynccontextmanager
async def serving():
    app = create_app(EdgeParts(Acceptor(), None, None, {}, lambda: b"", b"page", "default-src 'none'"))
    async with listening(app, socket.socket(fileno=int(sys.argv[-1])), drain=drain):
        yield

uvloop.run(serve_until_signal(serving()))
"""


async def test_sigterm_ends_the_server_with_0_and_its_clients_with_1012() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    port, fd = sock.getsockname()[1], sock.fileno()
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(fd), pass_fds=(fd,), stderr=asyncio.subprocess.PIPE
    )
    sock.close()
    try:
        async with asyncio.timeout(STARTS_AND_STOPS_WITHIN_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET /chat/ws/room/1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await reader.readuntil(b"\x81\x02hi")
            server.send_signal(signal.SIGTERM)
            assert await reader.readexactly(4) == b"\x88\x02\x03\xf4"
            writer.write(b"\x88\x82\0\0\0\0\x03\xf4")
            assert await reader.read() == b""
            writer.close()
            _, errors = await server.communicate()
    finally:
        if server.returncode is None:
            server.kill()  # the loop of a test that failed would wait for it for ever
            await server.wait()
    assert (server.returncode, errors) == (0, b"")
