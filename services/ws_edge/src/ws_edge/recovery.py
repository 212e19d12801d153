"""Reads again what a room may have missed, until that succeeds, as long as somebody here is in the room."""

import asyncio
from collections.abc import Callable, Sequence

from ws_edge.context import Context
from ws_edge.fanout.room import Room
from ws_edge.ports import BusUnavailable, RoomsUnavailable, StoredMessage

READS_AT_ONCE = 32
"""After an interruption every room of the worker reads: the services behind it are not asked all at once."""
PRESENCE_GRACE_S = 0.1
"""Events of two transactions may overtake each other on their way; a gap mostly closes by itself."""
MESSAGES_LIMIT = 500
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
HOLD_BACK_S = 10.0
"""For so long live messages wait for those that lie before them; then they are shown with the gap, which prev_id
tells."""


class Recovery:
    """The reads of one worker. `is_held` says whether a room is still one of its rooms."""

    __slots__ = ("_context", "_is_held", "_turns")

    def __init__(self, context: Context, is_held: Callable[[Room], bool]) -> None:
        self._context = context
        self._is_held = is_held
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    async def messages(self, room: Room) -> None:
        """Fill a gap, and let the room go on."""
        missed: Sequence[StoredMessage] = ()
        since_s, pause_s = self._context.clock.now_s(), FIRST_PAUSE_S
        try:
            while self._is_held(room):
                try:
                    missed = await self.missed_by(room)
                    return
                except BusUnavailable:
                    if self._context.clock.now_s() - since_s >= HOLD_BACK_S:
                        return
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            room.messages_restored(missed)

    async def presence(self, room: Room) -> None:
        """Have the room tell who came and went meanwhile."""
        pause_s = PRESENCE_GRACE_S
        snapshot = None
        try:
            while snapshot is None and self._is_held(room):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                try:
                    async with self._turns:
                        snapshot = await self._context.rooms.snapshot(room.life)
                except RoomsUnavailable:
                    continue
        finally:
            room.presence_restored(snapshot)

    async def missed_by(self, room: Room) -> list[StoredMessage]:
        """What the stream has after the last message that the room has shown. Raises BusUnavailable."""
        async with self._turns:
            return await self._context.bus.messages_after(room.room_id, room.life, room.last_id, limit=MESSAGES_LIMIT)
