"""One database of the process: opened, migrated, used within deadlines, closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.backends.base.config_generator import expand_db_url

from moderation.adapters.connections import CONNECTION, POOL_SIZE, Connections
from moderation.adapters.migrator import PATIENCE_S, migrate, migrate_postgres
from moderation.adapters.outages import is_away, is_conflict, is_undecided
from moderation.ports import OutcomeUnknown, StoreUnavailable

DEADLINE_S = 3.0
"""Of one question to the database. PostgreSQL knows it too, so that nothing goes on there that nobody waits for."""
_OPEN_DEADLINE_S = 30.0
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
async def answering(deadline_s: float | None) -> AsyncIterator[None]:
    """A span in which the database must answer; None: what is inside sets its own deadlines. Raises StoreUnavailable
    for an outage, OutcomeUnknown where that came while a transaction committed; mistakes of ours go through as they
    are."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as problem:
        when = "in time" if deadline_s is None else f"within {deadline_s:g} s"
        raise _unavailable(f"the database did not answer {when}", problem) from problem
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
        """Bring the schema up to date and connect. Raises StoreUnavailable."""
        if not is_sqlite(self._url):
            async with answering(None):  # connecting, each statement and the turn of this replica have deadlines
                await migrate_postgres(tortoise_config(self._url, deadline_s=PATIENCE_S))
        async with answering(_OPEN_DEADLINE_S):
            await self._connections.open()
            if is_sqlite(self._url):
                async with self._connections.transaction() as connection:
                    await migrate(connection, tortoise_config(self._url))

    async def close(self) -> None:
        """Let go of every connection."""
        await self._connections.close()

    def transaction(self) -> AbstractAsyncContextManager[BaseDBAsyncClient]:
        """Statements that commit together, reading ones too. Only inside of `answering`."""
        return self._connections.transaction()


def _tortoise_url(url: str) -> str:
    for scheme in _POSTGRES_SCHEMES:
        if url.startswith(scheme):
            return "asyncpg://" + url.removeprefix(scheme)
    return url
