"""What a database driver's exception means: the database is away, the transaction lost to another one, or our SQL is
wrong."""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped] # not typed
from tortoise.exceptions import DBConnectionError

from chassis.errors import DatabaseUnavailable

ATTEMPTS = 5
"""How often a transaction is run in all that loses to others."""
_LONGEST_PAUSE_S = 0.05
_UNDECIDED = "the transaction was being committed: it may be stored or not"
_CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_AWAY = (
    OSError,
    DBConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that is wrong, or was changed meanwhile
    asyncpg.InvalidCatalogNameError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,  # too many connections, no memory, a full disk
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.LockNotAvailableError,  # lock_timeout
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby: the primary is being replaced
    asyncpg.InternalClientError,  # what it comes to when the server goes away between two messages
)
_T = TypeVar("_T")
_P = ParamSpec("_P")


def is_away(problem: BaseException) -> bool:
    """Whether waiting may help: the connection is lost or refused, the server shuts down or is out of something, a
    deadline has passed. Wrong SQL, wrong values and broken rules of the tables are defects instead."""
    return any(_says_away(cause) for cause in _causes(problem))


def is_conflict(problem: BaseException) -> bool:
    """Whether the transaction lost to another one and may simply be run again."""
    return any(isinstance(cause, _CONFLICTS) for cause in _causes(problem))


def mark_undecided(problem: BaseException) -> None:
    """It came while a transaction committed, so that what it wrote may be stored."""
    problem.add_note(_UNDECIDED)


def is_undecided(problem: BaseException) -> bool:
    """Whether it was marked so."""
    return any(_UNDECIDED in getattr(cause, "__notes__", ()) for cause in _causes(problem))


async def retry_on_conflict(attempt: Callable[[], Awaitable[_T]]) -> _T:
    """Run a transaction, and again where it lost to another one; the caller sets the deadline of all attempts. Raises
    DatabaseUnavailable where it lost ATTEMPTS times."""
    for lost in range(1, ATTEMPTS + 1):
        try:
            return await attempt()
        except Exception as problem:
            if not is_conflict(problem):
                raise
            if lost == ATTEMPTS:
                raise DatabaseUnavailable(f"the transaction lost to others {ATTEMPTS} times") from problem
        # Those that met once would meet again if they all came back at the same time.
        await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S * lost))  # noqa: S311 - no secret
    raise AssertionError("the last attempt returns or raises")


def retried_on_conflict(attempt: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """A method that is one transaction, run by retry_on_conflict."""

    @wraps(attempt)
    async def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await retry_on_conflict(lambda: attempt(*args, **kwargs))

    return run


def _says_away(problem: BaseException) -> bool:
    if isinstance(problem, sqlite3.OperationalError):
        # SQLITE_ERROR is the code of wrong SQL; busy, locked, full, unreadable have codes of their own.
        return getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF != sqlite3.SQLITE_ERROR
    if isinstance(problem, asyncpg.InterfaceError):
        return not isinstance(problem, ValueError)  # a value that PostgreSQL's type cannot hold
    return isinstance(problem, _AWAY)


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it was raised from; Tortoise puts SQLite's into the arguments of its own."""
    cause: BaseException | None = problem
    while cause is not None:
        yield cause
        inner = cause.args[0] if cause.args else None
        cause = cause.__cause__ or (inner if isinstance(inner, BaseException) else None)
