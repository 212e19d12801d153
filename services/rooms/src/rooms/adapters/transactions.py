"""One transaction on a connection of Tortoise's client. Tortoise's own gives no connection back where BEGIN failed, so
that a PostgreSQL that freezes for a while would empty the pool for good."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionWrapper


@asynccontextmanager
async def begun(client: BaseDBAsyncClient, *, acquire_timeout_s: float) -> AsyncIterator[TransactionalDBClient]:
    """Commit at the end of the block, or roll back. It is not made Tortoise's current one: who runs a statement names
    the client that it gives."""
    if isinstance(client, AsyncpgDBClient):
        async with _on_postgres(client, acquire_timeout_s) as inside:
            yield inside
    else:
        assert isinstance(client, SqliteClient)
        async with _on_sqlite(client) as inside:
            yield inside


async def ask(client: BaseDBAsyncClient, *, timeout_s: float) -> bool:
    """The simplest statement on a connection of the pool to PostgreSQL, which is closed where it does not answer."""
    assert isinstance(client, AsyncpgDBClient)
    pool = client._pool
    assert pool is not None
    connection = await pool.acquire(timeout=timeout_s)
    is_sound = False
    try:
        await connection.fetchval("SELECT 1", timeout=timeout_s)
        is_sound = True
    finally:
        if not is_sound:
            connection.terminate()
        await pool.release(connection)
    return True


@asynccontextmanager
async def _on_postgres(client: AsyncpgDBClient, acquire_timeout_s: float) -> AsyncIterator[TransactionalDBClient]:
    pool = client._pool
    assert pool is not None
    connection = await pool.acquire(timeout=acquire_timeout_s)
    is_sound = False
    try:
        inside = TransactionWrapper(client)
        inside._connection = connection
        await inside.begin()
        try:
            yield inside
        except BaseException:
            await inside.rollback()
            is_sound = True
            raise
        await inside.commit()
        is_sound = True
    finally:
        # Nobody knows what a connection is in the middle of that did not say how the transaction ended, and giving it
        # back would wait for its answer once more.
        if not is_sound:
            connection.terminate()
        await pool.release(connection)


@asynccontextmanager
async def _on_sqlite(client: SqliteClient) -> AsyncIterator[TransactionalDBClient]:
    async with client._lock:
        inside = SqliteTransactionWrapper(client)
        await inside.begin()
        try:
            yield inside
            await inside.commit()
        except BaseException:
            await inside.rollback()
            raise
