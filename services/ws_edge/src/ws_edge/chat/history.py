"""Answers to `history`: older messages, for the one who asked alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ws_edge.errors import BusUnavailable, ErrorCode
from ws_edge.ports import Bus
from ws_edge.protocol import codec
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import StoredMessage
from ws_edge.room.member import Member
from ws_edge.room.room import Room

READS_AT_ONCE = 32
"""Of one worker."""
READ_S = 5.0
"""For so long a client waits, the waiting for its turn included."""


class Reader(Member, Protocol):
    """A connection that asks."""

    history_turn: asyncio.Lock | None
    """One answer at a time, in the order of the questions."""

    def refuse(self, code: ErrorCode) -> None:
        """Tell why a frame was not accepted; does nothing once the connection is over."""


class Histories:
    """The reads of one worker."""

    def __init__(self, bus: Bus, catch_up: Callable[[Room], Awaitable[None]]) -> None:
        """`catch_up`: see Recovery."""
        self._bus = bus
        self._catch_up = catch_up
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    async def answer(self, reader: Reader, room: Room, before: MessageId | None, limit: int) -> None:
        """Write the newest messages before this id, None: of all; or that they cannot be read."""
        turn = reader.history_turn = reader.history_turn or asyncio.Lock()
        try:
            async with asyncio.timeout(READ_S), turn, self._turns:
                found = await self._read(reader, room, before, limit + 1)
        except (BusUnavailable, TimeoutError):
            reader.refuse(ErrorCode.UNAVAILABLE)
        else:
            room.write_waiting(reader)  # what the answer knows of, the client has seen before it
            has_more = len(found) > limit
            waiting = room.waiting_ms()
            shown = found[-limit:]
            reader.write(codec.history(shown, room.room_id, has_more=has_more, emotes=room.emotes, visible_ms=waiting))

    async def _read(self, reader: Reader, room: Room, before: MessageId | None, number: int) -> list[StoredMessage]:
        """So many of the newest messages before this id that were not taken back, or all there are. Raises
        BusUnavailable."""
        await self._catch_up(room)
        # Only now: what is stored from here on, and may have to wait, lies behind it.
        end = room.history_end(reader)
        if end is not None and (before is None or before > end):
            before = end
        shown: list[StoredMessage] = []
        while len(shown) < number:
            wanted = number - len(shown)
            found = await self._bus.messages_before(room.log, before, limit=wanted)
            shown = [message for message in found if not room.erasures.covers(message)] + shown
            if len(found) < wanted:
                break
            before = found[0].id
        return [message for message in shown if not room.erasures.covers(message)]
