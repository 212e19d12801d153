"""Executions under way: bounded, and left to finish when nobody waits for them any more."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class TooManyExecutions(Exception):
    """As many as are allowed at once are under way."""


class Executions:
    """Owns the tasks of executions. A transaction must not be cancelled halfway, so a caller that gives up, or is
    cancelled itself, stops waiting and cancels nothing; the deadlines of the ports end the work."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, _T], *, deadline_s: float) -> _T:
        """Wait for the work's result. Raises TooManyExecutions, TimeoutError, and what the work raises."""
        if len(self._tasks) >= self._limit:
            work.close()
            raise TooManyExecutions
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=deadline_s)
        if not done:
            raise TimeoutError
        return task.result()

    async def finish(self) -> None:
        """Wait for all that is under way; call it before the ports are closed."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits has it from the result
