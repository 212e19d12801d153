"""What rooms need to know when they open, read for many of them at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain

from chassis.tasks import Tasks
from ws_edge.errors import Unavailable
from ws_edge.ports import gather_s
from ws_edge.protocol.identity import Slug


class SharedReading:
    """One question is under way at a time, and what is asked for meanwhile shares the next one. `read` reads all of
    these slugs and may raise `away`."""

    def __init__(
        self, read: Callable[[list[Slug]], Awaitable[None]], away: type[Unavailable], tasks: Tasks, name: str
    ) -> None:
        self._read = read
        self._away = away
        self._tasks = tasks
        self._name = name
        self._wanted: dict[Slug, list[asyncio.Future[None]]] = {}
        """Of each slug who waits for it, each with a future of their own: asyncio.shield costs more than all else."""
        self._is_reading = False

    async def ask(self, slug: Slug) -> None:
        """Returns once a reading of this slug has ended that began after this was called. Raises `away`."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(slug, []).append(answer)
        if not self._is_reading:
            self._is_reading = True
            self._tasks.spawn(self._read_wanted(), self._name)
        await answer

    async def _read_wanted(self) -> None:
        wanted: dict[Slug, list[asyncio.Future[None]]] = {}
        try:
            await asyncio.sleep(0)  # everything of this turn goes along
            while self._wanted:
                if pause_s := gather_s(len(wanted)):  # rooms open one after the other
                    await asyncio.sleep(pause_s)
                wanted, self._wanted = self._wanted, {}
                try:
                    await self._read(list(wanted))
                except self._away as failure:
                    _fail(wanted, failure)
                else:
                    for future in chain(*wanted.values()):
                        if not future.done():
                            future.set_result(None)
        except BaseException:
            _fail(wanted, self._away("not read"))
            _fail(self._wanted, self._away("not read"))
            self._wanted = {}
            raise
        finally:
            self._is_reading = False


def _fail(wanted: Mapping[Slug, list[asyncio.Future[None]]], failure: Unavailable) -> None:
    for future in chain(*wanted.values()):
        if not future.done():
            future.set_exception(failure)
