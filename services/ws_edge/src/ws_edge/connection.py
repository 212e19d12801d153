"""One chat client: between its socket, its session and its room."""

import asyncio
from collections import deque
from typing import Protocol

from ws_edge.context import Context
from ws_edge.fanout.room import Room
from ws_edge.joining import UNAVAILABLE, HeldRoom, Joining, TurnedAway
from ws_edge.ports import BusUnavailable, Membership, Transport, TypingChanged
from ws_edge.posting import Posting, is_silenced
from ws_edge.protocol import codec
from ws_edge.protocol.close import CloseCode
from ws_edge.protocol.effects import Disconnect, Effect, Moderate, Post, Reply, StartTyping, StopTyping
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import ConnectionId, Slug, Speaker
from ws_edge.protocol.reference import RoomRef
from ws_edge.protocol.session import Session

FRAME_LIMIT_BYTES = 16 * 1024
ACTIONS_WAITING = 16
DAY_S = 86_400.0

CLOSE_OF = {
    ErrorCode.INVALID_TOKEN: CloseCode.POLICY_VIOLATION,
    ErrorCode.ACCESS_DENIED: CloseCode.FORBIDDEN,
    ErrorCode.NOT_FOUND: CloseCode.NOT_FOUND,
    ErrorCode.TOO_MANY_CONNECTIONS: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.UNAVAILABLE: CloseCode.TRY_AGAIN_LATER,
}
"""With which code a connection is closed that is turned away for this reason."""


class Moderating(Protocol):
    """Carries out moderation_action frames."""

    async def act(self, speaker: Speaker, slug: Slug, wish: Moderate) -> ErrorCode | None:
        """None: done, everybody was told."""


class Gate(Protocol):
    """Who let a connection in is told when it is over."""

    def departed(self, address: str) -> None:
        """One connection of this address less."""


