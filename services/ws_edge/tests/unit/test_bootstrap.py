"""ws_edge.bootstrap: when an edge begins to listen. What it puts together is started by the integration tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from ws_edge import bootstrap
from ws_edge.bootstrap import Edge, settled
from ws_edge.config import load


async def test_an_edge_waits_until_its_services_answer() -> None:
    answers = [False, False, True]
    async with asyncio.timeout(30):
        await settled(lambda: answers.pop(0), within_s=60)
    assert answers == []


async def test_an_edge_whose_services_are_away_listens_after_a_while_all_the_same() -> None:
    async with asyncio.timeout(30):
        await settled(lambda: False, within_s=0.02)


class Starting:
    """An edge whose services are there but for `last`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
        self.listens = asyncio.Event()
        self.parts = {name: AsyncMock(is_connected=name != last) for name in ("rooms", "moderation", "bus")}
        worker = MagicMock()
        worker.ports.tasks.stop = AsyncMock()
        edge = Edge(**self.parts, worker=worker, metrics=MagicMock(), parts=MagicMock())
        monkeypatch.setattr(bootstrap, "SETTLE_S", 60)
        monkeypatch.setattr(bootstrap, "build", lambda _: edge)
        monkeypatch.setattr(bootstrap, "create_app", MagicMock())
        monkeypatch.setattr(bootstrap, "listening", self._listening)

    @asynccontextmanager
    async def _listening(self, *_: Any, **__: Any) -> AsyncIterator[None]:
        self.listens.set()
        yield

    async def run(self) -> None:
        async with bootstrap.serving(MagicMock(), MagicMock(), answers_scrapes=False):
            pass


@pytest.mark.parametrize("last", ["rooms", "moderation", "bus"])
async def test_nobody_is_let_in_before_all_services_answer(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    edge = Starting(monkeypatch, last)
    running = asyncio.create_task(edge.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not edge.listens.is_set()
    edge.parts[last].is_connected = True
    async with asyncio.timeout(30):
        await running
    assert edge.listens.is_set()


async def test_an_edge_that_is_to_stop_before_its_services_answer_gives_back_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edge = Starting(monkeypatch, "rooms")
    running = asyncio.create_task(edge.run())
    for _ in range(5):
        await asyncio.sleep(0)
    running.cancel()  # as serve_until_signal does
    async with asyncio.timeout(30):
        await asyncio.wait({running})
    assert running.cancelled()
    assert not edge.listens.is_set()
    assert [part.stop.await_count for part in edge.parts.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "is_offered"),
    [
        ({}, True),
        ({"WS_EDGE_HOST": "::1"}, True),
        ({"JWT_SECRET": "salon-development-secret-not-for-production"}, True),
        ({"JWT_SECRET": "a-secret-that-somebody-chose-for-themselves"}, False),
        ({"JWT_SECRET": "short"}, False),
        ({"SALON_DEV_ROLES": "1", "JWT_SECRET": "a-secret-that-somebody-chose-for-themselves"}, False),
        ({"SALON_ENV": "production", "JWT_SECRET": "a-secret-that-somebody-chose-for-themselves"}, False),
        ({"WS_EDGE_HOST": "0.0.0.0", "JWT_SECRET": "a-secret-that-somebody-chose-for-themselves"}, False),
        ({"WS_EDGE_JWT_PUBLIC_KEY": "pem"}, False),
        ({"WS_EDGE_JWT_JWKS_URL": "https://id.example/keys"}, False),
    ],
)
def test_development_tokens_are_offered_with_the_development_secret_on_loopback_alone(
    settings: dict[str, str], is_offered: bool
) -> None:
    assert (bootstrap._dev_tokens(load(settings)) is not None) == is_offered


def test_edges_with_the_same_secret_read_each_others_resume_texts_and_without_one_there_are_none() -> None:
    def key(**settings: str) -> bytes | None:
        return bootstrap._resume_key(load(settings))

    chosen = "a-secret-that-somebody-chose-for-themselves"
    assert key(JWT_SECRET=chosen) == key(JWT_SECRET=chosen + " ") != key()
    assert key(WS_EDGE_JWT_JWKS_URL="https://id.example/keys", JWT_SECRET=chosen) is None
    own = key(WS_EDGE_JWT_JWKS_URL="https://id.example/keys", WS_EDGE_RESUME_SECRET="own")
    assert own is not None
    assert own == key(WS_EDGE_RESUME_SECRET="own")
    assert chosen.encode() not in (key(JWT_SECRET=chosen) or b"")
