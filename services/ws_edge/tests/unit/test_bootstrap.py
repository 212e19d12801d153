"""ws_edge.bootstrap: when an edge begins to listen. What it puts together is started by the integration tests."""

import asyncio
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


@pytest.mark.parametrize("last", ["rooms", "moderation", "bus", "stop"])
async def test_nobody_is_let_in_before_all_services_answer_or_the_edge_is_to_stop(
    monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(bootstrap, "SETTLE_S", 60)
    monkeypatch.setattr(bootstrap, "create_app", MagicMock())
    serves = asyncio.Event()

    async def serve(*_: Any, **__: Any) -> None:
        serves.set()

    monkeypatch.setattr(bootstrap, "serve", serve)
    parts = {name: AsyncMock(is_connected=name != last) for name in ("rooms", "moderation", "bus")}
    parts["bus"].is_connected &= last != "stop"
    worker = MagicMock()
    worker.context.tasks.stop = AsyncMock()
    edge = Edge(MagicMock(), **parts, worker=worker, metrics=MagicMock(), parts=MagicMock())
    stop = asyncio.Event()
    running = asyncio.create_task(edge.run(MagicMock(), stop=stop, started=lambda: None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not serves.is_set()
    if last == "stop":
        stop.set()
    else:
        parts[last].is_connected = True
    async with asyncio.timeout(30):
        await running
    assert serves.is_set()


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
