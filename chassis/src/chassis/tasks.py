"""Tasks with an owner: nothing runs that nobody ends, and no failure goes unseen."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import structlog

from chassis.errors import DatabaseUnavailable

SLICE = 500
"""Items that are gone through at once, which takes about a millisecond."""
_CANCEL_AGAIN_S = 3.0
_CANCELLATIONS = 5
_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


def is_being_cancelled() -> bool:
    """Whether a CancelledError is meant for the task that runs, and not the end of something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Tasks:
    """The running tasks of one owner."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        """Start a task; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def go_through(self, items: Sequence[_T], do: Callable[[_T], object], name: str) -> None:
        """Do it for every item: for the first SLICE at once, for what is more in a task of this name, in slices."""
        for item in items[:SLICE]:
            do(item)
        if rest := items[SLICE:]:
            self.spawn(in_slices(rest, do), name)

    async def stop(self) -> None:
        """See end_tasks."""
        while self._running and await end_tasks(self._running):
            pass

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("task_failed", task=task.get_name(), exc_info=failure)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> bool:
    """Cancel tasks and wait for them, again every 3 s: a cancellation can get lost, since asyncio.wait_for of Python
    3.11 forgets one that arrives together with what it waits for. What a task does about its end has that long; where
    it may not be broken off, see to_its_end. What has not ended after 15 s is named in the log and left; False then."""
    running = set(tasks)
    for _ in range(_CANCELLATIONS):
        if not running:
            return True
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
    if running:
        _log.error("tasks_not_ended", tasks=sorted(task.get_name() for task in running))
    return not running


async def to_its_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Run work that must not be broken off halfway, such as a transaction: however often the caller is cancelled, it
    waits for the end, and is cancelled then."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as cancellation:
            cancelled = cancellation
    if cancelled is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("task_failed", task=task.get_name(), exc_info=failure)
        raise cancelled
    return task.result()


async def repeat(every_s: float, job: Callable[[], Awaitable[None]]) -> None:
    """Run a job again and again, with this pause after each turn, until cancelled; one failure does not end it. Turns
    that fail alike in a row are one line in the log, with a traceback unless the database is away."""
    last = ""
    while True:
        try:
            await job()
            last = ""
        except Exception as problem:  # noqa: BLE001 - the next turn tries again, whatever it was
            if repr(problem) != last:
                last = repr(problem)
                is_defect = not isinstance(problem, DatabaseUnavailable)
                _log.warning("background_job_failed", reason=type(problem).__name__, exc_info=is_defect)
        await asyncio.sleep(every_s)


async def in_slices(items: Iterable[_T], do: Callable[[_T], object], *, size: int = SLICE) -> None:
    """Do it for every item; after each slice whatever else waits for the loop has its turn."""
    for number, item in enumerate(items, start=1):
        do(item)
        if number % size == 0:
            await asyncio.sleep(0)
