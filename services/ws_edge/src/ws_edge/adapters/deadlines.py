"""Futures that are answered in time, or with an error."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")
_TICK_S = 0.001
"""Of the event loop's clock: for less it would ask again and again until it has gone on."""


class Deadline(Generic[A]):
    """How long answers of one kind are waited for, in one event loop. One timer for all of them: a join waits for two
    to four answers, a timer each takes twice as long as this, and asyncio.timeout several times as long. Nobody else
    may settle an answer without a look at done()."""

    __slots__ = ("_late", "_timer", "_waiting", "_within_s")

    def __init__(self, within_s: float, late: Callable[[], Exception]) -> None:
        self._within_s = within_s
        self._late = late
        self._waiting: deque[tuple[float, asyncio.Future[A]]] = deque()
        """In the order of their ends, which is that of their asking."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Answers that are remembered: those that are waited for, and what was asked since the first of them or is done
        since the last one was asked."""
        return len(self._waiting)

    def watch(self, answer: asyncio.Future[A]) -> asyncio.Future[A]:
        """The same future, on which `late()` is set where it is not done in time. Awaited by one alone, whose end ends
        it."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        waiting.append((loop.time() + self._within_s, answer))
        if self._timer is None:
            self._timer = loop.call_later(self._within_s, self._fail_late)
        return answer

    def _fail_late(self) -> None:
        loop, waiting = asyncio.get_running_loop(), self._waiting
        self._timer, now_s = None, loop.time()
        while waiting and (waiting[0][0] <= now_s or waiting[0][1].done()):
            _, answer = waiting.popleft()
            if not answer.done():
                answer.set_exception(self._late())
        if waiting:
            self._timer = loop.call_later(max(waiting[0][0] - now_s, _TICK_S), self._fail_late)
