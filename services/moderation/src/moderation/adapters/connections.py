"""Statements on a connection that is given back in order, whatever becomes of the server, the deadline and the caller.

Tortoise's own transactions do not: one that is cancelled, or cut off, while it begins keeps its connection and stays
behind as the one that later statements of the same task are sent to.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]  # not typed
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionWrapper
from tortoise.context import TortoiseContext
from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError

from moderation.adapters.outages import UNDECIDED

CONNECTION = "default"
POOL_SIZE = 5
"""Connections of one replica to PostgreSQL: orders go one by one, so more would only wait there."""
GIVE_BACK_DEADLINE_S = 3.0
CLOSE_DEADLINE_S = 1.0
_BROKEN = (
    OperationalError,
    DBConnectionError,
    TransactionManagementError,
    sqlite3.OperationalError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
    OSError,
)
"""Whatever a connection raises that is only begun on or let go of: it is not used further, for whichever reason."""


class _Driver(Protocol):
    """What differs between the two databases."""

    size: int

    async def take(self) -> TransactionalDBClient:
        """A connection on which nothing has begun. May be cancelled."""

    async def give_back(self, taken: TransactionalDBClient, *, is_sound: bool) -> None:
        """Nobody waits for it and nothing cancels it; the connection's place is free when it returns."""

    async def close(self) -> None:
        """Never waits for a broken connection longer than its deadline."""


class _Postgres:
    size = POOL_SIZE

    def __init__(self, client: AsyncpgDBClient) -> None:
        self._client = client

    async def take(self) -> TransactionalDBClient:
        if self._client._pool is None:
            raise DBConnectionError("the pool is closed")
        taken = TransactionWrapper(self._client)
        taken._connection = await self._client._pool.acquire()
        return taken

    async def give_back(self, taken: TransactionalDBClient, *, is_sound: bool) -> None:
        if not is_sound:
            # To end a statement or a transaction in order would mean to wait for a server that may be frozen.
            with suppress(asyncpg.InterfaceError):  # cut by the server: the pool has let go of it already
                taken._connection.terminate()
        elif self._client._pool is not None:
            with suppress(TimeoutError, *_BROKEN):  # the pool has thrown it away then
                await self._client._pool.release(taken._connection, timeout=GIVE_BACK_DEADLINE_S)

    async def close(self) -> None:
        pool, self._client._pool = self._client._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await pool.close()
        except (TimeoutError, *_BROKEN):
            pool.terminate()


class _Sqlite:
    size = 1  # one connection, and a transaction on it is everybody's

    def __init__(self, client: SqliteClient) -> None:
        self._client = client

    async def take(self) -> TransactionalDBClient:
        return SqliteTransactionWrapper(self._client)

    async def give_back(self, taken: TransactionalDBClient, *, is_sound: bool) -> None:
        if not is_sound:
            # Its thread carries out what was cancelled as well; this comes after that.
            with suppress(*_BROKEN):
                await taken._connection.rollback()

    async def close(self) -> None:
        with suppress(sqlite3.Error):  # its thread ends nonetheless
            await self._client.close()


class Connections:
    """The connections to one database. Waiting for one happens at a gate of ours, where it may be cancelled."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._context = TortoiseContext()
        self._client: BaseDBAsyncClient | None = None
        self._driver: _Driver | None = None
        self._gate = asyncio.Semaphore(0)
        self._ending: set[asyncio.Task[None]] = set()  # as many as there are connections

    async def open(self) -> None:
        """Connect. Raises what the driver raises; close it nonetheless."""
        with self._context:
            # The fallback makes the connection known to gRPC's own tasks, which do not inherit our context.
            await self._context.init(config=self._config, _enable_global_fallback=True)
        self._client = self._context.connections.get(CONNECTION)
        if isinstance(self._client, SqliteClient):
            self._driver = _Sqlite(self._client)
        elif isinstance(self._client, AsyncpgDBClient):
            self._driver = _Postgres(self._client)
        else:
            raise DBConnectionError("neither SQLite nor PostgreSQL")
        await self._client.create_connection(with_db=True)
        for _ in range(self._driver.size):
            self._gate.release()

    async def close(self) -> None:
        """Let go of every connection, of broken ones too."""
        if self._driver is not None and self._client is not None:
            if self._ending:
                await asyncio.wait(self._ending, timeout=CLOSE_DEADLINE_S)
            await self._driver.close()
            # Whatever this task's context says: what is closed is the client that was opened.
            self._context.connections.set(CONNECTION, self._client)
        await self._context.close_connections()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[TransactionalDBClient]:
        """All of the block's statements or none; within the block the tables use this connection. What goes wrong
        inside costs the connection, not the next caller. The caller sets the deadline; where that passes while the
        transaction commits, it may be either."""
        if self._driver is None:
            raise DBConnectionError("the database is not open")
        taken = await self._begun(self._driver)
        token = self._context.connections.set(CONNECTION, taken)
        try:
            try:
                yield taken
            except Exception:
                await taken.rollback()
                raise
            try:
                await taken.commit()
            except BaseException as problem:
                problem.add_note(UNDECIDED)
                raise
        finally:
            self._context.connections.reset(token)
            self._give_back(self._driver, taken, is_sound=taken._finalized)

    async def _begun(self, driver: _Driver) -> TransactionalDBClient:
        """A transaction that has begun. Connections that the server cut while nobody used them are passed over:
        nothing was asked of them yet, and there are only so many."""
        for _ in range(driver.size):
            taken = await self._take(driver)
            with suppress(*_BROKEN):
                await self._begin(driver, taken)
                return taken
        taken = await self._take(driver)
        await self._begin(driver, taken)
        return taken

    async def _take(self, driver: _Driver) -> TransactionalDBClient:
        await self._gate.acquire()
        try:
            return await driver.take()
        except BaseException:
            self._gate.release()
            raise

    async def _begin(self, driver: _Driver, taken: TransactionalDBClient) -> None:
        try:
            await taken.begin()
        except BaseException:
            self._give_back(driver, taken, is_sound=False)
            raise

    def _give_back(self, driver: _Driver, taken: TransactionalDBClient, *, is_sound: bool) -> None:
        """In a task of ours: the caller has its answer already, or no time left."""
        task = asyncio.create_task(driver.give_back(taken, is_sound=is_sound))
        self._ending.add(task)
        task.add_done_callback(self._given_back)

    def _given_back(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        self._gate.release()
