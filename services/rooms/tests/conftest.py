"""Databases for the tests, on SQLite and on PostgreSQL."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped] # has no stubs
import pytest

from chassis.database import DEFAULT_TIMEOUTS, Database, Timeouts
from rooms.adapters.store.database import migrate_rooms, rooms_database


def postgres_url(sockets: str, name: str) -> str:
    return f"asyncpg://postgres:@/{name}?host={sockets}"


async def run_on_postgres(sockets: str, statement: str) -> None:
    connection = await asyncpg.connect(host=sockets, user="postgres", database="postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run beside the loop that a test may have already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def migrated_postgres(postgres_socket: str) -> str:
    """The name of a database with every table, to be copied."""

    async def make() -> None:
        await run_on_postgres(postgres_socket, "CREATE DATABASE migrated")
        await migrate_rooms(postgres_url(postgres_socket, "migrated"))

    _run(make())
    return "migrated"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table, to be copied."""
    path = tmp_path_factory.mktemp("rooms") / "migrated.sqlite3"
    _run(migrate_rooms(f"sqlite://{path}"))
    return path


@pytest.fixture
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Awaitable[str]]:
    """Makes an empty database of a kind, with every table; gives its URL."""

    async def make(kind: str) -> str:
        if kind == "sqlite":
            path = tmp_path / "rooms.sqlite3"
            shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
            return f"sqlite://{path}"
        return await _fresh_postgres(request)

    return make


@pytest.fixture(params=["sqlite", "postgres"])
async def fresh_database(request: pytest.FixtureRequest, new_database_url: Callable[[str], Awaitable[str]]) -> str:
    """The URL of an empty database with every table; each test runs on both kinds."""
    return await new_database_url(request.param)


@pytest.fixture
async def fresh_postgres(new_database_url: Callable[[str], Awaitable[str]]) -> str:
    """The URL of an empty PostgreSQL database, for what two replicas do."""
    return await new_database_url("postgres")


async def _fresh_postgres(request: pytest.FixtureRequest) -> str:
    sockets, template = request.getfixturevalue("postgres_socket"), request.getfixturevalue("migrated_postgres")
    name = f"t{uuid.uuid4().hex}"
    await run_on_postgres(sockets, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return postgres_url(sockets, name)


@pytest.fixture
async def open_database() -> AsyncIterator[Callable[..., Awaitable[Database]]]:
    """Opens databases and closes them after the test."""
    opened: list[Database] = []

    async def opening(url: str, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Database:
        database = rooms_database(url, timeouts=timeouts)
        await database.open()
        opened.append(database)
        return database

    yield opening
    for database in opened:
        await database.close()
