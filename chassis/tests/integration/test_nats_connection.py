"""nats_connection.py: it connects when there is a server, stays connected, and ends whatever the server does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from real_nats import NatsServer
from tcp_line import TcpLine

from chassis import nats_connection
from chassis.errors import BadSetting
from chassis.nats_connection import NatsConnection, NatsSettings

INFO = b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"proto":1,"headers":true}\r\n'


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


def connection_to(url: str, connected: Callable[[], None]) -> NatsConnection:
    """One that hears nothing."""

    async def receive(_: Msg) -> None:
        pytest.fail("nothing comes")

    return NatsConnection(NatsSettings(url).access, "quiet", connected=connected, subscriptions={"things": receive})


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


async def test_a_link_on_which_nothing_comes_any_more_is_given_up_and_made_anew(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent on it must not arrive minutes later, when it was sent again elsewhere."""
    monkeypatch.setattr(nats_connection, "_PING_INTERVAL_S", 0.05)
    line = TcpLine([int(nats_server.url.rpartition(":")[2])])
    await line.open()
    async with asyncio.timeout(30), listening(f"nats://127.0.0.1:{line.port}") as listener:
        await listener.connects.get()
        line.hold()
        while listener.connection.is_connected:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        line.go_on()
        await listener.connects.get()
        await listener.hears(b"again")
    await line.cut()


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


async def test_it_connects_again_after_an_exception_that_nobody_foresaw_and_logs_its_trace(
    nats_server: NatsServer,
) -> None:
    defect = LookupError("nobody foresaw it")
    left, is_connected = [defect], asyncio.Event()

    def connected() -> None:
        if left:
            raise left.pop()
        is_connected.set()

    connection = connection_to(nats_server.url, connected)
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(connection.run())
            await is_connected.wait()
            assert connection.is_connected
            running.cancel()
    assert [line["exc_info"] for line in logs if line["event"] == "nats_failed"] == [defect]


async def test_who_gives_up_waiting_for_an_answer_does_not_end_the_connection_for_others(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(nats_server.url) as listener:
        async with asyncio.timeout(30):
            await listener.connects.get()
        client = listener.connection.client
        waiting = [asyncio.create_task(client.flush()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await listener.connection.confirm()
        await listener.hears(b"still there")
        assert listener.connection.client is client
        assert listener.connects.empty()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("nats")] == []


async def test_it_ends_within_its_deadline_while_the_server_is_away(nats_server: NatsServer) -> None:
    async with listening(nats_server.url) as listener:
        async with asyncio.timeout(10):
            await listener.connects.get()
        nats_server.stop()


async def test_it_ends_whatever_the_client_is_doing_about_a_server_that_just_went_away(nats_server: NatsServer) -> None:
    for turns in range(0, 12, 2):
        connected = asyncio.Event()
        connection = connection_to(nats_server.url, connected.set)
        async with asyncio.timeout(60):
            running = asyncio.create_task(connection.run())
            await connected.wait()
            nats_server.stop()
            for _ in range(turns):  # each turn of the loop finds the client at another step
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait({running})
        assert running.cancelled()
        assert not connection.is_connected
        nats_server.start()


async def test_it_ends_though_a_cancellation_comes_together_with_the_connection(
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
    running = asyncio.create_task(connection_to("nats://127.0.0.1:1", lambda: None).run())
    await connecting.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=60)
    assert running.cancelled()


async def test_the_server_has_subscriptions_once_connected_and_what_was_published_once_that_is_confirmed() -> None:
    """A real server may have both in time although nobody waited for it."""
    lines = LineServer()
    server = await asyncio.start_server(lines.speak, "127.0.0.1", 0)
    is_connected = asyncio.Event()
    confirmed: list[set[bytes]] = []

    def connected() -> None:
        confirmed.append(set(lines.confirmed))
        is_connected.set()

    host, port = server.sockets[0].getsockname()
    connection = connection_to(f"nats://{host}:{port}", connected)
    async with asyncio.timeout(60), server, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(connection.run())
        await is_connected.wait()
        await connection.client.publish("things", b"told")
        await connection.confirm()
        confirmed.append(set(lines.confirmed))
        running.cancel()
    assert b"SUB" in confirmed[0]
    assert b"PUB" in confirmed[1]


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
