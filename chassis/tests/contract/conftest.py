"""Databases of both kinds."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from real_postgres import Postgres
from thing_store import SCHEMA
from tortoise.backends.base.executor import EXECUTOR_CACHE

from chassis.database import Database, Timeouts
from chassis.migrator import migrate

LOCK = 1
SHORT = Timeouts(gate_s=1, connect_s=1, statement_ms=500)
POOL = 3


@pytest.fixture(autouse=True)
def _fresh_statements() -> None:
    """Tortoise keeps statements by the connection's name, whatever database is behind it."""
    EXECUTOR_CACHE.clear()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    name = f"t{uuid.uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    return f"postgres://postgres:@/{name}?host={postgres_server.socket}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/things.sqlite3"
    postgres: str = request.getfixturevalue("postgres_url")
    return postgres


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    await migrate(url, SCHEMA, lock=LOCK)
    subject = Database(url, SCHEMA, pool_size=POOL, timeouts=SHORT)
    await subject.open()
    yield subject
    await subject.close()


@pytest.fixture
async def new_database() -> AsyncIterator[Callable[..., Database]]:
    """Makes databases, and closes them whatever becomes of the test: one that stays open would be in the way of all
    later ones of this process."""
    made: list[Database] = []

    def make(*args: Any, **options: Any) -> Database:
        made.append(Database(*args, **options))
        return made[-1]

    yield make
    for database in made:
        await database.close()
