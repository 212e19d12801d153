"""One chat client: between its socket, its session and its room."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from ws_edge.chat.history import Histories
from ws_edge.chat.join import Entrance, JoinRequest, join
from ws_edge.chat.moderate import ActionQueue, ModerationActions
from ws_edge.chat.post import Posting
from ws_edge.chat.react import Reactions
from ws_edge.chat.renewal import renew
from ws_edge.chat.typing_timer import TypingTimer
from ws_edge.errors import CLOSE_OF, CloseCode, ErrorCode
from ws_edge.ports import Ports, Transport
from ws_edge.protocol import codec
from ws_edge.protocol.holds import Decided
from ws_edge.protocol.identity import ConnectionId, Rank, Slug, Speaker, UserId
from ws_edge.protocol.references import ResumePoint
from ws_edge.protocol.rooms import Membership
from ws_edge.protocol.sanctions import Action, BanNotice
from ws_edge.protocol.server_frames import You
from ws_edge.protocol.session import (
    Acknowledge,
    Disconnect,
    Effect,
    FileReport,
    Moderate,
    Post,
    React,
    ReadHistory,
    Renew,
    Reply,
    Session,
    StartTyping,
    StopTyping,
    WatchFeed,
)
from ws_edge.protocol.warnings import RoomWarning
from ws_edge.room.room import Room

FRAME_LIMIT_BYTES = 16 * 1024
DAY_S = 86_400.0
WARNINGS_REMEMBERED = 100
"""Of one connection, so that none is sent twice."""

_T = TypeVar("_T")


class ChatConnection:
    """Implements Receiver for the transport, and Connection for the registry."""

    frame_limit_bytes = FRAME_LIMIT_BYTES
    writes_soon = True

    __slots__ = (
        "_actions",
        "_entrance",
        "_expiry",
        "_histories",
        "_is_over",
        "_joining",
        "_owed",
        "_ports",
        "_posting",
        "_queue",
        "_reactions",
        "_request",
        "_session",
        "_transport",
        "_typing",
        "_warned",
        "history_turn",
        "id",
        "limited_until_s",
        "membership",
        "renewal_turn",
        "room",
        "slug",
        "speaker",
        "waiting",
    )

    speaker: Speaker
    """From `identified` on."""

    def __init__(
        self,
        request: JoinRequest,
        entrance: Entrance,
        *,
        posting: Posting,
        actions: ModerationActions,
        histories: Histories,
        reactions: Reactions,
    ) -> None:
        self.id = ConnectionId(0)
        """0 until `identified`: before, nobody knows of the connection."""
        self.slug: Slug | None = None
        self.room: Room | None = None
        self.membership: Membership | None = None
        self.waiting = 0
        self.limited_until_s = 0.0
        self.history_turn: asyncio.Lock | None = None
        self.renewal_turn: asyncio.Lock | None = None
        self._ports: Ports = entrance.ports
        self._entrance = entrance
        self._posting = posting
        self._actions = actions
        self._histories = histories
        self._reactions = reactions
        self._session = Session(
            Rank.ANONYMOUS,
            frames_per_window=entrance.ports.frames_per_window,
            now=entrance.ports.clock.now_s(),
        )
        self._request: JoinRequest | None = request
        self._joining: asyncio.Task[Any] | None = None
        self._owed: list[Any] = []  # what is given back and what does it, in turn: pairs would take twice the memory
        self._is_over = False
        self._transport: Transport | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._typing: TypingTimer | None = None
        self._queue: ActionQueue | None = None
        self._session.is_of_document = request.resume is None and request.resume_text is None
        self._warned: dict[int, bool] | None = None  # the warnings that were sent: whether each needs acknowledging

    # --- called by the transport -----------------------------------------------------------------------------------

    def connected(self, transport: Transport) -> None:
        """The handshake is answered: begin to join."""
        self._transport = transport
        self._ports.tasks.spawn(self._join(), "join")

    def receive_text(self, payload: bytes) -> None:
        """A frame of the client."""
        if not self._is_over:
            self._perform(self._session.receive(payload, now=self._ports.clock.now_s()))

    def receive_binary(self) -> None:
        """A binary frame, which is answered with an error."""
        if not self._is_over:
            self._perform(self._session.receive_binary(now=self._ports.clock.now_s()))

    def receive_part(self) -> None:
        """A frame that says nothing, and counts all the same."""
        if not self._is_over:
            self._perform(self._session.receive_part(now=self._ports.clock.now_s()))

    def congestion_changed(self, is_congested: bool) -> None:
        """The socket takes nothing more, or does again; reported once each. A room watches its members; a connection
        that is in none yet is closed."""
        if self.room is not None:
            self.room.congestion_changed(self, is_congested)
        elif is_congested:
            self.close_slow_consumer()

    def lost(self) -> None:
        """The socket is gone."""
        self._leave()

    # --- called by the registry and the room -----------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Send whole frames."""
        if self._transport is not None and not self._is_over:
            self._transport.write(frames)

    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.unsent_bytes()

    def close_slow_consumer(self) -> None:
        """The client reads too slowly."""
        self.end(CloseCode.TRY_AGAIN_LATER)

    def end(self, code: CloseCode, error: ErrorCode | None = None, *, ban: BanNotice | None = None) -> None:
        """Leave registry and room, send the error if there is one, with what a banned user is told, and close."""
        if code is CloseCode.SERVICE_RESTART and self.room is not None and not self._is_over:
            self._ports.rooms.note_away(self.id)
        self._end(code, error, ban)

    def give_way(self) -> None:
        """The participant is on a newer connection: this one leaves for good, nobody waits for it."""
        self._end(CloseCode.SERVICE_RESTART, None if self.room is not None else ErrorCode.UNAVAILABLE)

    def _end(self, code: CloseCode, error: ErrorCode | None, ban: BanNotice | None = None) -> None:
        is_joining = self.room is None
        if not self._close(code, error, ban):
            return
        self._ports.meter.closed(code)
        if is_joining and error is not None:
            self._ports.meter.turned_away(error.value)

    @property
    def is_of_document(self) -> bool:
        """See Connection. Who asks for what was missed, or shows who they were, knows more than the document."""
        return self._session.is_of_document

    def warn(self, warning: RoomWarning) -> bool:
        """See Connection."""
        if self._warned is None:
            self._warned = {}
        if warning.id in self._warned:
            return False
        self._warned[warning.id] = True
        if len(self._warned) > WARNINGS_REMEMBERED:
            del self._warned[next(iter(self._warned))]
        self.write(codec.warning(warning))
        return True

    def was_warned(self, warning_id: int) -> bool:
        """See Connection."""
        return self._warned is not None and warning_id in self._warned

    def close_warning(self, warning_id: int) -> None:
        """See Connection."""
        if self._warned is not None and self._warned.get(warning_id):
            self._warned[warning_id] = False
            self.write(codec.warning_closed(warning_id))

    def stop_typing(self) -> None:
        """Whoever may write no more does not go on typing either."""
        if not self._is_over:
            self._perform(self._session.stop_typing())

    def refuse(
        self,
        code: ErrorCode,
        *,
        retry_after_ms: int = 0,
        nonce: str = "",
        told: str = "",
        decided: Decided | None = None,
    ) -> None:
        """Tell why a frame was not accepted; does nothing once the connection is over."""
        if self._is_over:
            return
        self._ports.meter.refused(code.value)
        wait_ms = retry_after_ms or None
        self.write(codec.error(code, retry_after_ms=wait_ms, nonce=nonce or None, told=told, decided=decided))
        self._perform(self._session.refused(now=self._ports.clock.now_s()))

    def tick(self) -> None:
        """The session's deadline has come."""
        self._perform(self._session.tick(now=self._ports.clock.now_s()))
        if not self._is_over and self._typing is not None:
            self._typing.schedule()

    # --- joining and leaving ---------------------------------------------------------------------------------------

    async def _join(self) -> None:
        request, self._request = self._request, None
        self._joining = asyncio.current_task()
        if request is not None and not self._is_over:
            await join(self, request, self._entrance)
        self._joining = None

    def owe(self, give_back: Callable[[_T], object], what: _T) -> None:
        """See JoiningClient. In place of an exit stack: a client that goes gives all back in that moment, not when its
        coroutine next runs, and this costs an idle connection a fifth of one."""
        if self._is_over:
            give_back(what)
        else:
            self._owed += (what, give_back)

    def identified(self, number: ConnectionId, speaker: Speaker) -> None:
        """See JoiningClient."""
        self.id = number
        self._set_speaker(speaker)
        self._watch_expiry()

    def settle_rank(self) -> None:
        """See registry.Connection."""
        self.register(self.speaker)

    def register(self, speaker: Speaker) -> None:
        """See Bearer."""
        if self.membership is not None:
            identity = self._ports.roles.identity(speaker.identity, self.membership)
            if identity is not speaker.identity:
                speaker = replace(speaker, identity=identity)
        if speaker.identity.rank is not self.speaker.identity.rank:
            self._ports.rooms.change_rank(self.id, speaker.identity.rank)
        self._set_speaker(speaker)
        # The token of before, which is put back where a new one can't be judged, may have been revoked meanwhile.
        if self._ports.revoked.includes(speaker.identity):
            self.end(CLOSE_OF[ErrorCode.INVALID_TOKEN], ErrorCode.INVALID_TOKEN)

    def _set_speaker(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self._session.rank = speaker.identity.rank
        if self.room is not None:
            self.room.rank_changed(self, speaker)

    def renewed(self) -> None:
        """See Bearer."""
        room = self.room
        if room is None:
            return
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._watch_expiry()
        if self._ports.cache.is_silenced(self.speaker, room.slug, now_s=self._ports.clock.unix_s()):
            self.stop_typing()
        self.write(codec.authenticated(self.speaker.identity.expires_at_s, self._you(room)))

    def turn_away(self, error: ErrorCode | None, code: CloseCode) -> None:
        """See JoiningClient."""
        if self._close(code, error):
            self._ports.meter.turned_away("internal" if error is None else error.value)

    def welcome(
        self,
        room: Room,
        membership: Membership,
        resume: ResumePoint | None,
        resume_text: str | None,
        blocked: tuple[UserId, ...] | None,
        *,
        shows_pin: bool,
    ) -> None:
        """See JoiningClient."""
        if not self._is_over and self._transport is not None:
            self.room = room
            takes = self._transport.takes_compressed
            you = self._you(room, resume_text, blocked)
            policy = self._ports.policies.find(room.slug, self._ports.clock.unix_s())
            first = room.welcome(
                self,
                self.speaker,
                membership,
                you=you,
                policy=policy,
                shows_pin=shows_pin,
                resume=resume,
                write=self._transport.open_write,
                takes_compressed=takes,
            )
            self.write(first)
            self._actions.warnings.greet(self, room.slug)
            self._actions.holds.greet(self, room.slug)
            self._perform(self._session.joined(now=self._ports.clock.now_s()))

    def _you(self, room: Room, resume_text: str | None = None, blocked: tuple[UserId, ...] | None = None) -> You:
        mute = self._ports.cache.longest(Action.MUTE, self.speaker, room.slug, now_s=self._ports.clock.unix_s())
        return codec.you(self.speaker.identity, mute, resume=resume_text, blocked=blocked)

    def _close(self, code: CloseCode, error: ErrorCode | None, ban: BanNotice | None = None) -> bool:
        """False: it is over already."""
        if self._is_over or self._transport is None:
            return False
        if self.room is not None:
            self.room.write_waiting(self)
            if self.room is None:  # a slow consumer, which was closed meanwhile
                return False
        self._leave()
        if error is not None:
            self._transport.write(codec.error(error, ban=ban))
        self._transport.close(code)
        return True

    def _leave(self) -> None:
        """Give back, once, all that this connection holds. It has left from here on, for registry, count and
        user_left."""
        if self._is_over:
            return
        self._is_over = True
        if self._expiry is not None:
            self._expiry.cancel()
        if self._joining is not None and self._joining is not asyncio.current_task():
            self._joining.cancel()
        room, self.room = self.room, None
        if room is not None:
            room.discard(self)
            self._end_typing()
            self._ports.moderation.report_seen(self.speaker, room.slug)
        while self._owed:
            give_back = self._owed.pop()
            give_back(self._owed.pop())

    def _end_typing(self) -> None:
        if self._typing is not None and self._session.stop_typing():
            self._typing.stop()

    def _watch_expiry(self) -> None:
        """End with the token; looked at once a day at least, since a timer holds no time of a century."""
        expires_at_s = self.speaker.identity.expires_at_s
        if expires_at_s is None:
            return
        left_s = max(0.0, expires_at_s - self._ports.clock.unix_s())
        loop = asyncio.get_running_loop()
        if left_s > DAY_S:
            self._expiry = loop.call_later(DAY_S, self._watch_expiry)
        else:
            self._expiry = loop.call_later(left_s, self.end, CLOSE_OF[ErrorCode.INVALID_TOKEN], ErrorCode.INVALID_TOKEN)

    # --- effects of the session ------------------------------------------------------------------------------------

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if self._is_over:
                return
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Post():
                assert self.room is not None
                self._posting.post(self, self.room, effect)
            case React():
                assert self.room is not None
                self._reactions.react(self, self.room, effect)
            case ReadHistory():
                self._read_history(effect)
            case Renew(data):
                self._renew(data.token)
            case Reply(frame):
                self.write(frame)
            case StartTyping():
                self._typing_timer().start()
            case StopTyping():
                self._typing_timer().stop()
            case Moderate() | Acknowledge() | FileReport() | WatchFeed():
                self._action_queue().add(effect)
            case Disconnect(code):
                self.end(code)

    def _action_queue(self) -> ActionQueue:
        if self._queue is None:
            self._queue = ActionQueue(self, self._actions, self._ports.tasks)
        return self._queue

    def _read_history(self, wanted: ReadHistory) -> None:
        assert self.room is not None
        answer = self._histories.answer(self, self.room, wanted.before, wanted.limit)
        self._ports.tasks.spawn(answer, "history")

    def _renew(self, token: str) -> None:
        renewal = renew(self, token, self._entrance.tokens, self._entrance.sanction_reader)
        self._ports.tasks.spawn(renewal, "renew a token")

    def _typing_timer(self) -> TypingTimer:
        assert self.room is not None
        if self._typing is None:
            self._typing = TypingTimer(self, self.room, self._session, self._ports)
        return self._typing
