"""The typing of one client: published to the other edges, and ended by a timer."""

import asyncio
from typing import Protocol

from ws_edge.errors import BusUnavailable
from ws_edge.ports import Ports
from ws_edge.protocol.identity import ConnectionId, Speaker
from ws_edge.protocol.rooms import TypingChanged
from ws_edge.protocol.session import Session
from ws_edge.room.room import Room


class Typist(Protocol):
    """A connection that is in a room."""

    @property
    def id(self) -> ConnectionId:
        """Its number in this worker."""

    @property
    def speaker(self) -> Speaker:
        """Who types."""

    def tick(self) -> None:
        """The session's deadline has come."""


class TypingTimer:
    """Made with the first typing_start of a connection: most have none."""

    __slots__ = ("_client", "_is_told", "_ports", "_room", "_session", "handle")

    def __init__(self, client: Typist, room: Room, session: Session, ports: Ports) -> None:
        self._client = client
        self._room = room
        self._session = session
        self._ports = ports
        self._is_told = False
        """Other edges were told of the typing."""
        self.handle: asyncio.TimerHandle | None = None
        """What will end the typing; None: nobody types."""

    def start(self) -> None:
        """The client types, or still does; whoever may not write does not type either."""
        ports = self._ports
        if not ports.cache.is_silenced(self._client.speaker, self._room.slug, now_s=ports.clock.unix_s()):
            if self._room.shows_typing:
                self._is_told = True
                self._publish(active=True)
            self.schedule()

    def stop(self) -> None:
        """The client no longer types."""
        if self._is_told:
            self._is_told = False
            self._publish(active=False)
        self.schedule()

    def cancel(self) -> None:
        """Nobody waits for the deadline any more."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None

    def schedule(self) -> None:
        """The session's typing ends by itself at its deadline, which every start puts off."""
        self.cancel()
        deadline_s = self._session.next_deadline()
        if deadline_s is not None:
            left_s = max(0.0, deadline_s - self._ports.clock.now_s())
            self.handle = asyncio.get_running_loop().call_later(left_s, self._client.tick)

    def _publish(self, *, active: bool) -> None:
        ports, speaker = self._ports, self._client.speaker
        change = TypingChanged(
            speaker.key,
            speaker.identity.user_id,
            speaker.identity.username,
            active,
            ports.edge,
            self._client.id,
            int(ports.clock.unix_s() * 1000),
        )
        try:
            ports.bus.publish_typing(self._room.log, change)
        except BusUnavailable:
            return  # an indicator that is not shown loses nothing; one that is shown ends by itself
