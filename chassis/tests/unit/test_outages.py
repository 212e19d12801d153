"""outages.py: what is an outage, what a lost race, and what our own mistake."""

import asyncio
import sqlite3

import asyncpg  # type: ignore[import-untyped]  # not typed
import pytest
from tortoise.exceptions import DBConnectionError, IntegrityError, OperationalError

from chassis.errors import DatabaseUnavailable
from chassis.outages import ATTEMPTS, is_away, is_conflict, is_undecided, mark_undecided, retry_on_conflict


def sqlite_problem(code: int) -> sqlite3.OperationalError:
    problem = sqlite3.OperationalError("as SQLite says it")
    problem.sqlite_errorcode = code
    return problem


@pytest.mark.parametrize(
    "problem",
    [
        ConnectionRefusedError(),
        DBConnectionError("closed"),
        asyncpg.ConnectionDoesNotExistError("lost"),
        asyncpg.InterfaceError("the connection is closed"),
        asyncpg.AdminShutdownError("stopping"),
        asyncpg.CannotConnectNowError("starting"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.QueryCanceledError("statement timeout"),
        asyncpg.LockNotAvailableError("lock timeout"),
        asyncpg.InvalidPasswordError("no"),
        asyncpg.ReadOnlySQLTransactionError("a standby"),
        OperationalError(sqlite_problem(sqlite3.SQLITE_BUSY)),
        sqlite_problem(sqlite3.SQLITE_FULL),
    ],
)
def test_lost_refused_stopping_full_and_late_are_outages(problem: Exception) -> None:
    assert is_away(problem)
    assert not is_conflict(problem)


@pytest.mark.parametrize(
    "problem",
    [
        OperationalError(asyncpg.UndefinedColumnError("no such column")),
        OperationalError(sqlite_problem(sqlite3.SQLITE_ERROR)),
        OperationalError(sqlite3.OperationalError("not of SQLite itself")),
        IntegrityError(asyncpg.UniqueViolationError("twice")),
        asyncpg.exceptions._base.DataError("an int was expected"),
        ValueError("ours"),
    ],
)
def test_wrong_sql_wrong_values_and_broken_rules_are_mistakes(problem: Exception) -> None:
    assert not is_away(problem)
    assert not is_conflict(problem)


@pytest.mark.parametrize("problem", [asyncpg.DeadlockDetectedError("lost"), asyncpg.SerializationError("lost")])
def test_a_transaction_that_lost_is_no_outage_but_a_conflict(problem: Exception) -> None:
    assert is_conflict(problem)
    assert not is_away(problem)


def test_what_came_while_a_transaction_committed_is_known_by_its_note_through_every_translation() -> None:
    cut = asyncio.CancelledError()
    mark_undecided(cut)
    late = TimeoutError()
    late.__cause__ = cut
    assert is_undecided(late)
    assert not is_undecided(TimeoutError())


async def test_a_transaction_is_retry_on_conflict_until_it_wins() -> None:
    results: list[Exception | None] = [asyncpg.DeadlockDetectedError("lost"), asyncpg.SerializationError("lost"), None]

    async def attempt() -> str:
        if problem := results.pop(0):
            raise problem
        return "won"

    assert await retry_on_conflict(attempt) == "won"
    assert not results


async def test_a_transaction_that_always_loses_is_given_up_and_a_mistake_is_not_repeated() -> None:
    runs = 0

    async def attempt(problem: Exception) -> None:
        nonlocal runs
        runs += 1
        raise problem

    with pytest.raises(DatabaseUnavailable, match="lost to others 5 times"):
        await retry_on_conflict(lambda: attempt(asyncpg.DeadlockDetectedError("lost")))
    assert runs == ATTEMPTS
    with pytest.raises(ValueError, match="ours"):
        await retry_on_conflict(lambda: attempt(ValueError("ours")))
    assert runs == ATTEMPTS + 1
