"""The connection to the database: opened, migrated, closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg import InterfaceError, InternalClientError, PostgresError  # type: ignore[import-untyped]  # not typed
from tortoise.context import TortoiseContext
from tortoise.exceptions import DBConnectionError, IntegrityError, OperationalError, TransactionManagementError
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor.asyncpg import AsyncpgSchemaEditor
from tortoise.transactions import in_transaction

from moderation.ports import StoreUnavailable

CONNECTION = "default"
_APP = "moderation"
_OPEN_DEADLINE_S = 30.0
_OUTAGES = (
    OperationalError,
    DBConnectionError,
    TransactionManagementError,
    InterfaceError,
    InternalClientError,  # what it comes to when the server goes away between two messages
    PostgresError,
    OSError,
)
_MIGRATION_LOCK = 0x5A10_0001
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


def tortoise_config(url: str) -> dict[str, object]:
    """What Tortoise ORM and its command line want to know."""
    return {"connections": {CONNECTION: _tortoise_url(url)}, "apps": _APPS}


@asynccontextmanager
async def answering(deadline_s: float) -> AsyncIterator[None]:
    """A span in which the database must answer; translates what its libraries raise. Raises StoreUnavailable."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except IntegrityError:
        raise  # a mistake of ours, not an outage
    except TimeoutError as problem:
        raise StoreUnavailable(f"the database did not answer within {deadline_s:g} s") from problem
    except _OUTAGES as problem:
        raise StoreUnavailable(f"the database is away: {problem}") from problem


class Database:
    """One database of the process. Always close it: an open SQLite connection keeps the process from ending."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._context = TortoiseContext()

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises StoreUnavailable."""
        with self._context:
            # The fallback makes the connection known to gRPC's own tasks, which do not inherit our context.
            await self._context.init(config=tortoise_config(self._url), _enable_global_fallback=True)
        async with answering(_OPEN_DEADLINE_S):
            await self._migrate()

    async def close(self) -> None:
        """Let go of every connection."""
        await self._context.close_connections()

    async def _migrate(self) -> None:
        """One transaction: replicas that start together wait for the first and find nothing to do."""
        async with in_transaction(CONNECTION) as connection:
            if not is_sqlite(self._url):
                await connection.execute_query("SELECT pg_advisory_xact_lock($1)", [_MIGRATION_LOCK])
                # The executor would look for its table first, and a failed look-up spoils a transaction.
                await MigrationRecorder(connection).ensure_schema(AsyncpgSchemaEditor(connection, atomic=False))
            await MigrationExecutor(connection, _APPS).migrate()


def _tortoise_url(url: str) -> str:
    for scheme in _POSTGRES_SCHEMES:
        if url.startswith(scheme):
            return "asyncpg://" + url.removeprefix(scheme)
    return url
