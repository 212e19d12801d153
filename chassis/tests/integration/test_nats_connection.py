"""nats_connection.py on a real server: it connects when there is one, and stays connected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import structlog
from nats.aio.msg import Msg
from real_nats import NatsServer

from chassis.errors import BadSetting
from chassis.nats_connection import NatsConnection, NatsSettings


class Listener:
    """A connection that runs, what it has heard, and how often it was connected."""

    def __init__(self, url: str) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.connects: asyncio.Queue[None] = asyncio.Queue()
        self.connection = NatsConnection(
            NatsSettings(url).access,
            "listener",
            connected=lambda: self.connects.put_nowait(None),
            subscriptions={"things": self._receive},
        )

    async def _receive(self, message: Msg) -> None:
        self.heard.put_nowait(message.data)

    async def hears(self, payload: bytes) -> None:
        """Publish to itself, and wait for it."""
        await self.connection.client.publish("things", payload)
        async with asyncio.timeout(5):
            assert await self.heard.get() == payload


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    listener = Listener(url)
    running = asyncio.create_task(listener.connection.run())
    yield listener
    running.cancel()
    async with asyncio.timeout(5):
        with suppress(asyncio.CancelledError):
            await running
    assert not listener.connection.is_connected


async def test_it_waits_for_a_server_that_comes_later_and_says_so_once(nats_server: NatsServer) -> None:
    nats_server.stop()
    with structlog.testing.capture_logs() as logs:
        async with listening(nats_server.url) as listener:
            async with asyncio.timeout(10):
                while not logs:  # noqa: ASYNC110 - a line in a log announces itself to nobody
                    await asyncio.sleep(0.01)
            nats_server.start()
            async with asyncio.timeout(10):
                await listener.connects.get()
            await listener.hears(b"hello")
    events = [line["event"] for line in logs]
    assert events.count("nats_connected") == 1
    failed = [line["reason"] for line in logs if line["event"] == "nats_failed"]
    assert len(failed) == len(set(failed)) > 0


async def test_it_is_connected_again_with_its_subscriptions_after_the_server_was_away(nats_server: NatsServer) -> None:
    async with listening(nats_server.url) as listener:
        async with asyncio.timeout(10):
            await listener.connects.get()
        nats_server.stop()
        nats_server.start()
        async with asyncio.timeout(10):
            await listener.connects.get()
        await listener.hears(b"again")


async def test_it_ends_within_its_deadline_while_the_server_is_away(nats_server: NatsServer) -> None:
    async with listening(nats_server.url) as listener:
        async with asyncio.timeout(10):
            await listener.connects.get()
        nats_server.stop()


async def test_the_server_has_what_was_confirmed(nats_server: NatsServer) -> None:
    async with listening(nats_server.url) as one, listening(nats_server.url) as other:
        async with asyncio.timeout(10):
            await one.connects.get()
            await other.connects.get()
            await one.connection.client.publish("things", b"told")
            await one.connection.confirm()
            assert await other.heard.get() == b"told"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (NatsSettings(user="salon"), "NATS_PASSWORD"),
        (NatsSettings(password="p"), "NATS_USER"),
        (NatsSettings(url="nats://u:p@a:1", user="u", password="p"), "NATS_URL"),
        (NatsSettings(url="nats://u:p@a:1,nats://v:p@b:1"), "NATS_URL"),
        (NatsSettings(credentials_file="/nowhere"), "NATS_CREDENTIALS_FILE"),
        (NatsSettings(tls_ca_file="/nowhere"), "NATS_TLS_CA_FILE"),
    ],
)
def test_a_login_that_is_half_set_or_set_twice_is_refused_by_name(settings: NatsSettings, named: str) -> None:
    with pytest.raises(BadSetting, match=rf"^{named}: "):
        _ = settings.access
