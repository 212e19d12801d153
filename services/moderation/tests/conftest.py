"""Databases for the tests, and what waits for those who tell nobody."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from real_postgres import Postgres
from tortoise.backends.base.executor import EXECUTOR_CACHE

from chassis.database import Database
from moderation.adapters.store.database import migrate_moderation, moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.ports import Store

SQLITE_NAME = "m.sqlite3"


@pytest.fixture(autouse=True)
def _fresh_statements() -> None:
    """Tortoise keeps statements by the connection's name, whatever database is behind it."""
    EXECUTOR_CACHE.clear()


@pytest.fixture(scope="session")
def migrated_database(postgres_server: Postgres) -> str:
    """The name of a database with this service's tables, to be copied: its migrations take a second."""
    name = f"moderation_{os.urandom(4).hex()}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    _migrate(_url(postgres_server, name))
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with this service's tables, to be copied."""
    path = tmp_path_factory.mktemp("moderation") / SQLITE_NAME
    _migrate(f"sqlite://{path}")
    return path


@pytest.fixture
def migrated_folder(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """The test's folder, with such a file in it: a replica that starts on it has no tables to make."""
    shutil.copy(migrated_sqlite, tmp_path)
    return tmp_path


@pytest.fixture
def postgres_url(postgres_server: Postgres, migrated_database: str) -> Iterator[str]:
    """A fresh database with this service's tables."""
    yield from _fresh(postgres_server, migrated_database)


@pytest.fixture
def blank_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A fresh database without tables."""
    yield from _fresh(postgres_server, "template1")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """One of each kind, with this service's tables."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite://{shutil.copy(request.getfixturevalue('migrated_sqlite'), tmp_path)}"
    subject = moderation_database(url)
    try:
        await subject.open()
        yield subject
    finally:
        await subject.close()


@pytest.fixture
def store(database: Database) -> Store:
    return TortoiseStore(database)


def _migrate(url: str) -> None:
    with ThreadPoolExecutor(1) as beside:  # a loop may be running here
        beside.submit(asyncio.run, migrate_moderation(url)).result()
    EXECUTOR_CACHE.clear()


def _fresh(server: Postgres, template: str) -> Iterator[str]:
    """Files copied, and removed with the test: a log of every copy, and thousands of files at the end, take longer."""
    name = f"moderation_{os.urandom(4).hex()}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield _url(server, name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _url(server: Postgres, name: str) -> str:
    return f"postgresql://postgres:@/{name}?host={server.socket}"


async def become_true(condition: Callable[[], Awaitable[bool]], *, deadline_s: float = 60) -> None:
    """Look again and again: for what tells nobody when it happens."""
    async with asyncio.timeout(deadline_s):
        while not await condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    return become_true
