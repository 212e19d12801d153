"""Databases for the tests, and what waits for those who tell nobody."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest
from real_postgres import Postgres
from tortoise.backends.base.executor import EXECUTOR_CACHE


@pytest.fixture(autouse=True)
def _fresh_statements() -> None:
    """Tortoise keeps statements by the connection's name, whatever database is behind it."""
    EXECUTOR_CACHE.clear()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """A fresh database; it goes with the server."""
    name = f"moderation_{os.urandom(4).hex()}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    return f"postgresql://postgres:@/{name}?host={postgres_server.socket}"


async def become_true(condition: Callable[[], Awaitable[bool]], *, deadline_s: float = 5) -> None:
    """Look again and again: for what tells nobody when it happens."""
    async with asyncio.timeout(deadline_s):
        while not await condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    return become_true
