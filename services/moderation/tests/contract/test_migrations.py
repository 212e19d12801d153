"""Migrations beside running replicas, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]  # not typed
import pytest

from moderation.adapters.store.database import migrate_moderation, moderation_database

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
Pair: TypeAlias = tuple[Any, Any]
INDEXES = {
    "sanction_open", "sanction_open_by_target", "sanction_open_by_slug", "sanction_evidence", "audit_evidence",
    "audit_by_time",
}  # fmt: skip
VALID = "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE i.indisvalid"
MAKING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
OLDER_INSERT = """
INSERT INTO sanction (kind, target_user_id, target_username, reason, moderator_user_id, moderator_rank, created_at_ms)
VALUES (1, 5, '', '', 9, 4, 1)
"""
"""What a replica of the version before writes, which knows nothing of the newer columns."""


async def migrate(url: str) -> None:
    database = moderation_database(url)
    try:
        await migrate_moderation(database.url)
        await database.open()
    finally:
        await database.close()


@pytest.fixture
async def pair(postgres_url: str, postgres_socket: str) -> AsyncIterator[Pair]:
    """Two connections to a database whose indexes are to be made again."""
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    first, second = [await asyncpg.connect(host=postgres_socket, user="postgres", database=name) for _ in range(2)]
    await first.execute("DELETE FROM tortoise_migrations WHERE name = '0003_open_indexes'")
    yield first, second
    await first.close()
    await second.close()


async def valid(connection: Any) -> set[str]:
    return {row["relname"] for row in await connection.fetch(VALID)}


async def test_replicas_of_the_version_before_go_on_writing_while_an_index_is_made(
    pair: Pair, postgres_url: str, eventually: Eventually
) -> None:
    """One that locks its table waits for the open transaction, and whoever writes next waits behind it."""
    first, second = pair
    for index in INDEXES:
        await first.execute(f"DROP INDEX {index}")

    async def is_being_made() -> bool:
        return bool(await second.fetchval(MAKING))

    async with first.transaction():
        await first.execute(OLDER_INSERT)
        making = asyncio.create_task(migrate(postgres_url))
        await eventually(is_being_made)
        await second.execute(OLDER_INSERT, timeout=30)
        assert not making.done()
    await making
    assert await valid(first) >= INDEXES


async def test_an_index_that_a_broken_off_start_left_unfinished_is_made_again(pair: Pair, postgres_url: str) -> None:
    first, _ = pair
    await first.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sanction_evidence'::regclass")
    await first.execute("DROP INDEX sanction_open")
    await migrate(postgres_url)
    assert await valid(first) >= INDEXES


async def test_replicas_that_start_together_migrate_once(blank_postgres_url: str) -> None:
    await asyncio.gather(*(migrate_moderation(blank_postgres_url) for _ in range(3)))
