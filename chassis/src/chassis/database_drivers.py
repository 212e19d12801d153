"""How a connection is taken and given back: what differs between the two databases, and reaches into Tortoise and
asyncpg for it.

A connection is given back in order whatever becomes of the server, the deadline and the caller. Tortoise's own
transactions do not: one that is cancelled, or cut off, while it begins keeps its connection, and stays behind as the
one that later statements of the same task are sent to.
"""

import asyncio
import sqlite3
from contextlib import suppress

import asyncpg  # type: ignore[import-untyped] # not typed
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionWrapper
from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError

_GIVE_BACK_DEADLINE_S = 3.0
_CLOSE_DEADLINE_S = 1.0
BROKEN = (
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


class PostgresDriver:
    """A pool of connections, one more than `size`: the one for `ask`."""

    def __init__(self, client: AsyncpgDBClient, wait_s: float) -> None:
        assert client._pool is not None
        self.client: BaseDBAsyncClient = client
        self.size: int = client._pool.get_max_size() - 1
        self._tortoise = client
        self._wait_s = wait_s

    async def ask(self, timeout_s: float) -> None:
        """The simplest statement, on a connection that is closed where it does not answer."""
        if self._tortoise._pool is None:
            raise DBConnectionError("the pool is closed")
        connection = await self._tortoise._pool.acquire(timeout=timeout_s)
        is_sound = False
        try:
            await connection.fetchval("SELECT 1", timeout=timeout_s)
            is_sound = True
        finally:
            if not is_sound:
                connection.terminate()
            await self._tortoise._pool.release(connection)

    async def renew(self) -> None:
        """Replace each connection before it is used again: the server was away, and some may be dead without a word."""
        if self._tortoise._pool is not None:
            await self._tortoise._pool.expire_connections()

    async def take(self) -> TransactionalDBClient:
        """A connection on which nothing has begun. May be cancelled."""
        if self._tortoise._pool is None:
            raise DBConnectionError("the pool is closed")
        taken = TransactionWrapper(self._tortoise)
        taken._connection = await self._tortoise._pool.acquire(timeout=self._wait_s)
        return taken

    async def give_back(self, taken: TransactionalDBClient, *, is_sound: bool) -> None:
        """Nobody waits for it and nothing cancels it; the connection's place is free when it returns."""
        if not is_sound:
            # To end a statement or a transaction in order would mean to wait for a server that may be frozen.
            with suppress(asyncpg.InterfaceError):  # cut by the server: the pool has let go of it already
                taken._connection.terminate()
        if self._tortoise._pool is not None:
            with suppress(TimeoutError, *BROKEN):  # the pool has thrown it away then
                await self._tortoise._pool.release(taken._connection, timeout=_GIVE_BACK_DEADLINE_S)

    async def close(self) -> None:
        """Never waits for a broken connection longer than its deadline."""
        pool, self._tortoise._pool = self._tortoise._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE_S):
                await pool.close()
        except (TimeoutError, *BROKEN):
            pool.terminate()


class SqliteDriver:
    """One connection, served by a thread of its own."""

    size = 1  # one connection, and a transaction on it is everybody's

    def __init__(self, client: SqliteClient) -> None:
        self.client: BaseDBAsyncClient = client
        self._tortoise = client

    async def take(self) -> TransactionalDBClient:
        """As PostgresDriver's."""
        return SqliteTransactionWrapper(self._tortoise)

    async def give_back(self, taken: TransactionalDBClient, *, is_sound: bool) -> None:
        """As PostgresDriver's."""
        if not is_sound:
            # Its thread carries out what was cancelled as well; this comes after that.
            with suppress(*BROKEN):
                await taken._connection.rollback()

    async def close(self) -> None:
        """See Tortoise."""
        with suppress(sqlite3.Error):  # its thread ends nonetheless
            await self._tortoise.close()


def driver_of(client: BaseDBAsyncClient, wait_s: float) -> PostgresDriver | SqliteDriver:
    """The driver of a client that is connected; `wait_s` is the longest wait for a connection of the pool."""
    if isinstance(client, AsyncpgDBClient):
        return PostgresDriver(client, wait_s)
    assert isinstance(client, SqliteClient)
    return SqliteDriver(client)
