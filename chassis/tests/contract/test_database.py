"""database.py on SQLite and PostgreSQL: all or nothing, and never a connection lost."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import asyncpg  # type: ignore[import-untyped] # not typed
import pytest
from real_postgres import Postgres
from thing_store import SCHEMA
from thing_store.tables import Thing
from tortoise.exceptions import IntegrityError, OperationalError
from tortoise.migrations.executor import MigrationExecutor

from chassis import migrator
from chassis.database import Database, Timeouts, packed, within
from chassis.errors import DatabaseUnavailable, OutcomeUnknown
from chassis.migrator import migrate
from chassis.outages import retry_on_conflict

POOL = 3
A_MOMENT_S = 2.0  # the machine may be busy


async def put(database: Database, name: str) -> None:
    async with database.transaction():
        await Thing(name=name).save()


async def names(database: Database) -> set[str]:
    async with database.session() as session:
        return {row["name"] for row in await session.fetch("SELECT name FROM thing")}


async def test_a_transaction_is_stored_at_its_end_and_one_that_fails_leaves_nothing(database: Database) -> None:
    await put(database, "kept")

    async def fail() -> None:
        async with database.transaction() as session:
            await Thing(name="by a table").save()
            await session.fetch("INSERT INTO thing (name) VALUES ($1)", "by a statement")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names(database) == {"kept"}


async def test_many_rows_go_in_one_statement(database: Database) -> None:
    async with database.transaction() as session:
        rows = session.rows({"name": "text"})
        await session.fetch(
            f"INSERT INTO thing (name) SELECT x.name FROM {rows} WHERE true", packed([{"name": "a"}, {"name": "é'\""}])
        )
    assert await names(database) == {"a", "é'\""}


async def test_wrong_sql_and_a_broken_rule_are_defects_and_no_outage(database: Database) -> None:
    with pytest.raises(OperationalError):
        async with database.transaction() as session:
            await session.fetch("SELECT nothing FROM nowhere")
    await put(database, "once")
    with pytest.raises(IntegrityError):
        await put(database, "once")
    assert await names(database) == {"once"}


async def test_a_change_that_is_cancelled_anywhere_does_not_block_the_next_one(database: Database) -> None:
    for turn in range(40):
        gone = asyncio.create_task(put(database, f"gone-{turn}"))
        await asyncio.sleep(turn * 0.0001)
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        await put(database, f"kept-{turn}")
    assert {f"kept-{turn}" for turn in range(40)} <= await names(database)


async def test_who_waits_for_a_connection_too_long_is_refused_and_the_next_one_is_not(database: Database) -> None:
    free = asyncio.Event()
    held = asyncio.Semaphore(0)

    async def hold() -> None:
        async with database.transaction():
            held.release()
            await free.wait()

    holders = [asyncio.create_task(hold()) for _ in range(POOL if database.is_postgres else 1)]
    for _ in holders:
        await held.acquire()
    with pytest.raises(DatabaseUnavailable, match="no connection was free within 1 s"):
        await put(database, "late")
    free.set()
    await asyncio.gather(*holders)
    await put(database, "kept")
    assert await names(database) == {"kept"}


async def test_a_deadline_that_passes_is_an_outage(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"did not answer within 0.05 s") as refused:
        async with within(0.05), database.transaction():
            await asyncio.sleep(5)
    assert not isinstance(refused.value, OutcomeUnknown)
    await put(database, "kept")


async def test_a_closed_database_is_away_and_closing_twice_is_nothing(database: Database) -> None:
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await put(database, "late")
    assert not await database.is_alive()


async def test_replicas_that_start_together_make_the_tables_once(
    url: str, new_database: Callable[..., Database]
) -> None:
    starters = 1 if url.startswith("sqlite") else 4
    await asyncio.gather(*(migrate(url, SCHEMA, lock=1) for _ in range(starters)))
    await migrate(url, SCHEMA, lock=1)
    database = new_database(url, SCHEMA)
    await database.open()
    await put(database, "kept")
    await database.close()


async def test_an_index_that_a_broken_start_left_unfinished_is_made_anew(
    postgres_server: Postgres, postgres_url: str
) -> None:
    await migrate(postgres_url, SCHEMA, lock=1)
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(host=postgres_server.socket, user="postgres", database=name)
    await connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'thing_long'::regclass")
    await connection.execute("DELETE FROM tortoise_migrations WHERE name = '0002_indexes'")
    await migrate(postgres_url, SCHEMA, lock=1)
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'thing_long'::regclass"
    assert await connection.fetchval(is_valid)
    await connection.close()


async def test_two_transactions_that_wait_for_each_other_are_both_carried_out(
    postgres_url: str, new_database: Callable[..., Database]
) -> None:
    await migrate(postgres_url, SCHEMA, lock=1)
    database = new_database(postgres_url, SCHEMA, timeouts=Timeouts(statement_ms=10_000))
    await database.open()
    for name in ("a", "b"):
        await put(database, name)
    attempts = 0
    both_hold_one = asyncio.Barrier(2)

    async def lock_both(first: str, second: str) -> None:
        nonlocal attempts
        attempts += 1
        async with database.transaction() as session:
            await session.fetch("SELECT id FROM thing WHERE name = $1 FOR UPDATE", first)
            if attempts <= 2:
                await both_hold_one.wait()
            await session.fetch("SELECT id FROM thing WHERE name = $1 FOR UPDATE", second)

    await asyncio.gather(retry_on_conflict(lambda: lock_both("a", "b")), retry_on_conflict(lambda: lock_both("b", "a")))
    assert attempts >= 3  # on a busy machine both may lose to the server's look for deadlocks
    await database.close()


@pytest.mark.parametrize("longer_s", [0, 1.5])
async def test_a_postgresql_that_freezes_more_often_than_there_are_connections_answers_again_by_itself(
    postgres_server: Postgres, postgres_url: str, new_database: Callable[..., Database], longer_s: float
) -> None:
    """Thawed at once it still confirms what was cancelled, and the connection stays open; later, it is closed."""
    await migrate(postgres_url, SCHEMA, lock=1)
    short = Timeouts(gate_s=0.5, connect_s=0.5, statement_ms=300)
    database = new_database(postgres_url, SCHEMA, pool_size=POOL, timeouts=short)
    await database.open()
    for turn in range(2):
        await asyncio.gather(*(put(database, f"{turn}-{number}") for number in range(POOL)))
        with postgres_server.frozen():
            began_s = time.monotonic()
            late = [put(database, f"late-{turn}-{number}") for number in range(2 * POOL)]
            results = await asyncio.gather(*late, return_exceptions=True)
            assert all(isinstance(result, DatabaseUnavailable) for result in results), results
            assert time.monotonic() - began_s < 2 + A_MOMENT_S
            await asyncio.sleep(longer_s)
        async with asyncio.timeout(10):
            while not await database.is_alive():
                pass  # each takes its time
    async with asyncio.timeout(10):
        await asyncio.gather(*(put(database, f"again-{number}") for number in range(2 * POOL)))
    await database.close()


async def test_a_transaction_waits_for_one_silent_connection_and_not_for_each_of_the_pool(
    postgres_server: Postgres, postgres_url: str, new_database: Callable[..., Database]
) -> None:
    await migrate(postgres_url, SCHEMA, lock=1)
    given_up_after_s = 2.0
    timeouts = Timeouts(statement_ms=int(given_up_after_s * 1000 / 2))
    database = new_database(postgres_url, SCHEMA, pool_size=POOL, timeouts=timeouts)
    await database.open()
    await asyncio.gather(*(put(database, f"early-{number}") for number in range(POOL)))
    with postgres_server.frozen():
        began_s = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await put(database, "late")
        assert time.monotonic() - began_s < POOL * given_up_after_s
    await database.close()


async def test_connections_from_before_an_outage_are_replaced(
    postgres_server: Postgres, postgres_url: str, new_database: Callable[..., Database]
) -> None:
    await migrate(postgres_url, SCHEMA, lock=1)
    database = new_database(postgres_url, SCHEMA, pool_size=1, timeouts=Timeouts(answer_s=2.0))
    await database.open()

    async def backend() -> int:
        async with database.session() as session:
            return int((await session.fetch("SELECT pg_backend_pid() AS pid"))[0]["pid"])

    before = await backend()
    assert await database.is_alive()
    assert await backend() == before
    with postgres_server.frozen():
        assert not await database.is_alive()
        with pytest.raises(DatabaseUnavailable, match="does not answer"):
            await backend()
    async with asyncio.timeout(60):
        while not await database.is_alive():
            pass  # each takes its time
    assert await backend() != before
    await database.close()


async def test_sqlite_that_is_busy_is_alive(tmp_path: Path, new_database: Callable[..., Database]) -> None:
    url = f"sqlite://{tmp_path}/things.sqlite3"
    await migrate(url, SCHEMA, lock=1)
    database = new_database(url, SCHEMA, timeouts=Timeouts(gate_s=0.01))
    await database.open()
    async with database.transaction():
        assert await database.is_alive()
    assert await database.is_alive()
    await database.close()
    assert not await database.is_alive()


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
async def test_sqlite_writes_through_as_far_as_the_service_asks(
    synchronous: str, tmp_path: Path, new_database: Callable[..., Database]
) -> None:
    url = f"sqlite://{tmp_path}/things.sqlite3"
    schema = replace(SCHEMA, synchronous=synchronous)
    await migrate(url, schema, lock=1)
    database = new_database(url, schema)
    await database.open()
    async with database.session() as session:
        assert [dict(row) for row in await session.fetch("PRAGMA synchronous")] == [
            {"synchronous": {"NORMAL": 1, "FULL": 2}[synchronous]}
        ]
    await database.close()


async def test_who_migrates_waits_for_another_replica_so_long_and_no_longer(
    postgres_server: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrator, "_LONGEST_WAIT_S", 0.5)
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    other = await asyncpg.connect(host=postgres_server.socket, user="postgres", database=name)
    await other.execute("SELECT pg_advisory_lock(1)")
    with pytest.raises(DatabaseUnavailable, match="another replica has been migrating"):
        await migrate(postgres_url, SCHEMA, lock=1)
    await other.close()
    await migrate(postgres_url, SCHEMA, lock=1)


async def test_a_deadline_of_a_migration_that_passes_is_not_blamed_on_another_replica(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def times_out(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(MigrationExecutor, "migrate", times_out)
    with pytest.raises(DatabaseUnavailable, match="the database is away"):
        await migrate(postgres_url, SCHEMA, lock=1)


async def test_a_database_is_closed_while_its_server_is_frozen(
    postgres_server: Postgres, postgres_url: str, new_database: Callable[..., Database]
) -> None:
    await migrate(postgres_url, SCHEMA, lock=1)
    database = new_database(postgres_url, SCHEMA, timeouts=Timeouts(statement_ms=500))
    await database.open()
    with postgres_server.frozen():
        asking = asyncio.create_task(put(database, "late"))
        await asyncio.sleep(0.01)
        began_s = time.monotonic()
        await database.close()
        assert time.monotonic() - began_s < 3 + A_MOMENT_S
        with pytest.raises((DatabaseUnavailable, OperationalError)):
            await asking


async def test_a_database_that_is_away_at_the_start_leaves_nothing_open(
    tmp_path: Path, new_database: Callable[..., Database]
) -> None:
    away = f"postgres://postgres:@/none?host={tmp_path}"
    with pytest.raises(DatabaseUnavailable):
        await migrate(away, SCHEMA, lock=1)
    database = new_database(away, SCHEMA)
    with pytest.raises(DatabaseUnavailable):
        await database.open()
    await database.close()
