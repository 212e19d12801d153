"""NATS and the service end at the same moment, as with Ctrl-C of `make run`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nats.aio.client import Client

from chassis.nats_connection import NatsSettings
from rooms.adapters.nats import NatsEvents
from rooms.domain.people import Life, RoomId, Slug
from rooms.domain.rooms import LifeEnded

if TYPE_CHECKING:
    from real_nats import NatsServer

pytestmark = pytest.mark.integration


async def test_events_close_whatever_the_client_is_doing_about_a_server_that_just_went_away(
    nats_server: "NatsServer",
) -> None:
    for turns in range(12):
        events = NatsEvents(NatsSettings(nats_server.url).access)
        events.start()
        async with asyncio.timeout(60):
            while not events.is_connected:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        nats_server.stop()
        for _ in range(turns):  # each turn of the loop finds the client at another step
            await asyncio.sleep(0)
        async with asyncio.timeout(4):
            await events.close()
        nats_server.start()


@pytest.mark.slow
def test_sigterm_ends_the_process_with_exit_code_0_when_nats_ends_at_the_same_moment(
    tmp_path: Path, nats_server: "NatsServer"
) -> None:
    for _ in range(3):
        environment = {name: text for name, text in os.environ.items() if not name.startswith("ROOMS_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "rooms"],
            cwd=tmp_path,
            env=environment | {"ROOMS_PORT": "0", "NATS_URL": nats_server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        logged: set[str] = set()
        while not {"serving", "nats_connected"} <= logged:
            logged.add(json.loads(process.stdout.readline())["event"])
        nats_server.stop()
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert "Traceback" not in rest
        nats_server.start()


async def test_events_close_though_a_cancellation_comes_together_with_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connecting = asyncio.Event()

    async def connect(_client: Client, **_options: object) -> None:
        connecting.set()
        with suppress(asyncio.CancelledError):  # as asyncio.wait_for of Python 3.11 does
            await asyncio.Event().wait()

    async def close(_client: Client) -> None:
        """There was no connection."""

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.setattr(Client, "close", close)
    events = NatsEvents(NatsSettings("nats://127.0.0.1:1").access)
    events.start()
    await connecting.wait()
    async with asyncio.timeout(8):
        await events.close()


async def test_events_and_purges_go_on_after_one_that_failed_in_whatever_way(
    nats_server: "NatsServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def publish(_: Client, subject: str, *args: object, **options: object) -> None:
        told.append(subject)
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    events = NatsEvents(NatsSettings(nats_server.url).access)
    events.start()
    async with asyncio.timeout(60):
        while not events.is_connected:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        monkeypatch.setattr(Client, "publish", publish)
        for life in (1, 2):
            ended = LifeEnded(RoomId(1), Life(life), Slug("a"))
            events.publish_room_deleted(ended)
            assert not await events.purge(ended)
        while len(told) < 4:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    await events.close()
