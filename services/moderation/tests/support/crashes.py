"""A replica that dies at a chosen moment: before or after any one of the calls by which it reaches the outside."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from moderation.ports import Ports


class Killed(BaseException):
    """Nothing of the replica runs after this, no handler of errors either."""


class Moment:
    """The calls of one replica, counted; at the chosen one something happens."""

    def __init__(self, number: int, happens: Callable[[], Awaitable[None]], *, after: bool) -> None:
        """`after`: the call has been done, and nobody has its answer."""
        self._number = number
        self._happens = happens
        self._after = after
        self.calls: list[str] = []

    @property
    def was_reached(self) -> bool:
        """Whether there were so many calls."""
        return len(self.calls) > self._number

    async def around(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        self.calls.append(name)
        is_it = len(self.calls) == self._number + 1
        if is_it and not self._after:
            await self._happens()
        answer = await call()
        if is_it and self._after:
            await self._happens()
        return answer


class _Watched:
    """A port whose calls pass a moment."""

    def __init__(self, port: Any, moment: Moment) -> None:
        self._port = port
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if inspect.isasyncgenfunction(method):
            return lambda *args, **kwargs: self._batches(name, method(*args, **kwargs))

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._moment.around(name, lambda: method(*args, **kwargs))

        return call

    async def _batches(self, name: str, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async def following() -> Any:
            return await anext(batches, None)

        while (batch := await self._moment.around(name, following)) is not None:
            yield batch


def watched(ports: Ports, moment: Moment) -> Ports:
    """The same replica, whose calls to database and log pass that moment."""
    store, outbox, log = (_Watched(port, moment) for port in (ports.store, ports.outbox, ports.log))
    return replace(ports, store=store, outbox=outbox, log=log)


async def die() -> None:
    raise Killed
