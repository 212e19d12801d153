"""The lease of this worker at the rooms service: heartbeats, and registering again what was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from chassis.tasks import in_slices
from ws_edge.errors import RoomsUnavailable
from ws_edge.protocol.identity import ConnectionId
from ws_edge.protocol.rooms import HeldConnection

_log = structlog.get_logger(__name__)

_INTERVAL_S = 3.0
_RETRY_S = 0.5
_PART_SIZE = 1000
_MISMATCHES_BEFORE_SYNC = 2


class LeaseCalls(Protocol):
    """What the lease asks of the rooms service; each call raises RoomsUnavailable."""

    async def heartbeat(self) -> tuple[bool, int]:
        """Whether the lease stands, and how many memberships the service has for this worker."""

    async def sync(self, part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
        """Register a part again; the connections that are lost."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """How many memberships this worker has at one moment, and what may make the service count others."""

    held: int
    joining: int = 0
    """Joins without an outcome: the service may count them already."""
    owed: int = 0
    """Leaves that are not committed: the service may still count them."""
    joins: int = 0
    """Joins there ever were."""
    leaves: int = 0
    """Leaves there ever were."""


class EdgeLease:
    """Heartbeats wait for nothing, or slow batches would cost the lease that they renew. Syncs run while no join, no
    leave and no change of a rank is under way: a part of a sync that was made before one of them would overwrite it.
    Each of `locks` is held by one of these kinds of calls. A sync takes them in this order, and while it waits for one
    it holds up what needs those that it has already: the kind that can wait least comes last.

    `held` gives the memberships one after the other, leaving out those that end meanwhile.
    """

    def __init__(
        self,
        calls: LeaseCalls,
        *,
        locks: Sequence[asyncio.Lock],
        held: Callable[[], Iterable[HeldConnection]],
        holdings: Callable[[], Holdings],
        lost: Callable[[ConnectionId], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._calls = calls
        self._locks = locks
        self._held = held
        self._holdings = holdings
        self._lost = lost
        self._sleep = sleep
        self._mismatches = 0
        self._owes_sync = False
        self._may_sync = asyncio.Event()
        self.is_alive = False
        """The last heartbeat was answered."""

    def owe_sync(self) -> None:
        """Have everything registered again: the service knows something that is not so."""
        self._owes_sync = True

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        last_trouble = ""
        while True:
            try:
                await self.beat()
                self.is_alive = True
                last_trouble = ""
            except RoomsUnavailable as reason:
                if str(reason) != last_trouble:
                    last_trouble = str(reason)
                    _log.warning("rooms_heartbeat_failed", reason=last_trouble)
                self.is_alive = False
            except Exception:  # noqa: BLE001 - without the next heartbeat every connection of this worker would be lost
                _log.exception("rooms_heartbeat_defect")
            await self._sleep(_INTERVAL_S if self.is_alive else _RETRY_S)

    async def run_syncs(self) -> None:
        """Register again whenever it is owed and a heartbeat was answered, until cancelled."""
        while True:
            await self._may_sync.wait()
            self._may_sync.clear()
            try:
                await self.sync()
            except RoomsUnavailable as reason:
                _log.warning("rooms_sync_failed", reason=str(reason))
            except Exception:  # noqa: BLE001 - it is owed still, and begins again after the next heartbeat
                _log.exception("rooms_sync_defect")

    async def beat(self) -> None:
        """One heartbeat, which may show that a sync is owed. Raises RoomsUnavailable."""
        before = self._holdings()
        is_registered, count = await self._calls.heartbeat()
        self._note(is_registered, count, before, self._holdings())
        if self._owes_sync:
            self._may_sync.set()

    async def sync(self) -> None:
        """Say all that is held, if that is owed; what fails begins again another time. Raises RoomsUnavailable."""
        if not self._owes_sync:
            return
        lost: list[ConnectionId] = []
        async with AsyncExitStack() as nothing_under_way:
            for lock in self._locks:
                await nothing_under_way.enter_async_context(lock)
            self._owes_sync = False  # first: leaves that are forgotten while the parts are under way owe another one
            try:
                for is_first, part, is_last in _parts(self._held()):
                    lost += await self._calls.sync(part, first=is_first, last=is_last)
            except BaseException:
                self._owes_sync = True
                raise
            self._mismatches = 0
        await in_slices(lost, self._lost)

    def _note(self, is_registered: bool, count: int, before: Holdings, after: Holdings) -> None:
        """The service counted at some moment between the two."""
        came = before.joining + after.joins - before.joins
        left = after.leaves - before.leaves
        if not before.held - left <= count <= before.held + before.owed + came:
            self._mismatches += 1
        elif not came and not left:
            self._mismatches = 0  # while joins or leaves are under way, one too many might not show
        if not is_registered or self._mismatches >= _MISMATCHES_BEFORE_SYNC:
            _log.info("rooms_sync_needed", is_registered=is_registered, held=before.held, count=count)
            self._owes_sync = True


def _parts(held: Iterable[HeldConnection]) -> Iterator[tuple[bool, list[HeldConnection], bool]]:
    """Whether it is the first, the part, whether it is the last; one empty part of nothing."""
    rest = iter(held)
    is_first, part = True, list(islice(rest, _PART_SIZE))
    while True:
        following = list(islice(rest, _PART_SIZE))
        yield is_first, part, not following
        if not following:
            return
        is_first, part = False, following
