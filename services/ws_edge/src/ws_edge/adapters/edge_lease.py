"""The lease of this worker at the rooms service: heartbeats, and registering again what was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from ws_edge.adapters.request_batches import BatchFailed
from ws_edge.ports import HeldConnection
from ws_edge.protocol.identity import ConnectionId

_log = structlog.get_logger(__name__)

_INTERVAL_S = 3.0
_RETRY_S = 0.5
_PART_SIZE = 1000
_MISMATCHES_BEFORE_SYNC = 2


class LeaseCalls(Protocol):
    """What the lease asks of the rooms service; each call raises BatchFailed."""

    async def heartbeat(self) -> tuple[bool, int]:
        """Whether the lease stands, and how many memberships the service has for this worker."""

    async def sync(self, part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
        """Register a part again; the connections that are lost."""


class EdgeLease:
    """Heartbeats and syncs run while no join and no leave is under way, so that both sides count the same moment."""

    def __init__(
        self,
        calls: LeaseCalls,
        *,
        wire: asyncio.Lock,
        held: Callable[[], list[HeldConnection]],
        held_count: Callable[[], int],
        owed_leaves: Callable[[], int],
        lost: Callable[[ConnectionId], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._calls = calls
        self._wire = wire
        self._held = held
        self._held_count = held_count
        self._owed_leaves = owed_leaves
        self._lost = lost
        self._sleep = sleep
        self._mismatches = 0
        self._owes_sync = False
        self.is_alive = False
        """The last heartbeat was answered."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                await self.beat()
                self.is_alive = True
            except BatchFailed as reason:
                if self.is_alive:
                    _log.warning("rooms_heartbeat_failed", reason=str(reason))
                self.is_alive = False
            except Exception:  # noqa: BLE001 - without the next heartbeat every connection of this worker would be lost
                _log.exception("rooms_heartbeat_defect")
            await self._sleep(_INTERVAL_S if self.is_alive else _RETRY_S)

    async def beat(self) -> None:
        """One heartbeat, and a sync where it shows the need. Raises BatchFailed."""
        lost: list[ConnectionId] = []
        async with self._wire:
            is_registered, count = await self._calls.heartbeat()
            self._note(is_registered, count)
            if self._owes_sync:
                lost = await self._sync()
        for connection in lost:
            self._lost(connection)

    def _note(self, is_registered: bool, count: int) -> None:
        held = self._held_count()
        # A leave that waits may be of a connection that the service never had.
        is_equal = held <= count <= held + self._owed_leaves()
        self._mismatches = 0 if is_equal else self._mismatches + 1
        if not is_registered or self._mismatches >= _MISMATCHES_BEFORE_SYNC:
            _log.info("rooms_sync_needed", is_registered=is_registered, held=held, count=count)
            self._owes_sync = True

    async def _sync(self) -> list[ConnectionId]:
        held = self._held()
        parts = [held[start : start + _PART_SIZE] for start in range(0, len(held), _PART_SIZE)] or [[]]
        lost: list[ConnectionId] = []
        for number, part in enumerate(parts, start=1):
            lost += await self._calls.sync(part, first=number == 1, last=number == len(parts))
        self._owes_sync = False
        self._mismatches = 0
        return lost
