"""Bring the tables up to date at the start; replicas that start together wait for one another.

Migrations are additive: the version of a service before works on the tables of the version after. Indexes of large
tables are made concurrently on PostgreSQL, so that nobody waits for them. It all may take long and holds nobody up: the
port answers meanwhile, and is not ready.
"""

import asyncio
import time
from typing import Any

from tortoise.context import TortoiseContext
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from chassis.database import CONNECTION, Schema, Timeouts, is_postgres, tortoise_config
from chassis.errors import DatabaseUnavailable
from chassis.outages import is_away

_LONGEST_WAIT_S = 3600.0
_LOOK_EVERY_S = 0.2


async def migrate(url: str, schema: Schema, *, lock: int) -> None:
    """Apply every migration that is missing. `lock` is the number of an advisory lock of PostgreSQL that this service
    uses for nothing else. Raises DatabaseUnavailable."""
    try:
        await _migrate(url, schema, lock)
    except DatabaseUnavailable:
        raise
    except Exception as problem:
        if not is_away(problem):
            raise
        raise DatabaseUnavailable(f"the database is away: {problem}") from problem


async def _migrate(url: str, schema: Schema, number: int) -> None:
    config = tortoise_config(url, schema, timeouts=Timeouts(statement_ms=int(_LONGEST_WAIT_S * 1000)))
    async with TortoiseContext() as context:
        await context.init(config=config, init_connections=False)
        client = context.connections.get(CONNECTION)
        executor = MigrationExecutor(client, config["apps"])
        target = [MigrationTarget(app_label=schema.app, name="__latest__")]
        if not is_postgres(url):
            await executor.migrate(target, direction="forward")
            return
        await client.create_connection(with_db=True)
        async with client.acquire_connection() as connection:
            await _take(connection, number)
            try:
                await executor.migrate(target, direction="forward")
            finally:
                await connection.fetchval("SELECT pg_advisory_unlock($1)", number)


async def _take(connection: Any, number: int) -> None:
    """Look again and again instead of waiting inside a statement: an index that is made concurrently waits for every
    statement that began before it, and the two would wait for each other."""
    give_up_s = time.monotonic() + _LONGEST_WAIT_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", number):
        if time.monotonic() > give_up_s:
            raise DatabaseUnavailable(f"another replica has been migrating for {_LONGEST_WAIT_S:g} s")
        await asyncio.sleep(_LOOK_EVERY_S)
