"""One database of the process: opened, migrated, used within deadlines, closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor.asyncpg import AsyncpgSchemaEditor

from moderation.adapters.connections import CONNECTION, POOL_SIZE, Connections
from moderation.adapters.outages import is_away, is_conflict, is_undecided
from moderation.ports import OutcomeUnknown, StoreUnavailable

DEADLINE_S = 3.0
"""Of one question to the database. PostgreSQL knows it too, so that nothing goes on there that nobody waits for."""
_OPEN_DEADLINE_S = 30.0
_MIGRATION_LOCK = 0x5A10_0001
_APP = "moderation"
_APPS = {
    _APP: {
        "models": ["moderation.adapters.tables"],
        "migrations": "moderation.migrations",
        "default_connection": CONNECTION,
    }
}
_POSTGRES_SCHEMES = ("postgresql://", "postgres://", "asyncpg://")


def is_sqlite(url: str) -> bool:
    """Whether the URL names a file of this machine, which one replica alone may use."""
    return url.startswith("sqlite://")


def tortoise_config(url: str, *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """What Tortoise ORM and its command line want to know; the deadline is that of one statement."""
    connection = expand_db_url(_tortoise_url(url))
    if not is_sqlite(url):
        deadline_ms = str(int(deadline_s * 1000))
        limits = {
            "minsize": 1,
            "maxsize": POOL_SIZE,
            "timeout": DEADLINE_S,  # of connecting
            "command_timeout": deadline_s,
            "server_settings": {"statement_timeout": deadline_ms, "lock_timeout": deadline_ms},
        }
        connection["credentials"] = limits | connection["credentials"]
    return {"connections": {CONNECTION: connection}, "apps": _APPS}


@asynccontextmanager
async def answering(deadline_s: float) -> AsyncIterator[None]:
    """A span in which the database must answer. Raises StoreUnavailable for an outage, OutcomeUnknown where that came
    while a transaction committed; mistakes of ours go through as they are."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as problem:
        raise _unavailable(f"the database did not answer within {deadline_s:g} s", problem) from problem
    except Exception as problem:
        if not is_away(problem) and not is_conflict(problem):
            raise
        raise _unavailable(f"the database is away: {problem}", problem) from problem


def _unavailable(text: str, problem: Exception) -> StoreUnavailable:
    return OutcomeUnknown(text) if is_undecided(problem) else StoreUnavailable(text)


class Database:
    """One database of the process. Always close it: an open SQLite connection keeps the process from ending."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections = Connections(tortoise_config(url))

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises StoreUnavailable."""
        async with answering(_OPEN_DEADLINE_S):
            if not is_sqlite(self._url):
                await self._migrate_patiently()
            await self._connections.open()
            if is_sqlite(self._url):
                await _migrate(self._connections)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._connections.close()

    def transaction(self) -> AbstractAsyncContextManager[BaseDBAsyncClient]:
        """Statements that commit together, reading ones too. Only inside of `answering`."""
        return self._connections.transaction()

    async def _migrate_patiently(self) -> None:
        """On a connection of its own: waiting for other replicas and changing tables take longer than a question."""
        connections = Connections(tortoise_config(self._url, deadline_s=_OPEN_DEADLINE_S))
        try:
            await connections.open()
            await _migrate(connections)
        finally:
            await connections.close()


async def _migrate(connections: Connections) -> None:
    """One transaction: replicas that start together wait for the first and find nothing to do."""
    async with connections.transaction() as connection:
        if connection.capabilities.dialect == "postgres":
            await connection.execute_query("SELECT pg_advisory_xact_lock($1)", [_MIGRATION_LOCK])
            # The executor would look for its table first, and a failed look-up spoils a transaction.
            await MigrationRecorder(connection).ensure_schema(AsyncpgSchemaEditor(connection, atomic=False))
        await MigrationExecutor(connection, _APPS).migrate()


def _tortoise_url(url: str) -> str:
    for scheme in _POSTGRES_SCHEMES:
        if url.startswith(scheme):
            return "asyncpg://" + url.removeprefix(scheme)
    return url
