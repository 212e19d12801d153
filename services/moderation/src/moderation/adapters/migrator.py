"""Bring the tables up to date at the start; replicas that start together wait for one another."""

import asyncio
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

PATIENCE_S = 3600.0
"""An index of a large table takes long, and one replica may wait for another one's. It holds nobody up meanwhile: the
port answers, and is not ready."""
_LOCK = 0x5A10_0001
"""The advisory lock of this service's migrations."""
_LOOK_EVERY_S = 0.2
_APP = "moderation"


async def migrate(client: BaseDBAsyncClient, config: dict[str, Any]) -> None:
    """Apply every migration that is missing."""
    target = [MigrationTarget(app_label=_APP, name="__latest__")]
    await MigrationExecutor(client, config["apps"]).migrate(target, direction="forward")


async def migrate_postgres(config: dict[str, Any]) -> None:
    """The same on connections of its own, which know a longer deadline; one replica at a time."""
    async with TortoiseContext() as context:
        await context.init(config=config, init_connections=False)
        client = context.connections.get("default")
        await client.create_connection(with_db=True)
        async with client.acquire_connection() as lock:
            await _take(lock)
            try:
                await migrate(client, config)
            finally:
                await lock.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)


async def _take(lock: Any) -> None:
    """Look again and again instead of waiting inside a statement: an index that is made concurrently waits for every
    statement that began before it, and the two would wait for each other. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not await lock.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_EVERY_S)
