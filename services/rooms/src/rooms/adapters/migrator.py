"""Bring the tables up to date at the start; replicas that start together wait for one another."""

from tortoise.context import TortoiseContext
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from rooms.adapters.database import APP, AWAY, Timeouts, is_postgres, tortoise_config
from rooms.ports import DatabaseUnavailable

_LOCK = 0x53_61_6C_6F_6E_01
"""The advisory lock of this service's migrations."""
_PATIENCE = Timeouts(statement_ms=10 * 60 * 1000)
"""An index of a large table takes minutes, and one replica may wait for another one's."""


async def migrate(url: str) -> None:
    """Apply every migration that is missing. Raises DatabaseUnavailable."""
    try:
        await _migrate(url)
    except AWAY as problem:
        raise DatabaseUnavailable from problem


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
            await lock.fetchval("SELECT pg_advisory_lock($1)", _LOCK)
            try:
                await executor.migrate(target, direction="forward")
            finally:
                await lock.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)
