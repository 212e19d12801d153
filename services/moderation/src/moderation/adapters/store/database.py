"""Where the tables of moderation are, how long a replica waits for them, and what it locks there."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import ParamSpec, TypeVar

from chassis.database import Database, Schema, Timeouts, within
from chassis.migrator import migrate
from chassis.outages import retry_on_conflict

DEADLINE_S = 3.0
"""Of one question to the database. PostgreSQL knows it too, so that nothing goes on there that nobody waits for."""
POOL_SIZE = 5
"""Connections of one replica to PostgreSQL: commands go one by one, so more would only wait there. One more is for
asking whether it is alive."""
MIGRATION_LOCK = 0x5A10_0001
COMMAND_LOCK = 0x5A10_0002
PRUNING_LOCK = 0x5A10_0003
SCHEMA = Schema("moderation", "moderation.adapters.store.tables", "moderation.migrations")
_TIMEOUTS = Timeouts(gate_s=None, connect_s=DEADLINE_S, statement_ms=int(DEADLINE_S * 1000))
_T = TypeVar("_T")
_P = ParamSpec("_P")


def moderation_database(url: str) -> Database:
    """To be opened and closed by the caller."""
    return Database(url, SCHEMA, pool_size=POOL_SIZE, timeouts=_TIMEOUTS)


async def migrate_moderation(url: str) -> None:
    """Bring the tables up to date. Raises DatabaseUnavailable."""
    await migrate(url, SCHEMA, lock=MIGRATION_LOCK)


def answered(attempt: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[None, None, _T]]:
    """A method that is one transaction: run again where it lost to another one, all attempts within one deadline."""

    @wraps(attempt)
    async def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        async with within(DEADLINE_S):
            return await retry_on_conflict(lambda: attempt(*args, **kwargs))

    return run
