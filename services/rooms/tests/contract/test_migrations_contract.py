"""Migrations beside running replicas, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg  # type: ignore[import-untyped] # has no stubs
import pytest

from rooms.adapters.store.database import migrate_rooms

INDEXES = {
    "room_empty", "room_unused", "participant_present", "participant_pages", "deleted_slug_by_time",
    "deleted_life_by_time", "kept_settings_by_use", "kept_settings_by_owner", "participant_away",
    "participant_away_by_time",
}  # fmt: skip
VALID = "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE i.indisvalid"
MAKING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"


@pytest.fixture
async def pair(
    fresh_postgres: str, postgres_socket: str
) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Connection]]:
    """Two connections to a database whose indexes are to be made again."""
    name = fresh_postgres.partition("?")[0].rpartition("/")[2]
    first, second = [await asyncpg.connect(host=postgres_socket, user="postgres", database=name) for _ in range(2)]
    names = "'0003_indexes', '0007_kept_settings_indexes', '0010_away_indexes'"
    await first.execute(f"DELETE FROM tortoise_migrations WHERE name IN ({names})")
    yield first, second
    await first.close()
    await second.close()


async def test_replicas_go_on_writing_while_an_index_is_made(
    pair: tuple[asyncpg.Connection, asyncpg.Connection], fresh_postgres: str
) -> None:
    """One that locks its table waits for the open transaction, and whoever writes next waits behind it."""
    first, second = pair
    for index in INDEXES:
        await first.execute(f"DROP INDEX {index}")
    insert = "INSERT INTO room (room_id, slug, created_ms) VALUES ($1, $2, 1)"
    async with first.transaction():
        await first.execute(insert, 1, "a")
        making = asyncio.create_task(migrate_rooms(fresh_postgres))
        async with asyncio.timeout(10):
            while not await second.fetch(MAKING):  # noqa: ASYNC110 - the catalogue of the database is all that tells
                await asyncio.sleep(0.02)
        await second.execute(insert, 2, "b", timeout=3)
        assert not making.done()
    await making
    assert {row["relname"] for row in await first.fetch(VALID)} >= INDEXES


async def test_an_index_that_a_broken_off_start_left_unfinished_is_made_again(
    pair: tuple[asyncpg.Connection, asyncpg.Connection], fresh_postgres: str
) -> None:
    first, _ = pair
    await first.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'participant_pages'::regclass")
    await first.execute("DROP INDEX room_empty")
    await migrate_rooms(fresh_postgres)
    assert {row["relname"] for row in await first.fetch(VALID)} >= INDEXES
