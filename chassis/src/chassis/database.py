"""One database of the process, SQLite or PostgreSQL, through Tortoise: transactions within deadlines, and SQL that both
understand."""

# ruff: noqa: S608 - the statements are made of constants of the caller; values are always parameters

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.context import TortoiseContext, get_current_context

from chassis.database_drivers import BROKEN, PostgresDriver, SqliteDriver, driver_of
from chassis.errors import DatabaseUnavailable, OutcomeUnknown
from chassis.outages import is_away, is_undecided, mark_undecided

Row = Mapping[str, Any]
CONNECTION = "default"
_CLOSE_DEADLINE_S = 1.0
_LONGEST_LOOK_S = 2.0
_PARAMETER = re.compile(r"\$(\d+)")
_Driver: TypeAlias = PostgresDriver | SqliteDriver


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the service waits for its database."""

    gate_s: float | None = 5.0
    """For one of the connections; None: as long as the caller's deadline lets it."""
    connect_s: float = 5.0
    answer_s: float = 0.6
    """For the simplest statement; who takes longer is away."""
    statement_ms: int = 5000
    """PostgreSQL's own limit of a statement and of waiting for a lock. A server that keeps none is given up after
    twice as long."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Where a service's tables are."""

    app: str
    models: str
    """Module of the Tortoise models."""
    migrations: str
    """Package of the migrations."""
    synchronous: str = "FULL"
    """Of SQLite. NORMAL: a crash of the machine may cost the last transactions, a crash of the process none."""


DEFAULT_TIMEOUTS = Timeouts()


def is_postgres(url: str) -> bool:
    """Whether several replicas may use this database."""
    return not url.startswith("sqlite://")


def sqlite_file(url: str) -> Path:
    """The file of a SQLite URL."""
    return Path(url.removeprefix("sqlite://").partition("?")[0])


