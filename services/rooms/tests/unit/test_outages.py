"""adapters/outages.py: what is an outage, what a lost race, and what our own mistake."""

import asyncio
import sqlite3

import asyncpg  # type: ignore[import-untyped] # has no stubs
import pytest
from tortoise.exceptions import DBConnectionError, IntegrityError, OperationalError

from rooms.adapters.outages import ATTEMPTS, is_away, is_conflict, run_again


def sqlite_problem(code: int) -> sqlite3.OperationalError:
    problem = sqlite3.OperationalError("as SQLite says it")
    problem.sqlite_errorcode = code
    return problem


@pytest.mark.parametrize(
    "problem",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        DBConnectionError("closed"),
        asyncpg.ConnectionDoesNotExistError("lost"),
        asyncpg.InterfaceError("the connection is closed"),
        asyncpg.AdminShutdownError("stopping"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.QueryCanceledError("statement timeout"),
        asyncpg.InvalidPasswordError("no"),
        asyncpg.ReadOnlySQLTransactionError("a standby"),
        OperationalError(sqlite_problem(sqlite3.SQLITE_BUSY)),
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
        IntegrityError(asyncpg.UniqueViolationError("twice")),
        asyncpg.exceptions._base.DataError("an int was expected"),
        ValueError("ours"),
    ],
)
def test_wrong_sql_wrong_values_and_broken_rules_are_mistakes(problem: Exception) -> None:
    assert not is_away(problem)
    assert not is_conflict(problem)


async def test_a_transaction_that_lost_is_run_again_a_few_times_and_is_no_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rooms.adapters.outages._LONGEST_PAUSE_S", 0)
    attempts: list[int] = []

    async def lose() -> None:
        attempts.append(1)
        raise asyncpg.DeadlockDetectedError("lost")

    with pytest.raises(asyncpg.DeadlockDetectedError) as raised:
        await run_again(lose)
    assert len(attempts) == ATTEMPTS
    assert not is_away(raised.value)


async def test_a_transaction_that_fails_otherwise_is_run_once() -> None:
    attempts: list[int] = []

    async def fail() -> None:
        attempts.append(1)
        await asyncio.sleep(0)
        raise OperationalError(asyncpg.UndefinedColumnError("no such column"))

    with pytest.raises(OperationalError):
        await run_again(fail)
    assert attempts == [1]
