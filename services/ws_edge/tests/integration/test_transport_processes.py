"""Real processes: signals, workers on one port, and their end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import pytest
import structlog

from ws_edge.transport.listening import bind
from ws_edge.transport.workers import supervise

pytestmark = pytest.mark.integration

SERVER = """
import asyncio, sys, uvloop
from ws_edge.transport.app import EdgeParts, create_app
from ws_edge.transport.listening import adopt
from ws_edge.transport.serve import serve, stop_on_signals

class Receiver:
    frame_limit_bytes = 100
    def connected(self, transport): transport.write(b"\\x81\\x02hi")
    def congestion_changed(self, is_congested): pass
    def lost(self): pass

class Gateway:
    async def arrive_room(self, ref, token, address): return Receiver()
    arrive_video = arrive_live = arrive_room

async def drain(): pass

async def main():
    app = create_app(EdgeParts(Gateway(), None, None, {}, lambda: b"", b"page"))
    stop = stop_on_signals()
    await serve(app, adopt(int(sys.argv[-1])), drain=drain, stop=stop)

uvloop.run(main())
"""
WORKER = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
listener = socket.socket(fileno=int(sys.argv[-1]))
listener.listen()
while True:
    client, _ = listener.accept()
    client.sendall(str(os.getpid()).encode())
    client.close()
"""


async def ask(port: int) -> bytes:
    """What the port answers, once somebody listens there."""
    async with asyncio.timeout(10):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)  # another process: there is no event to wait for
                continue
            try:
                return await reader.read()
            finally:
                writer.close()


async def test_sigterm_ends_the_server_with_0_and_its_clients_with_1012() -> None:
    (sock,) = bind("127.0.0.1", 0)
    sock.listen()
    port, fd = sock.getsockname()[1], sock.fileno()
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(fd), pass_fds=(fd,), stderr=asyncio.subprocess.PIPE
    )
    sock.close()
    async with asyncio.timeout(10):
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
    assert (server.returncode, errors) == (0, b"")


async def test_workers_share_a_port_and_end_together_when_told() -> None:
    sockets = bind("127.0.0.1", 0, count=2)
    port, stop = sockets[0].getsockname()[1], asyncio.Event()
    running = asyncio.create_task(supervise([sys.executable, "-c", WORKER], sockets, stop=stop, end_within_s=5))
    pids: set[bytes] = set()
    async with asyncio.timeout(10):
        while len(pids) < 2:
            pids.add(await ask(port))
    stop.set()
    assert await running == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_when_one_worker_dies_all_end_and_the_status_says_so() -> None:
    sockets = bind("127.0.0.1", 0, count=2)
    port = sockets[0].getsockname()[1]
    running = asyncio.create_task(
        supervise([sys.executable, "-c", WORKER], sockets, stop=asyncio.Event(), end_within_s=5)
    )
    with structlog.testing.capture_logs() as logs:
        pid = int(await ask(port))
        os.kill(pid, signal.SIGKILL)
        assert await running == 1
    assert [(entry["event"], entry["pid"], entry["status"]) for entry in logs] == [("worker_ended", pid, -9)]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_worker_that_does_not_end_is_killed() -> None:
    sockets, stop = bind("127.0.0.1", 0), asyncio.Event()
    port = sockets[0].getsockname()[1]
    deaf = WORKER.replace("lambda *_: os._exit(0)", "signal.SIG_IGN")
    running = asyncio.create_task(supervise([sys.executable, "-c", deaf], sockets, stop=stop, end_within_s=0.3))
    with structlog.testing.capture_logs() as logs:
        pid = int(await ask(port))
        stop.set()
        assert await running == 1
    assert [(entry["event"], entry["pid"]) for entry in logs] == [("worker_killed", pid)]


def test_a_port_that_somebody_has_is_not_shared() -> None:
    (sock,) = bind("127.0.0.1", 0)
    sock.listen()
    with sock, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", sock.getsockname()[1], count=2)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_port_0_is_any_port(host: str) -> None:
    for sock in bind(host, 0, count=2):
        with sock:
            assert isinstance(sock, socket.socket)
            assert sock.getsockname()[1] > 0
