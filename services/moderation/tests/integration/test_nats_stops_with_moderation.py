"""NATS and the replica end at the same moment, as with Ctrl-C of `make run`."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from nats.aio.client import Client

from chassis.nats_connection import NatsSettings
from moderation.adapters.nats_events import NatsEvents

pytestmark = pytest.mark.integration


async def test_events_end_whatever_the_client_is_doing_about_a_server_that_just_went_away(nats_server: Any) -> None:
    for turns in range(0, 12, 2):
        connected = asyncio.Event()
        events = NatsEvents(
            NatsSettings(nats_server.url).access,
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


async def test_events_end_though_a_cancellation_comes_together_with_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connecting = asyncio.Event()

    async def connect(_client: Client, **_options: object) -> None:
        connecting.set()
        with suppress(asyncio.CancelledError):  # as asyncio.wait_for of Python 3.11 does
            await asyncio.Event().wait()

    async def nothing(_client: Client, *_: object, **_options: object) -> None:
        """It believes to be connected."""

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.setattr(Client, "subscribe", nothing)
    monkeypatch.setattr(Client, "flush", nothing)
    monkeypatch.setattr(Client, "close", nothing)
    events = NatsEvents(
        NatsSettings("nats://127.0.0.1:1").access,
        encode=lambda _: b"",
        decode=lambda _: pytest.fail("nothing comes"),
        received=lambda _: None,
        restored=lambda: None,
    )
    running = asyncio.create_task(events.run())
    await connecting.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=8)
    assert running.cancelled()
