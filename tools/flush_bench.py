"""python -m tools.flush_bench: CPU of a delivery, plain and compressed in turn over the same loopback connections.

What else runs on the machine disturbs both alike, and no two messages are ever joined: so the difference shows that a
whole run, in which they are, drowns.
"""

# ruff: noqa: S311 - what is measured is no secret

import asyncio
import json
import os
import random
import select
import socket
import statistics
import time
from collections.abc import Callable
from typing import Never, cast

import uvloop

from ws_edge.protocol.codec import text_frame
from ws_edge.room.audience import Audience

ROUNDS = {32: 600, 100: 600, 1_000: 200, 9_900: 60}
WARMING_UP = 4
WORDS = (
    "Good evening everybody, did anyone see the beginning? That jump was unbelievable, I had to rewind twice. Which "
    "song is this, please? My sound is a bit behind the picture since the last break, is it only me? No, here too; "
    "closing the tab and opening it again helped. "
) * 2
TEXT_CHARACTERS = 120


class Turns:
    """Clock and timers of an audience whose turns of the loop follow each other at once."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object], /) -> None:
        """Run in the next turn."""
        self._soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Never:
        """Nothing is gathered here."""
        raise NotImplementedError

    def now_s(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def unix_s(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def rest(self) -> None:
        """Until nothing is left to do."""
        while self._soon:
            self._soon.pop(0)()


class Member:
    """One connection of both audiences."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self.write: Callable[[bytes], None] = transport.write
        self.unsent_bytes = transport.get_write_buffer_size

    def close_slow_consumer(self) -> None:
        """Nobody is slow."""


def message(number: int) -> bytes:
    """A frame with another message each time."""
    begin = random.randrange(len(WORDS) // 2)
    data = {
        "id": 45_086_678_220 + number,
        "message": WORDS[begin : begin + TEXT_CHARACTERS],
        "username": f"user_{random.randrange(100_000)}",
        "user_id": random.randrange(100_000),
        "timestamp": f"2026-11-26T18:20:{number % 60:02}.{random.randrange(1000):03}Z",
        "room_id": 1_000_000_001,
        "prev_id": 45_086_678_219 + number,
        "role": "user",
    }
    return text_frame(json.dumps({"type": "chat_message", "data": data}, separators=(",", ":")).encode())


def read_all(port: int, members: int) -> None:
    """The clients: read until they are hung up on."""
    poll, clients = select.epoll(), {}
    for number in range(members):
        client = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.1.{number % 250 + 1}", 0))
        client.setblocking(False)
        clients[client.fileno()] = client
        poll.register(client, select.EPOLLIN)
    while clients:
        for descriptor, _ in poll.poll():
            if not clients[descriptor].recv(1 << 16):
                poll.unregister(descriptor)
                clients.pop(descriptor).close()


async def measure(members: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds a delivery, round by round, of `plain` and of `compressed`."""
    transports: list[asyncio.WriteTransport] = []
    are_here = asyncio.Event()

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(cast(asyncio.WriteTransport, transport))
            if len(transports) == members:
                are_here.set()

    server = await asyncio.get_running_loop().create_server(Accepted, "127.0.0.1", 0, backlog=4096)
    if not os.fork():
        try:
            read_all(server.sockets[0].getsockname()[1], members)
        finally:
            os._exit(0)
    try:
        await are_here.wait()
        turns = Turns()
        audiences = {"plain": Audience(turns, turns), "compressed": Audience(turns, turns)}
        for transport in transports:
            for name, audience in audiences.items():
                audience.add(Member(transport), takes_compressed=name == "compressed")
        spent_us: dict[str, list[float]] = {name: [] for name in audiences}
        for number in range(rounds):
            frame, turn = message(number), list(audiences.items())
            for name, audience in turn if number % 2 else turn[::-1]:
                audience.broadcast(frame)
                began_ns = time.thread_time_ns()
                turns.rest()
                spent_us[name].append((time.thread_time_ns() - began_ns) / members / 1000)
                await asyncio.sleep(0.02 + members * 8e-6)
        return spent_us
    finally:
        for transport in transports:
            transport.abort()
        server.close()


def main() -> None:
    """Print a table."""
    for members, rounds in ROUNDS.items():
        for name, spent_us in uvloop.run(measure(members, rounds)).items():
            lowest, median, _ = statistics.quantiles(spent_us[WARMING_UP:])
            print(f"{members:5} {name:<10} {median:.2f} µs a delivery, a quarter of them below {lowest:.2f}")
        os.wait()


if __name__ == "__main__":
    main()
