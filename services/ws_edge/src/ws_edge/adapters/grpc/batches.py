"""Single requests put together into batches: joins and look-ups that are waited for, leaves and changed ranks that are
owed."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

import structlog

from ws_edge.adapters.deadlines import Deadline
from ws_edge.errors import NeverSent, RoomsOutdated, RoomsUnavailable
from ws_edge.ports import GATHER_OWED_S, gather_s
from ws_edge.protocol.identity import ConnectionId

_log = structlog.get_logger(__name__)

_QUEUE_LIMIT = 20_000
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_OUTDATED_PAUSE_S = 30.0
"""A service of before does not know better in a moment, as one that is away may be back."""
CAPACITY = 10_000
"""Of a queue of what is owed."""

Q = TypeVar("Q")
A = TypeVar("A")
News = TypeVar("News")


class RequestBatches(Generic[Q, A]):
    """One batch at a time, and none while `lock` is held elsewhere. What comes alone goes at once. Behind a batch of
    several more are on their way, and the next one waits for them: see gather_s. Whoever stopped waiting is left out.

    `call` answers a batch in its order and may raise RoomsUnavailable.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
        *,
        limit: int,
        deadline_s: float,
        lock: asyncio.Lock | None = None,
    ) -> None:
        self._call = call
        self._limit = limit
        self._deadline = Deadline[A](deadline_s, _late)
        self._lock = lock or asyncio.Lock()
        self._waiting: deque[tuple[Q, asyncio.Future[A], Callable[[], bool]]] = deque()
        self._is_wanted = asyncio.Event()
        self._sent_last = 0
        self._is_closed = False

    async def ask(self, question: Q, *, is_wanted: Callable[[], bool] = lambda: True) -> A:
        """Raises RoomsUnavailable, at the latest when the deadline has passed; NeverSent, if it was not wanted any more
        when its turn came."""
        if self._is_closed or len(self._waiting) >= _QUEUE_LIMIT:
            raise RoomsUnavailable("not accepting requests")
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future, is_wanted))
        self._is_wanted.set()
        return await self._deadline.watch(future)

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await self._is_wanted.wait()
            if len(self._waiting) < self._limit and (pause_s := gather_s(self._sent_last)):
                await asyncio.sleep(pause_s)
            async with self._lock:
                batch = self._take()
                self._sent_last = len(batch)
                await self._send(batch)

    def close(self) -> None:
        """Answer all who wait, and all who come later, with RoomsUnavailable."""
        self._is_closed = True
        _fail([future for _, future, _ in self._waiting], RoomsUnavailable("stopping"))
        self._waiting.clear()

    def _take(self) -> list[tuple[Q, asyncio.Future[A]]]:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        while self._waiting and len(batch) < self._limit:
            question, future, is_wanted = self._waiting.popleft()
            if future.done():
                continue
            if is_wanted():
                batch.append((question, future))
            else:
                future.set_exception(NeverSent("not wanted any more"))
        if not self._waiting:
            self._is_wanted.clear()
        return batch

    async def _send(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        if not batch:
            return
        futures = [future for _, future in batch]
        try:
            answers = await self._call([question for question, _ in batch])
            if len(answers) != len(batch):
                raise RoomsUnavailable("a batch was answered in part")
        except RoomsUnavailable as reason:
            _fail(futures, reason)
        except asyncio.CancelledError:
            _fail(futures, RoomsUnavailable("stopping"))
            raise
        except Exception:  # noqa: BLE001 - those who wait are answered whatever went wrong, and the next batch goes on
            _log.exception("batch_failed")
            _fail(futures, RoomsUnavailable("internal error"))
        else:
            for future, answer in zip(futures, answers, strict=True):
                if not future.done():
                    future.set_result(answer)


def _late() -> RoomsUnavailable:
    return RoomsUnavailable("no answer in time")


def _fail(futures: Sequence[asyncio.Future[A]], reason: RoomsUnavailable) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(RoomsUnavailable(*reason.args))


class OwedQueue(Generic[News]):
    """News of connections that the service is to be told, of each connection the newest alone. Where nothing is
    to be told but which connections they are, the news is None, and the queue a set of connections.

    `call` commits a batch or raises RoomsUnavailable. One batch at a time, and none while `lock` is held elsewhere.
    Where it raises RoomsOutdated, the batch is tried again after 30 seconds, and the log says so once.

    Holds `capacity` of them; `name` is for the log. When more are owed they are all forgotten and `overflowed` is
    called: a sync, which says all that is held, makes up for them.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[Mapping[ConnectionId, News]], Awaitable[None]],
        *,
        limit: int,
        lock: asyncio.Lock,
        overflowed: Callable[[], None],
        capacity: int = CAPACITY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._call = call
        self._limit = limit
        self._lock = lock
        self._overflowed = overflowed
        self._capacity = capacity
        self._sleep = sleep
        self._owed: dict[ConnectionId, News] = {}
        self._is_wanted = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._part = limit
        self.owed_ever = 0
        """How many times `owe` was called, whatever became of it."""

    def __len__(self) -> int:
        return len(self._owed)

    def owe(self, connection: ConnectionId, news: News) -> None:
        """Owe this, in place of what is owed of the same connection; never waits."""
        self.owed_ever += 1
        self._owed[connection] = news
        self._is_empty.clear()
        if len(self._owed) > self._capacity:
            _log.warning("rooms_owed_forgotten", what=self._name, count=len(self._owed))
            self._owed.clear()
            self._rest()
            self._overflowed()
        else:
            self._is_wanted.set()

    async def wait_empty(self) -> None:
        """Returns when nothing is owed, as long as `run` runs."""
        await self._is_empty.wait()

    async def run(self) -> None:
        """Send batches until cancelled, more slowly and in smaller parts as long as they fail."""
        pause_s = _FIRST_PAUSE_S
        is_outdated = False
        while True:
            await self._is_wanted.wait()
            await self._sleep(GATHER_OWED_S)
            try:
                await self._send()
                pause_s = _FIRST_PAUSE_S
                is_outdated = False
            except RoomsOutdated:
                if not is_outdated:
                    _log.warning("rooms_outdated", what=self._name, retry_s=_OUTDATED_PAUSE_S)
                is_outdated = True
                await self._sleep(_OUTDATED_PAUSE_S)
            except Exception as reason:  # noqa: BLE001 - it is owed whatever went wrong
                if not isinstance(reason, RoomsUnavailable):
                    _log.exception("rooms_owed_defect", what=self._name)
                await self._sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _send(self) -> None:
        async with self._lock:
            batch = dict(islice(self._owed.items(), self._part))
            if not batch:
                return  # forgotten while the lock was waited for
            try:
                await self._call(batch)
            except Exception:
                self._put_back(batch)
                raise
            self._part = min(2 * self._part, self._limit)
            for connection, told in batch.items():
                # What came meanwhile is owed still, unless it says the same as what the service knows by now.
                if connection in self._owed and self._owed[connection] == told:
                    del self._owed[connection]
            if not self._owed:
                self._rest()

    def _rest(self) -> None:
        self._is_wanted.clear()
        self._is_empty.set()

    def _put_back(self, batch: Mapping[ConnectionId, News]) -> None:
        """Behind the others and in halves, so that one which always fails is alone in the end and the rest go
        through."""
        self._part = max(1, len(batch) // 2)
        for connection in batch:
            if connection in self._owed:
                self._owed[connection] = self._owed.pop(connection)
