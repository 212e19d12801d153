"""Leaves that are owed to the rooms service: tried until they are committed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

import structlog

from ws_edge.adapters.request_batches import GATHER_S, BatchFailed
from ws_edge.protocol.identity import ConnectionId

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class LeaveQueue:
    """Bounded by what is held: a connection is owed one leave. `call` commits a batch or raises BatchFailed."""

    def __init__(
        self, call: Callable[[Sequence[ConnectionId]], Awaitable[None]], *, limit: int, wire: asyncio.Lock
    ) -> None:
        self._call = call
        self._limit = limit
        self._wire = wire
        self._owed: dict[ConnectionId, None] = {}
        self._is_wanted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._owed)

    def add(self, connection: ConnectionId) -> None:
        """Owe one more."""
        self._owed[connection] = None
        self._is_wanted.set()

    async def run(self) -> None:
        """Send batches until cancelled, more slowly as long as they fail."""
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
            batch = list(islice(self._owed, self._limit))
            await self._call(batch)
            for connection in batch:
                del self._owed[connection]
            if not self._owed:
                self._is_wanted.clear()