class ChatConnection:
    """Implements Receiver for the transport, and Occupant for the hub."""

    frame_limit_bytes = FRAME_LIMIT_BYTES

    __slots__ = (
        "_actions",
        "_context",
        "_expiry",
        "_gate",
        "_held",
        "_is_over",
        "_joining",
        "_moderating",
        "_owes_leave",
        "_posting",
        "_ref",
        "_session",
        "_tick",
        "_transport",
        "id",
        "limited_until_s",
        "membership",
        "room",
        "slug",
        "speaker",
        "waiting",
    )

    def __init__(
        self,
        connection: ConnectionId,
        speaker: Speaker,
        ref: RoomRef,
        context: Context,
        *,
        joining: Joining,
        posting: Posting,
        moderating: Moderating,
        gate: Gate,
    ) -> None:
        self.id = connection
        self.speaker = speaker
        self.slug: Slug | None = None
        self.room: Room | None = None
        self.waiting = 0
        self.limited_until_s = 0.0
        self._ref = ref
        self._context = context
        self._joining = joining
        self._posting = posting
        self._moderating = moderating
        self._gate = gate
        self._session = Session(
            speaker.identity.rank, frames_per_window=context.frames_per_window, now=context.clock.now_s()
        )
        self._transport: Transport | None = None
        self.membership: Membership | None = None
        self._held: HeldRoom | None = None
        self._owes_leave = False
        self._is_over = False
        self._expiry: asyncio.TimerHandle | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._actions: deque[Moderate] | None = None

    # --- what the transport tells ----------------------------------------------------------------------------------

    def connected(self, transport: Transport) -> None:
        """The handshake is answered: begin to join."""
        self._transport = transport
        self._context.hub.add(self)
        self._watch_expiry()
        self._context.tasks.spawn(self._join(), "join")

    def receive_text(self, payload: bytes) -> None:
        """A frame of the client."""
        if not self._is_over:
            self._perform(self._session.receive(payload, now=self._context.clock.now_s()))

    def receive_binary(self) -> None:
        """A frame that no client of the document sends."""
        if not self._is_over:
            self._perform(self._session.receive_binary(now=self._context.clock.now_s()))

    def receive_part(self) -> None:
        """A frame that says nothing, and counts all the same."""
        if not self._is_over:
            self._perform(self._session.receive_part(now=self._context.clock.now_s()))

    def congestion_changed(self, is_congested: bool) -> None:
        """The socket takes nothing more, or does again. Nobody tells it twice: who is in no room yet, which would watch
        it, is closed."""
        if self.room is not None:
            self.room.congestion_changed(self, is_congested)
        elif is_congested:
            self.leave_behind()

    def lost(self) -> None:
        """The socket is gone."""
        self._leave()

    # --- what the hub and the room do ------------------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Send whole frames."""
        if self._transport is not None and not self._is_over:
            self._transport.write(frames)

    def unsent_bytes(self) -> int:
        """What the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.unsent_bytes()

    def leave_behind(self) -> None:
        """The client reads too slowly."""
        self.end(CloseCode.TRY_AGAIN_LATER)

    def end(self, code: CloseCode, error: ErrorCode | None = None) -> None:
        """Leave hub and room, tell the error if there is one, and close."""
        if self._is_over or self._transport is None:
            return
        if error is not None and self.room is None:
            self._context.meter.turned_away(error.value)
        self._leave()
        if error is not None:
            self._transport.write(codec.error(error))
        self._transport.close(code)
        self._context.meter.closed(code)

    def stop_typing(self) -> None:
        """Whoever may write no more does not go on typing either."""
        if not self._is_over:
            self._perform(self._session.stop_typing())

    def refuse(self, code: ErrorCode, *, retry_after_ms: int = 0, nonce: str = "") -> None:
        """Tell why a frame was not accepted."""
        if self._is_over:
            return
        self._context.meter.refused(code.value)
        self.write(codec.error(code, retry_after_ms=retry_after_ms or None, nonce=nonce or None))
        self._perform(self._session.refused(now=self._context.clock.now_s()))

    # --- joining and leaving ---------------------------------------------------------------------------------------

    async def _join(self) -> None:
        try:
            await self._take_steps()
        except TurnedAway as refusal:
            self.end(CLOSE_OF[refusal.code], refusal.code)
        except UNAVAILABLE:
            self.end(CloseCode.TRY_AGAIN_LATER, ErrorCode.UNAVAILABLE)
        finally:
            if self.room is None:
                self.end(CloseCode.INTERNAL)  # only a defect comes here with the client still waiting

    async def _take_steps(self) -> None:
        """Every step may find that the client is gone, or was sent away, meanwhile; _leave has then given back what
        was held before the step, and what the step itself brought is given back here."""
        joining = self._joining
        self.slug = await joining.find_slug(self._ref)
        await joining.check(self.speaker, self.slug, final=False)
        if self._is_over:
            return
        self._owes_leave = True
        self.membership = membership = await joining.become_member(self.id, self._ref, self.speaker.identity)
        if self._is_over:
            return
        self._context.hub.note_membership(self)
        self.slug = membership.slug
        held = await joining.hold(membership)
        if self._is_over:
            joining.release(held)
            return
        self._held = held
        await joining.check(self.speaker, self.slug, final=True)
        if not self._is_over:
            self._enter(held.room, membership)

    def _enter(self, room: Room, membership: Membership) -> None:
        self.room = room
        self.write(room.welcome(self, self.speaker.key, membership))
        self._perform(self._session.joined(now=self._context.clock.now_s()))

    def _leave(self) -> None:
        """Give back, once, all that this connection holds. It has left from here on, for hub, count and user_left."""
        if self._is_over:
            return
        self._is_over = True
        for timer in (self._expiry, self._tick):
            if timer is not None:
                timer.cancel()
        self._context.hub.discard(self)
        self._gate.departed(self.speaker.address)
        room, self.room = self.room, None
        if room is not None:
            room.discard(self)
            if self._session.stop_typing():
                self._publish_typing(room, active=False)
            self._context.moderation.sight(self.speaker, room.slug)
        if self._owes_leave:
            self._context.rooms.leave(self.id)
        if self._held is not None:
            self._joining.release(self._held)
            self._held = None

    def _watch_expiry(self) -> None:
        """End with the token; looked at once a day at least, since a timer holds no time of a century."""
        expires_at_s = self.speaker.identity.expires_at_s
        if expires_at_s is None:
            return
        left_s = max(0.0, expires_at_s - self._context.clock.unix_s())
        loop = asyncio.get_running_loop()
        if left_s > DAY_S:
            self._expiry = loop.call_later(DAY_S, self._watch_expiry)
        else:
            self._expiry = loop.call_later(left_s, self._expired)

    def _expired(self) -> None:
        self.end(CLOSE_OF[ErrorCode.INVALID_TOKEN], ErrorCode.INVALID_TOKEN)

    # --- what the session wants ------------------------------------------------------------------------------------

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if self._is_over:
                return
            match effect:
                case Post(text, nonce):
                    assert self.room is not None
                    self._posting.post(self, self.room, text, nonce)
                case Reply(frame):
                    self.write(frame)
                case StartTyping():
                    self._type(active=True)
                case StopTyping():
                    self._type(active=False)
                case Moderate():
                    self._moderate(effect)
                case Disconnect(code):
                    self.end(code)

    def _type(self, *, active: bool) -> None:
        room = self.room
        assert room is not None
        if active and is_silenced(self._context, self.speaker, room.slug):
            return
        self._publish_typing(room, active=active)
        self._schedule_tick()

    def _schedule_tick(self) -> None:
        """The session's typing ends by itself at its deadline, which every start puts off."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        deadline_s = self._session.next_deadline()
        if deadline_s is not None:
            left_s = max(0.0, deadline_s - self._context.clock.now_s())
            self._tick = asyncio.get_running_loop().call_later(left_s, self._tick_session)

    def _tick_session(self) -> None:
        self._tick = None
        self._perform(self._session.tick(now=self._context.clock.now_s()))
        if not self._is_over:
            self._schedule_tick()

    def _publish_typing(self, room: Room, *, active: bool) -> None:
        identity = self.speaker.identity
        change = TypingChanged(
            self.speaker.key,
            identity.user_id,
            identity.username,
            active,
            self._context.edge,
            self.id,
            int(self._context.clock.unix_s() * 1000),
        )
        try:
            self._context.bus.publish_typing(room.room_id, room.life, change)
        except BusUnavailable:
            return  # an indicator that is not shown loses nothing; one that is shown ends by itself

    def _moderate(self, wish: Moderate) -> None:
        """The actions of one client are carried out one after the other."""
        if self._actions is None:
            self._actions = deque([wish])
            self._context.tasks.spawn(self._carry_out(self._actions), "moderate")
        elif len(self._actions) < ACTIONS_WAITING:
            self._actions.append(wish)
        else:
            self.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=1000, nonce=wish.nonce)

    async def _carry_out(self, actions: deque[Moderate]) -> None:
        try:
            while actions and self.slug is not None:
                wish = actions.popleft()
                refusal = await self._moderating.act(self.speaker, self.slug, wish)
                if refusal is not None:
                    self.refuse(refusal, nonce=wish.nonce)
        finally:
            self._actions = None
