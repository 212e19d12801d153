"""Transactions that lose to another one are run again."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped] # has no stubs

ATTEMPTS = 5
"""How often a transaction is run in all."""
_CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_T = TypeVar("_T")
_P = ParamSpec("_P")


async def run_again(attempt: Callable[[], Awaitable[_T]]) -> _T:
    """Run a transaction, and again when it lost."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except Exception as problem:
            if not is_conflict(problem):
                raise
    return await attempt()


def repeated(attempt: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """A method that is one transaction, run in this way."""

    @wraps(attempt)
    async def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await run_again(lambda: attempt(*args, **kwargs))

    return run


def is_conflict(problem: BaseException) -> bool:
    """Whether the transaction lost to another one and may simply be run again."""
    seen: BaseException | None = problem
    while seen is not None:
        if isinstance(seen, _CONFLICTS):
            return True
        seen = seen.__cause__
    return False
