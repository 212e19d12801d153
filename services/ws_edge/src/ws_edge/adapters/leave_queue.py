"""Leaves that are owed to the rooms service: tried until they are committed, or until a sync says the same."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

import structlog

from ws_edge.adapters.request_batches import GATHER_S, BatchFailed
from ws_edge.protocol.identity import ConnectionId

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
CAPACITY = 10_000


class LeaveQueue:
    """`call` commits a batch or raises BatchFailed. One batch at a time, and none while `wire` is held elsewhere.

    Holds `capacity` leaves. When more are owed they are all forgotten and `overflowed` is told: a sync, which names
    what is still held, has the service remove the rest.
    """

    def __init__(
        self,
        call: Callable[[Sequence[ConnectionId]], Awaitable[None]],
        *,
        limit: int,
        wire: asyncio.Lock,
        overflowed: Callable[[], None],
        capacity: int = CAPACITY,
    ) -> None:
        self._call = call
        self._limit = limit
        self._wire = wire
        self._overflowed = overflowed
        self._capacity = capacity
        self._owed: dict[ConnectionId, None] = {}
        self._is_wanted = asyncio.Event()
        self._part = limit
        self.added = 0
        """How many leaves there ever were."""

    def __len__(self) -> int:
        return len(self._owed)

    def add(self, connection: ConnectionId) -> None:
        """Owe one more."""
        self.added += 1
        self._owed[connection] = None
        if len(self._owed) > self._capacity:
            _log.warning("rooms_leaves_forgotten", count=len(self._owed))
            self._owed.clear()
            self._is_wanted.clear()
            self._overflowed()
        else:
            self._is_wanted.set()

    async def run(self) -> None:
        """Send batches until cancelled, more slowly and in smaller parts as long as they fail."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._is_wanted.wait()
            await asyncio.sleep(GATHER_S)
            try:
                await self._send()
                pause_s = _FIRST_PAUSE_S
            except Exception as reason:  # noqa: BLE001 - a leave is owed whatever went wrong
                if not isinstance(reason, BatchFailed):
                    _log.exception("rooms_leave_defect")
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _send(self) -> None:
        async with self._wire:
            batch = list(islice(self._owed, self._part))
            if not batch:
                return  # forgotten while the wire was taken
            try:
                await self._call(batch)
            except Exception:
                self._put_back(batch)
                raise
            self._part = min(2 * self._part, self._limit)
            for connection in batch:
                self._owed.pop(connection, None)
            if not self._owed:
                self._is_wanted.clear()

    def _put_back(self, batch: Sequence[ConnectionId]) -> None:
        """Behind the others and in halves, so that one leave which always fails is alone in the end and the rest go
        through."""
        self._part = max(1, len(batch) // 2)
        for connection in batch:
            if connection in self._owed:
                del self._owed[connection]
                self._owed[connection] = None
