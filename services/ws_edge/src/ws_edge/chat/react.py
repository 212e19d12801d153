"""From a reaction that a client sent to the sums of its room. Nobody is asked: an edge judges by what it knows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from ws_edge.errors import BusUnavailable, ErrorCode
from ws_edge.ports import Ports
from ws_edge.protocol.emotes import is_name
from ws_edge.protocol.identity import MessageId, Speaker
from ws_edge.protocol.limits import LocalLimiter
from ws_edge.protocol.session import React
from ws_edge.room.reactions import REACTABLE_LIMIT
from ws_edge.room.room import Room

REACTIONS_PER_WINDOW = 10
WINDOW_S = 10.0
REACTIONS_PER_ADDRESS = 100
"""Of all anonymous connections of one address together."""
READS_AT_ONCE = 8
"""Of one worker; the others wait their turn."""
READ_S = 5.0
"""For so long somebody waits, the waiting for a turn included."""


class Reactor(Protocol):
    """A connection whose user reacts."""

    @property
    def speaker(self) -> Speaker:
        """Who it is."""

    @property
    def room(self) -> Room | None:
        """Where it is; None: gone meanwhile."""

    def refuse(self, code: ErrorCode, *, retry_after_ms: int = 0, nonce: str = "") -> None:
        """Tell why a frame was not accepted; does nothing once the connection is over."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A reaction to a message of which nobody here knows yet whether there is one."""

    client: Reactor
    emoji: str
    message_id: MessageId


class Reactions:
    """The reactions of one worker. The policy of a room is one of messages, and does not hold for them; who is muted or
    banned does not react."""

    __slots__ = ("_catch_up", "_limiter", "_ports", "_turns", "_waiting")

    def __init__(self, ports: Ports, catch_up: Callable[[Room], Awaitable[None]]) -> None:
        """`catch_up`: see Recovery."""
        self._ports = ports
        self._catch_up = catch_up
        self._limiter = LocalLimiter(REACTIONS_PER_WINDOW, WINDOW_S, REACTIONS_PER_ADDRESS)
        self._turns = asyncio.Semaphore(READS_AT_ONCE)
        self._waiting: dict[Room, list[_Waiting]] = {}

    def react(self, client: Reactor, room: Room, reaction: React) -> None:
        """Have it counted, or tell why not. Whatever may cost something counts against the limit: also a reaction to a
        message that turns out not to be there."""
        ports, speaker = self._ports, client.speaker
        if is_name(reaction.emoji) and room.emotes.find(reaction.emoji.strip(":")) is None:
            client.refuse(ErrorCode.NOT_FOUND)
            return
        if ports.cache.is_silenced(speaker, room.slug, now_s=ports.clock.unix_s()):
            client.refuse(ErrorCode.MUTED_OR_BANNED)
            return
        wait_ms = self._admit_or_wait_ms(speaker)
        if wait_ms:
            client.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=wait_ms)
        elif reaction.message_id is None:
            room.react(reaction.emoji, None)
        else:
            self._react_to(_Waiting(client, reaction.emoji, reaction.message_id), room)

    def _admit_or_wait_ms(self, speaker: Speaker) -> int:
        """Who came back from another address is counted there first, as with messages."""
        now_s = self._ports.clock.now_s()
        for face in reversed(speaker.faces):
            if wait_ms := self._limiter.admit_or_wait_ms(face, now_s):
                return wait_ms
        return 0

    def _react_to(self, waiting: _Waiting, room: Room) -> None:
        is_there = room.is_reactable(waiting.message_id)
        if is_there:
            room.react(waiting.emoji, waiting.message_id)
        elif is_there is not None:
            waiting.client.refuse(ErrorCode.NOT_FOUND)
        elif room in self._waiting:
            self._waiting[room].append(waiting)
        else:
            self._waiting[room] = [waiting]
            self._ports.tasks.spawn(self._read(room), "read which messages there are")

    async def _read(self, room: Room) -> None:
        """Once for all who wait: the limit bounds how many there are."""
        is_read = False
        try:
            reactable = room.hold_reactable()
            async with asyncio.timeout(READ_S), self._turns:
                await self._catch_up(room)
                reactable.read(await self._ports.bus.messages_before(room.log, None, limit=REACTABLE_LIMIT))
            is_read = room.hold_reactable() is reactable
        except (BusUnavailable, TimeoutError):
            pass  # who waits is told
        finally:
            for waiting in self._waiting.pop(room):
                if waiting.client.room is not room:
                    continue
                if is_read:
                    self._react_to(waiting, room)
                else:
                    waiting.client.refuse(ErrorCode.UNAVAILABLE)
