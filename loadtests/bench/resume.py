"""How long clients wait who come back with `since`: one alone, and many at once into one room, each of which has missed
the same messages. `python -m loadtests.bench.resume [CLIENTS] [MISSED]` starts a Salon of its own, and ends with 1 when
a client was not shown all that it had missed."""

import asyncio
import base64
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from loadtests.bench.salon import salon

PATH = "/chat/ws/room/resume"
DEADLINE_S = 120.0
_EPOCH = re.compile(rb'"epoch":"([^"]+)"')
_ID = re.compile(rb'"type":"chat_message","data":\{"id":(\d+)')


class Client(asyncio.Protocol):
    """Comes to one address, and is done when it has seen `wanted` messages."""

    def __init__(self, path: str, wanted: int) -> None:
        self._path = path
        self._wanted = wanted
        self.seen = b""
        self.began_s = time.monotonic()
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Frames come as they come: only what is in them counts."""
        self.seen += data
        if not self.done.done() and b'"room_joined"' in self.seen and len(self.messages) >= self._wanted:
            self.done.set_result(time.monotonic() - self.began_s)

    def connection_lost(self, reason: Exception | None) -> None:
        """Too early, where it is not done."""
        if not self.done.done():
            self.done.set_exception(reason or ConnectionError("closed"))

    @property
    def messages(self) -> list[int]:
        """The ids of those that it has seen."""
        return [int(number) for number in _ID.findall(self.seen)]

    def say(self, text: str) -> None:
        """Send a message of fewer than 90 bytes, masked with zeros."""
        payload = b'{"type":"chat_message","data":{"message":"%b"}}' % text.encode()
        self.transport.write(b"\x81" + bytes((0x80 | len(payload),)) + bytes(4) + payload)


async def come(port: int, query: str = "", wanted: int = 0) -> Client:
    """A client whose connection stands."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(PATH + query, wanted), "127.0.0.1", port)
    return client


async def measure(port: int, clients: int, missed: int) -> bool:
    """Whether every client was shown all of it."""
    speaker = await come(port)
    await speaker.done
    epoch = _EPOCH.search(speaker.seen)
    assert epoch is not None
    for number in range(missed):
        speaker.say(f"message {number}")
        while len(speaker.messages) <= number:  # noqa: ASYNC110 - a client without a queue
            await asyncio.sleep(0.001)
    query = f"?since=0&epoch={epoch[1].decode()}"
    is_all = True
    for number in (1, 1, clients):
        began_s = time.monotonic()
        back = await asyncio.gather(*(come(port, query, missed) for _ in range(number)))
        async with asyncio.timeout(DEADLINE_S):
            times = sorted(await asyncio.gather(*(client.done for client in back)))
        is_all &= all(client.messages == speaker.messages for client in back)
        print(
            f"{number} at once, {missed} messages missed: p50 {statistics.median(times) * 1000:.0f} ms,"
            f" p95 {times[int(len(times) * 0.95)] * 1000:.0f} ms, all in {time.monotonic() - began_s:.2f} s"
        )
        for client in back:
            client.transport.abort()
        await asyncio.sleep(1)
    return is_all


def main() -> int:
    """Exit code."""
    clients, missed = (int(text) for text in (*sys.argv[1:], "5000", "300")[:2])
    with tempfile.TemporaryDirectory() as folder:
        running = salon().start(Path(folder))
        try:
            return 0 if asyncio.run(measure(running.port, clients, missed)) else 1
        finally:
            running.stop()


if __name__ == "__main__":
    sys.exit(main())
