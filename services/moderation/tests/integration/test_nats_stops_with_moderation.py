"""NATS and the replica end at the same moment, as with Ctrl-C of `make run`."""

import asyncio
from typing import Any

import pytest

from moderation.adapters.nats_events import NatsEvents
from moderation.peers import nats_access

pytestmark = pytest.mark.integration


async def test_events_end_whatever_the_client_is_doing_about_a_server_that_just_went_away(nats_server: Any) -> None:
    for turns in range(0, 12, 2):
        connected = asyncio.Event()
        events = NatsEvents(
            nats_access(nats_server.url),
            encode=lambda _: b"",
            decode=lambda _: pytest.fail("nothing comes"),
            received=lambda _: None,
            restored=connected.set,
        )

        async def live(owned: NatsEvents = events, is_connected: asyncio.Event = connected, turns: int = turns) -> None:
            async with asyncio.timeout(8), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(owned.run())
                await is_connected.wait()
                nats_server.stop()
                for _ in range(turns):  # each turn of the loop finds the client at another step
                    await asyncio.sleep(0)
                running.cancel()

        await live()
        assert not events.is_connected
        nats_server.start()
