"""One database, SQLite or PostgreSQL, through Tortoise's client: transactions, and SQL that both understand."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.context import TortoiseContext, get_current_context

from rooms.adapters.outages import is_away
from rooms.adapters.transactions import ask, begun
from rooms.ports import DatabaseUnavailable

Row = Mapping[str, Any]
APP = "rooms"
POOL_SIZE = 10
_PARAMETER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the service waits for its database."""

    gate_s: float = 5.0
    """For one of the connections."""
    connect_s: float = 5.0
    answer_s: float = 0.6
    """For the simplest statement; who takes longer is away. The service looks four times a second, so that nobody who
    joins waits for more than a second."""
    statement_ms: int = 5000
    """PostgreSQL's own limit of a statement and of waiting for a lock. A server that keeps none is given up after
    twice as long."""


DEFAULT_TIMEOUTS = Timeouts()
_LONGEST_LOOK_S = 2.0


def tortoise_config(url: str, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> dict[str, Any]:
    """Tortoise's configuration for a database URL."""
    connection = expand_db_url(url)
    if is_postgres(url):
        limits = dict.fromkeys(("statement_timeout", "lock_timeout"), str(timeouts.statement_ms))
        deadlines = {"timeout": timeouts.connect_s, "command_timeout": 2 * timeouts.statement_ms / 1000}
        pool = {"minsize": 1, "maxsize": POOL_SIZE + 1, **deadlines}  # one is for is_alive alone
        connection["credentials"] = pool | connection["credentials"] | {"server_settings": limits}
    else:
        # What a crash of the machine may cost is a membership, which a Sync of its edge brings back.
        connection["credentials"] |= {"synchronous": "NORMAL", "busy_timeout": 5000}
    app = {"models": ["rooms.adapters.tables"], "default_connection": "default", "migrations": "rooms.migrations"}
    return {"connections": {"default": connection}, "apps": {APP: app}}


def is_postgres(url: str) -> bool:
    """Whether several replicas may use this database."""
    return url.startswith(("postgres", "asyncpg"))


class Session:
    """Statements on one connection, most often within a transaction."""

    def __init__(self, client: BaseDBAsyncClient, *, is_postgres: bool) -> None:
        self.client = client
        self.is_postgres = is_postgres

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Run one statement, its parameters written $1, $2, …"""
        if not self.is_postgres:
            sql = _PARAMETER.sub(r"?\1", sql)
        return list(await self.client.execute_query_dict(sql, list(values)))

    @property
    def for_update(self) -> str:
        """The clause that locks what a SELECT finds. SQLite has one writer anyway."""
        return "FOR UPDATE" if self.is_postgres else ""

    @property
    def for_update_skip_locked(self) -> str:
        """The same, leaving out what another replica holds."""
        return "FOR UPDATE SKIP LOCKED" if self.is_postgres else ""

    @property
    def now_ms(self) -> str:
        """The database's clock."""
        if self.is_postgres:
            return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
        return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

    async def lock_number(self, number: int) -> None:
        """Let transactions of the same number wait for each other. On SQLite all of them do."""
        if self.is_postgres:
            await self.fetch("SELECT pg_advisory_xact_lock(1, CAST($1 AS bigint)::bit(32)::int)", number)

    async def never_reuse(self, table: str, column: str, number: int) -> None:
        """Keep a sequence ahead of a number that was written by hand. SQLite's AUTOINCREMENT does so by itself."""
        if self.is_postgres:
            sequence = f"{table}_{column}_seq"
            await self.fetch(f"SELECT setval('{sequence}', $1) FROM {sequence} WHERE last_value < $1", number)

    def rows(self, columns: Mapping[str, str], parameter: str = "$1") -> str:
        """A FROM item `x` made of a parameter that `packed` wrote: many rows in one statement of constant text."""
        if self.is_postgres:
            declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            return f"json_to_recordset({parameter}::text::json) AS x({declared})"
        picked = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
        # An ON CONFLICT behind a SELECT needs a WHERE for SQLite's parser to tell it from a join.
        return f"(SELECT {picked} FROM json_each({parameter})) AS x"


def packed(rows: Sequence[Mapping[str, object]]) -> str:
    """Many rows as one parameter for Session.rows."""
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


class Database:
    """Owns Tortoise's context and its connections. Open with `open`, close with `close`: an aiosqlite connection
    that is not closed keeps the process from ending."""

    def __init__(self, url: str, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> None:
        self.url = url
        self._timeouts = timeouts
        self.is_postgres = is_postgres(url)
        self._context = TortoiseContext()
        # Waiting happens here, where it is bounded and may be cancelled, never inside Tortoise's own lock.
        self._gate = asyncio.Semaphore(POOL_SIZE if self.is_postgres else 1)
        self._is_open = False
        self._looking: asyncio.Task[bool] | None = None
        self.away = asyncio.Event()
        """Set while PostgreSQL does not answer, as is_alive found it: what is asked of it then fails at once."""

    async def open(self) -> None:
        """Connect. Raises DatabaseUnavailable."""
        is_first = get_current_context() is None
        with self._context:  # Tortoise looks it up while it prepares the tables
            await self._context.init(config=tortoise_config(self.url, self._timeouts), _enable_global_fallback=is_first)
        client = self._context.connections.get("default")
        try:
            await client.create_connection(with_db=True)
        except Exception as problem:
            if is_away(problem):
                raise DatabaseUnavailable from problem
            raise
        self._is_open = True

    async def close(self) -> None:
        """Disconnect."""
        self._is_open = False
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await self._context.close_connections()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Statements that commit one by one. Raises DatabaseUnavailable."""
        async with self._entered():
            yield Session(self._context.connections.get("default"), is_postgres=self.is_postgres)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """One transaction, READ COMMITTED. Raises DatabaseUnavailable. Not to be cancelled once inside."""
        async with self._entered():
            client = self._context.connections.get("default")
            async with begun(client, acquire_timeout_s=self._timeouts.gate_s + self._timeouts.connect_s) as inside:
                yield Session(inside, is_postgres=self.is_postgres)

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[None]:
        if not self._is_open or self.away.is_set():
            raise DatabaseUnavailable
        try:
            async with asyncio.timeout(self._timeouts.gate_s):
                await self._gate.acquire()
        except TimeoutError:
            raise DatabaseUnavailable from None
        try:
            yield
        except Exception as problem:
            if is_away(problem):
                raise DatabaseUnavailable from problem
            raise
        finally:
            self._gate.release()

    def share(self, connections: int) -> "Share":
        """A part of its connections. SQLite has one, which a share takes one at a time."""
        return Share(self, connections if self.is_postgres else 1)

    @property
    def gate_s(self) -> float:
        """How long to wait for a place."""
        return self._timeouts.gate_s

    async def is_alive(self) -> bool:
        """Whether it answers. PostgreSQL is asked on a connection that nothing else takes, for a moment."""
        if not self._is_open:
            return False
        if not self.is_postgres:
            return await self._answers()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._answers_beside())
        await asyncio.wait({self._looking}, timeout=self._timeouts.answer_s)
        await asyncio.sleep(0)  # after a loop that stood still the answer may be there, and not read yet
        is_alive = self._looking.done() and self._looking.result()
        if is_alive:
            self.away.clear()
        else:
            self.away.set()
        return is_alive

    async def _answers(self) -> bool:
        try:
            async with self.session() as session:
                await session.fetch("SELECT 1 AS one")
        except DatabaseUnavailable:
            return False
        return True

    async def _answers_beside(self) -> bool:
        """A server that is slow to answer may do so after is_alive gave up, which the next call sees."""
        try:
            return await ask(self._context.connections.get("default"), timeout_s=_LONGEST_LOOK_S)
        except Exception as problem:
            if is_away(problem):
                return False
            raise


class Share:
    """What never takes more than so many of a database's connections, so that the rest are always there for others."""

    def __init__(self, database: Database, connections: int) -> None:
        self._database = database
        self._places = asyncio.Semaphore(connections)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """As the database's. Raises DatabaseUnavailable."""
        async with self._place(), self._database.session() as session:
            yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """As the database's. Raises DatabaseUnavailable."""
        async with self._place(), self._database.transaction() as session:
            yield session

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._database.gate_s):
                await self._places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable from None
        try:
            yield
        finally:
            self._places.release()
