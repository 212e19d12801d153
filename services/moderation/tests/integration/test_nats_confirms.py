"""What the server has confirmed when moderation goes on: its subscription at the start, an event that it published."""

import asyncio

import pytest

from chassis.nats_connection import NatsSettings
from moderation.adapters.nats_events import NatsEvents
from moderation.domain.people import Target
from moderation.domain.sanction import Action, SanctionEvent, Scope

pytestmark = pytest.mark.integration

INFO = b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"proto":1,"headers":true}\r\n'
EVENT = SanctionEvent(1, Action.MUTE, Target(5, ""), 9, 0, Scope.ROOM, "live", 1_000)


class LineServer:
    """Speaks as much of NATS as connecting needs. `confirmed`: the commands that came before a PING it answered."""

    def __init__(self) -> None:
        self.confirmed: set[bytes] = set()
        self._come: set[bytes] = set()

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        while line := await reader.readline():
            self._come.add(line.split()[0])
            if line == b"PING\r\n":
                self.confirmed |= self._come
                writer.write(b"PONG\r\n")
        writer.close()


async def test_subscription_and_event_are_at_the_server_when_they_are_said_to_be() -> None:
    lines = LineServer()
    server = await asyncio.start_server(lines.speak, "127.0.0.1", 0)
    is_connected = asyncio.Event()
    confirmed: list[set[bytes]] = []

    def restored() -> None:
        confirmed.append(set(lines.confirmed))
        is_connected.set()

    host, port = server.sockets[0].getsockname()
    events = NatsEvents(
        NatsSettings(f"nats://{host}:{port}").access,
        encode=lambda _: b"event",
        decode=lambda _: pytest.fail("nothing comes"),
        received=lambda _: None,
        restored=restored,
    )
    async with asyncio.timeout(8), server, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(events.run())
        await is_connected.wait()
        await events.publish(EVENT)
        confirmed.append(set(lines.confirmed))
        running.cancel()
    assert b"SUB" in confirmed[0]
    assert b"PUB" in confirmed[1]
