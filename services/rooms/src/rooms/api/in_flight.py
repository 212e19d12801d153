"""Calls in flight: bounded in number, and left to finish when nobody waits for them any more."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from rooms.errors import TooManyInFlight

_CANCEL_S = 1.0
"""For what is cancelled to give its connection to the database back."""
_T = TypeVar("_T")
_log = structlog.get_logger()


class InFlight:
    """Owns the tasks of calls. A transaction that commits has its events published, so a caller that gives up, or is
    cancelled itself, stops waiting and cancels nothing; the deadlines of the ports end the work."""

    def __init__(self, limit: int) -> None:
        """`limit`: how many at once."""
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, name: str, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Start a call; `name` is for the log. Raises TooManyInFlight."""
        if len(self._tasks) >= self._limit:
            work.close()
            raise TooManyInFlight
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def run(self, name: str, work: Coroutine[Any, Any, _T], *, deadline_s: float) -> _T:
        """Wait for the result of a call. Raises TooManyInFlight, TimeoutError, and what the work raises."""
        task = self.begin(name, work)
        done, _ = await asyncio.wait({task}, timeout=deadline_s)
        if not done:
            raise TimeoutError
        return task.result()

    @property
    def tasks(self) -> frozenset[asyncio.Task[Any]]:
        """Those that have not ended."""
        return frozenset(self._tasks)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits has it from the result


async def finish(*calls: InFlight, deadline_s: float) -> None:
    """Wait for calls in flight, before the ports are closed. What has not ended by the deadline is named in one line of
    the log and cancelled, for which it has a second more."""
    late = {task for some in calls for task in some.tasks}
    if late:
        _, late = await asyncio.wait(late, timeout=deadline_s)
    if late:
        _log.error("calls_not_ended", calls=sorted(task.get_name() for task in late))
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=_CANCEL_S)
