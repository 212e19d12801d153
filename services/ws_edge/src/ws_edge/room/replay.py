"""What a client that comes back has missed: read from the log once for all who come back to a room, held for a while,
and followed by what is shown meanwhile, so that nothing is left out and nothing comes twice.

A client names the last entry that it saw (`since`) and the epoch of that log. `ReplayReader.prepare` has the room hold
what was shown after it; the room writes that behind room_joined, in the same moment in which it lets the client in.
What cannot be given whole is not given in part: the client is told so, and reads the history.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from ws_edge.errors import BusUnavailable
from ws_edge.ports import Bus
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry, RoomCleared, UnknownEntry
from ws_edge.protocol.references import ResumePoint
from ws_edge.room.pins import with_messages
from ws_edge.room.recent_log import REPLAY_LIMIT
from ws_edge.room.room import Room

REPLAY_S = 5.0
"""For so long a client waits for its replay; then it is let in without one."""
READS_AT_ONCE = 32
"""Of one worker; the others wait their turn."""
_PAUSE_S = 0.05


@dataclass(slots=True)
class _ComingBack:
    """Those who come back to one room at present, and the one of them for whom the log is read."""

    sinces: list[MessageId] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class ReplayReader:
    """The replays of one worker. `catch_up` has a room show all that is stored: see Recovery."""

    def __init__(self, bus: Bus, catch_up: Callable[[Room], Awaitable[None]]) -> None:
        self._bus = bus
        self._catch_up = catch_up
        self._coming_back: dict[Room, _ComingBack] = {}
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    async def prepare(self, room: Room, point: ResumePoint) -> bool:
        """Have the room hold what was shown after this point, where that is to be had within REPLAY_S; whether it does
        shows when the client is let in. False: the log cannot be read, and what is at hand may hold text that was taken
        back."""
        since = point.since
        if since is None or point.epoch != room.epoch:
            return True
        is_current = False
        recent = room.hold_recent()  # what is shown from now on
        with suppress(TimeoutError, BusUnavailable):
            async with asyncio.timeout(REPLAY_S):
                # From here on nothing is at hand that had been taken back when the client came.
                await self._catch_up(room)
                is_current = True
                await self._let_viewers_see(room, since)
                if since > room.last_id or room.shown_since(since) is not None or since <= recent.too_old:
                    return True
                async with self._turn(room, since) as coming_back:
                    # One read for all who wait, from where the first of them was; who asks for too much is left out.
                    lowest = min((each for each in coming_back.sinces if each > recent.too_old), default=since)
                    for each in (lowest, since):
                        if room.shown_since(since) is None and each > recent.too_old:
                            await self._read(room, each)
        return is_current

    async def read_pin(self, room: Room) -> bool:
        """Whether what is pinned may be shown: from here on nothing is that had been taken back when this was asked."""
        with suppress(BusUnavailable):
            await self._catch_up(room)
            return True
        return False

    @asynccontextmanager
    async def _turn(self, room: Room, since: MessageId) -> AsyncIterator[_ComingBack]:
        coming_back = self._coming_back.setdefault(room, _ComingBack())
        coming_back.sinces.append(since)
        try:
            async with coming_back.turn:
                yield coming_back
        finally:
            coming_back.sinces.remove(since)
            if not coming_back.sinces:
                del self._coming_back[room]

    async def _read(self, room: Room, since: MessageId) -> None:
        """Have the room hold what the log has after this entry, or know that it is too old. Any replica may answer, and
        lag: what is read has to reach to what the room has shown."""
        while True:
            recent = room.hold_recent()
            try:
                async with self._turns:
                    missed = await self._bus.entries_after(room.log, since, limit=REPLAY_LIMIT + 1)
                    reaches = bool(missed) and missed[-1].id >= recent.after
                    is_lagging = not reaches and await self._has(room, recent.after)
                    missed = await with_messages(self._bus, room, missed)
            except BusUnavailable:
                await asyncio.sleep(_PAUSE_S)
                continue
            if is_lagging:
                await asyncio.sleep(_PAUSE_S)
            elif not reaches or not _is_all_after(since, missed, room):
                recent.too_old = max(recent.too_old, since)
                return
            else:
                shown = [entry for entry in missed if not isinstance(entry, UnknownEntry)]
                if recent.prepend(room.erasures.without_covered(shown), after=since, reaches=missed[-1].id):
                    return

    async def _let_viewers_see(self, room: Room, since: MessageId) -> None:
        """On another edge the second of this entry was over sooner than here."""
        while True:
            if not room.viewed_id < since <= room.last_id:
                return
            await asyncio.sleep(_PAUSE_S)

    async def _has(self, room: Room, entry_id: MessageId) -> bool:
        """Whether the stream's leader has the room's log up to this entry. Raises BusUnavailable."""
        return await self._bus.last_id(room.log) >= entry_id


def _is_all_after(since: MessageId, missed: Sequence[LogEntry], room: Room) -> bool:
    """Whether nothing that came after this entry is gone but what was taken back: the entry, or one before it, is still
    there; or the room was cleared since; or the room has shown the log from its beginning, and nothing is missing."""
    if len(missed) > REPLAY_LIMIT:
        return False
    if missed and missed[0].prev_id and missed[0].prev_id <= since:
        return True
    return any(isinstance(entry, RoomCleared) for entry in missed) or room.is_whole_after(since, missed)