def tortoise_config(
    url: str, schema: Schema, *, pool_size: int = 10, timeouts: Timeouts = DEFAULT_TIMEOUTS
) -> dict[str, Any]:
    """Tortoise's configuration, for its command line as well."""
    connection = expand_db_url(url)
    if is_postgres(url):
        limits = dict.fromkeys(("statement_timeout", "lock_timeout"), str(timeouts.statement_ms))
        deadlines = {"timeout": timeouts.connect_s, "command_timeout": 2 * timeouts.statement_ms / 1000}
        pool = {"minsize": 1, "maxsize": pool_size + 1, **deadlines}  # one is for is_alive alone
        connection["credentials"] = pool | connection["credentials"] | {"server_settings": limits}
    else:
        connection["credentials"] |= {"synchronous": schema.synchronous, "busy_timeout": timeouts.statement_ms}
    app = {"models": [schema.models], "default_connection": CONNECTION, "migrations": schema.migrations}
    return {"connections": {CONNECTION: connection}, "apps": {schema.app: app}}


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

    async def lock(self, number: int) -> None:
        """An advisory lock over all replicas, to the end of the transaction. SQLite has one writer anyway."""
        if self.is_postgres:
            await self.fetch("SELECT pg_advisory_xact_lock($1)", number)

    async def lock_number(self, number: int) -> None:
        """The same for one of many numbers, such as users, which are no advisory lock of anything else."""
        if self.is_postgres:
            await self.fetch("SELECT pg_advisory_xact_lock(1, CAST($1 AS bigint)::bit(32)::int)", number)

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
        """The database's clock, in Unix milliseconds."""
        if self.is_postgres:
            return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
        return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

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
    """Owns Tortoise's context and its connections. Always close it: an open SQLite connection keeps the process from
    ending."""

    def __init__(self, url: str, schema: Schema, *, pool_size: int = 10, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> None:
        self.url = url
        self.schema = schema
        self.is_postgres = is_postgres(url)
        self._timeouts = timeouts
        self._config = tortoise_config(url, schema, pool_size=pool_size, timeouts=timeouts)
        self._context = TortoiseContext()
        self._client: BaseDBAsyncClient | None = None
        self._driver: _Driver | None = None
        # Waiting happens here, where it is bounded and may be cancelled, never inside Tortoise's own lock.
        self._gate = Gate(pool_size if self.is_postgres else 1, wait_s=timeouts.gate_s)
        self._ending: set[asyncio.Task[None]] = set()  # at most one a connection
        self._looking: asyncio.Task[bool] | None = None
        self.away = asyncio.Event()
        """Set while PostgreSQL does not answer, as is_alive found it: what is asked of it then fails at once."""

    async def open(self) -> None:
        """Connect. Raises DatabaseUnavailable; close it nonetheless."""
        is_first = get_current_context() is None
        with self._context:
            # The fallback makes the connection known to gRPC's own tasks, which do not inherit our context.
            await self._context.init(config=self._config, _enable_global_fallback=is_first)
        self._client = self._context.connections.get(CONNECTION)
        try:
            await self._client.create_connection(with_db=True)
        except Exception as problem:
            if not is_away(problem):
                raise
            raise DatabaseUnavailable(f"the database is away: {problem}") from problem
        wait_s = (self._timeouts.gate_s or 0.0) + self._timeouts.connect_s
        self._driver = driver_of(self._client, wait_s)

    async def close(self) -> None:
        """Let go of every connection, of broken ones too."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        if self._driver is not None and self._client is not None:
            if self._ending:
                await asyncio.wait(self._ending, timeout=_CLOSE_DEADLINE_S)
            driver, self._driver = self._driver, None
            await driver.close()
            # Whatever this task's context says: what is closed is the client that was opened.
            self._context.connections.set(CONNECTION, self._client)
        await self._context.close_connections()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Statements that commit one by one, which spares the two round trips of a transaction. Raises
        DatabaseUnavailable."""
        driver = self._opened()
        async with _answering():
            await self._gate.enter()
            try:
                yield Session(driver.client, is_postgres=self.is_postgres)
            finally:
                self._gate.leave()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """All of the block's statements or none, READ COMMITTED; within the block the tables of Tortoise use this
        connection. May be cancelled at any point. Raises DatabaseUnavailable; OutcomeUnknown where that came while it
        committed."""
        driver = self._opened()
        async with _answering():
            taken = await self._begun(driver)
            token = self._context.connections.set(CONNECTION, taken)
            try:
                try:
                    yield Session(taken, is_postgres=self.is_postgres)
                except Exception:
                    await taken.rollback()
                    raise
                try:
                    await taken.commit()
                except BaseException as problem:
                    mark_undecided(problem)
                    raise
            finally:
                self._context.connections.reset(token)
                self._give_back(driver, taken, is_sound=taken._finalized)

    def share(self, connections: int) -> "Share":
        """A part of its connections. SQLite has one, which a share takes one at a time."""
        return Share(self, connections if self.is_postgres else 1, wait_s=self._timeouts.gate_s)

    async def is_alive(self) -> bool:
        """Whether it answers. PostgreSQL has Timeouts.answer_s for that, on a connection that nothing else takes;
        SQLite is a file, which answers whoever uses it."""
        if self._driver is None:
            return False
        if isinstance(self._driver, SqliteDriver):
            return self._gate.is_full or await self._answers()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._answers_beside(self._driver))
        await asyncio.wait({self._looking}, timeout=self._timeouts.answer_s)
        await asyncio.sleep(0)  # after a loop that stood still the answer may be there, and not read yet
        if not (self._looking.done() and self._looking.result()):
            self.away.set()
        elif self.away.is_set():
            await self._driver.renew()
            self.away.clear()
        return not self.away.is_set()

    async def _answers_beside(self, driver: PostgresDriver) -> bool:
        """A server that is slow to answer may do so after is_alive gave up, which the next call sees."""
        try:
            await driver.ask(_LONGEST_LOOK_S)
        except Exception as problem:
            if is_away(problem):
                return False
            raise
        return True

    async def _answers(self) -> bool:
        try:
            async with self.session() as session:
                await session.fetch("SELECT 1 AS one")
        except DatabaseUnavailable:
            return False
        return True

    def _opened(self) -> _Driver:
        if self._driver is None:
            raise DatabaseUnavailable("the database is not open")
        if self.away.is_set():
            raise DatabaseUnavailable("the database does not answer")
        return self._driver

    async def _begun(self, driver: _Driver) -> TransactionalDBClient:
        """A transaction that has begun. Connections that the server cut while nobody used them are passed over:
        nothing was asked of them yet, and there are only so many. One that is silent is not: so may be all."""
        for _ in range(driver.size):
            taken = await self._take(driver)
            try:
                await self._begin(driver, taken)
            except TimeoutError:
                raise
            except BROKEN:
                continue
            return taken
        taken = await self._take(driver)
        await self._begin(driver, taken)
        return taken

    async def _take(self, driver: _Driver) -> TransactionalDBClient:
        await self._gate.enter()
        try:
            return await driver.take()
        except BaseException:
            self._gate.leave()
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
        self._gate.leave()


class Share:
    """What never takes more than so many of a database's connections, so that the rest are always there for others."""

    def __init__(self, database: Database, connections: int, *, wait_s: float | None) -> None:
        self._database = database
        self._gate = Gate(connections, wait_s=wait_s)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """As the database's. Raises DatabaseUnavailable."""
        async with self._gate.place(), self._database.session() as session:
            yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """As the database's. Raises DatabaseUnavailable."""
        async with self._gate.place(), self._database.transaction() as session:
            yield session


class Gate:
    """So many at once; who waits for a place longer than `wait_s` is refused."""

    def __init__(self, size: int, *, wait_s: float | None) -> None:
        self._places = asyncio.Semaphore(size)
        self._wait_s = wait_s

    @property
    def is_full(self) -> bool:
        """Whether who enters now has to wait."""
        return self._places.locked()

    async def enter(self) -> None:
        """Raises DatabaseUnavailable."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(f"no connection was free within {self._wait_s:g} s") from None

    def leave(self) -> None:
        """Another one may enter."""
        self._places.release()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for the length of the block. Raises DatabaseUnavailable."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except DatabaseUnavailable:
        raise
    except Exception as problem:
        if not is_away(problem):
            raise
        kind = OutcomeUnknown if is_undecided(problem) else DatabaseUnavailable
        raise kind(f"the database is away: {problem}") from problem


@asynccontextmanager
async def within(deadline_s: float) -> AsyncIterator[None]:
    """A span in which the database must answer, attempts after conflicts included. Raises DatabaseUnavailable, or
    OutcomeUnknown where the time was up while a transaction committed."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as problem:
        kind = OutcomeUnknown if is_undecided(problem) else DatabaseUnavailable
        raise kind(f"the database did not answer within {deadline_s:g} s") from problem
