"""Bring the tables up to date at the start; replicas that start together wait for one another."""

import asyncio
from typing import Any

from tortoise.context import TortoiseContext
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from rooms.adapters.database import APP, Timeouts, is_postgres, tortoise_config
from rooms.adapters.outages import is_away
from rooms.ports import DatabaseUnavailable

_LOCK = 0x53_61_6C_6F_6E_01
"""The advisory lock of this service's migrations."""
_PATIENCE = Timeouts(statement_ms=60 * 60 * 1000)
"""An index of a large table takes long, and one replica may wait for another one's. It holds nobody up meanwhile: the
port answers, and is not ready."""
_LOOK_EVERY_S = 0.2


async def migrate(url: str) -> None:
    """Apply every migration that is missing. Raises DatabaseUnavailable."""
    try:
        await _migrate(url)
    except Exception as problem:
        if is_away(problem):
            raise DatabaseUnavailable from problem
        raise


async def _migrate(url: str) -> None:
    config = tortoise_config(url, _PATIENCE)
    async with TortoiseContext() as context:
        await context.init(config=config, init_connections=False)
        client = context.connections.get("default")
        executor = MigrationExecutor(client, config["apps"])
        target = [MigrationTarget(app_label=APP, name="__latest__")]
        if not is_postgres(url):
            await executor.migrate(target, direction="forward")
            return
        await client.create_connection(with_db=True)
        async with client.acquire_connection() as lock:
            await _take(lock)
            try:
                await executor.migrate(target, direction="forward")
            finally:
                await lock.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)


async def _take(lock: Any) -> None:
    """Look again and again instead of waiting inside a statement: an index that is made concurrently waits for every
    statement that began before it, and the two would wait for each other. Raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE.statement_ms / 1000):
        while not await lock.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_EVERY_S)
