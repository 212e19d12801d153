"""One client's conversation: what its frames mean, in its state, at that time. No I/O and no clock."""

from enum import IntEnum, auto

from msgspec import Struct

from ws_edge.errors import CloseCode, ErrorCode, IllegalStep, RefusedFrame
from ws_edge.protocol import codec
from ws_edge.protocol.commands import ChangeSanction, Command, DeleteMessage, Report as ReportCommand
from ws_edge.protocol.emotes import read_reaction
from ws_edge.protocol.frames import (
    MESSAGE_LENGTH,
    AcknowledgeWarning,
    Authenticate,
    AuthenticateData,
    ChatMessage,
    ClientFrame,
    History,
    HistoryData,
    MessageData,
    ModerationAction,
    ModerationFeed,
    ModerationFeedData,
    Ping,
    Reaction,
    ReactionData,
    Report,
    TypingStart,
    TypingStop,
)
from ws_edge.protocol.identity import MessageId, Rank
from ws_edge.protocol.limits import SlidingWindow

KEPT_FRAMES = 32
KEPT_BYTES = 64 * 1024
"""How many frames, and how much of them together, may come before the join is done."""
REFUSED_PER_WINDOW = 50
TYPING_PER_WINDOW = 20
HISTORIES_PER_WINDOW = 20
WINDOW_S = 10.0
TYPING_S = 10.0
TYPING_REFRESH_S = 2.0
"""Other edges let typing end 12 s after they last heard of it: they hear of an extension within this time."""


class State(IntEnum):
    """Where a session is in its life."""

    JOINING = auto()
    OPEN = auto()
    CLOSED = auto()


class Input(IntEnum):
    """What may happen to a session."""

    FRAME = auto()
    JOINED = auto()
    REFUSED = auto()
    TICK = auto()
    FLOOD = auto()


# A step that is missing is illegal. A closed session takes everything and does nothing, because frames that were read
# together with the last one, and answers that were under way, may still follow.
STEPS: dict[State, dict[Input, State]] = {
    State.JOINING: {
        Input.FRAME: State.JOINING,
        Input.JOINED: State.OPEN,
        Input.TICK: State.JOINING,
        Input.FLOOD: State.CLOSED,
    },
    State.OPEN: {
        Input.FRAME: State.OPEN,
        Input.REFUSED: State.OPEN,
        Input.TICK: State.OPEN,
        Input.FLOOD: State.CLOSED,
    },
    State.CLOSED: dict.fromkeys(Input, State.CLOSED),
}


def step(state: State, happened: Input) -> State:
    """The state after something happened. Raises IllegalStep."""
    after = STEPS[state].get(happened)
    if after is None:
        raise IllegalStep(f"{happened.name} while {state.name}")
    return after


class Reply(Struct, frozen=True, gc=False):
    """Send this frame to the client."""

    frame: bytes


class Post(Struct, frozen=True, gc=False):
    """Have this message admitted and stored; the nonce may be empty."""

    text: str
    nonce: str
    reply_to: MessageId | None = None


class React(Struct, frozen=True, gc=False):
    """Have this reaction counted: an emoji, or what may be an emote, as `:name:`."""

    emoji: str
    message_id: MessageId | None


class ReadHistory(Struct, frozen=True, gc=False):
    """Answer with the newest messages before this id, None: of all."""

    before: MessageId | None
    limit: int


class Renew(Struct, frozen=True, gc=False):
    """Have the token of the connection replaced."""

    data: AuthenticateData


class StartTyping(Struct, frozen=True, gc=False):
    """Publish that the client's user types, or still does; edges show a repetition once."""


class StopTyping(Struct, frozen=True, gc=False):
    """Publish that the client's user no longer types."""


class Moderate(Struct, frozen=True, gc=False):
    """Ask moderation for this; the nonce belongs into the error frame when it is refused."""

    command: Command
    reason: str = ""
    nonce: str = ""


class Acknowledge(Struct, frozen=True, gc=False):
    """Tell moderation that the client's user acknowledges a warning; the nonce as above."""

    warning_id: int
    nonce: str = ""


class FileReport(Struct, frozen=True, gc=False):
    """Have moderators told of something; the nonce as above."""

    report: ReportCommand
    nonce: str = ""


class WatchFeed(Struct, frozen=True, gc=False):
    """Begin, or end, to tell the client what moderators see; the nonce as above."""

    on: bool
    since: int | None
    nonce: str = ""


class Disconnect(Struct, frozen=True, gc=False):
    """Close the connection; the last effect there is."""

    code: CloseCode


Effect = (
    Reply
    | Post
    | React
    | ReadHistory
    | Renew
    | StartTyping
    | StopTyping
    | Moderate
    | Acknowledge
    | FileReport
    | WatchFeed
    | Disconnect
)


_NOTHING: tuple[Effect, ...] = ()
_PONG: tuple[Effect, ...] = (Reply(codec.pong()),)
_START: tuple[Effect, ...] = (StartTyping(),)
_STOP: tuple[Effect, ...] = (StopTyping(),)
_FLOOD: tuple[Effect, ...] = (Disconnect(CloseCode.POLICY_VIOLATION),)


class Session:
    """One chat connection. Every method returns what the owner must do, in order."""

    __slots__ = (
        "_early",
        "_early_bytes",
        "_frames",
        "_histories",
        "_refusals",
        "_surplus",
        "_typing",
        "_typing_published_at",
        "_typing_until",
        "is_of_document",
        "rank",
        "state",
    )

    def __init__(self, rank: Rank, *, frames_per_window: int, now: float) -> None:
        """`frames_per_window`: so many frames in 10 s close the connection; 0: no limit."""
        self.state = State.JOINING
        self.rank = rank
        self.is_of_document = True
        """The client has sent nothing but what clients could send at first: it may know nothing of warnings."""
        self._frames = SlidingWindow(frames_per_window, WINDOW_S)
        self._refusals = SlidingWindow(REFUSED_PER_WINDOW, WINDOW_S)
        self._typing = SlidingWindow(TYPING_PER_WINDOW, WINDOW_S)
        self._histories = SlidingWindow(HISTORIES_PER_WINDOW, WINDOW_S)
        self._typing_until: float | None = None
        self._typing_published_at = now
        self._early: list[bytes | None] = []
        self._early_bytes = 0
        # The nonces of frames that came too early and too many: no more than make a flood of refusals.
        self._surplus: list[str] = []

    def receive(self, payload: bytes, *, now: float) -> tuple[Effect, ...]:
        """Take one text frame."""
        return self._take(payload, now)

    def receive_binary(self, now: float) -> tuple[Effect, ...]:
        """Take one binary frame: there is none that a client may send."""
        return self._take(None, now)

    def receive_part(self, now: float) -> tuple[Effect, ...]:
        """Take one frame that completes no message, as pings and fragments do not."""
        self.state = step(self.state, Input.FRAME)
        return _NOTHING if self.state is State.CLOSED else self._count_frame(None, now)

    def joined(self, now: float) -> tuple[Effect, ...]:
        """The room_joined frame is on its way: handle what came before it. Raises IllegalStep the second time."""
        self.state = step(self.state, Input.JOINED)
        if self.state is State.CLOSED:
            return _NOTHING
        early, self._early = self._early, []
        surplus, self._surplus = self._surplus, []
        effects: list[Effect] = []
        for payload in early:
            effects += self._handle(payload, now)
            if self.state is not State.OPEN:
                return tuple(effects)
        # These were counted as refused when they came, and are answered only now.
        effects += [_error_reply(ErrorCode.RATE_LIMITED, nonce) for nonce in surplus]
        return tuple(effects)

    def refused(self, now: float) -> tuple[Effect, ...]:
        """A frame was refused later, by others, who have answered it. Raises IllegalStep before `joined`."""
        self.state = step(self.state, Input.REFUSED)
        if self.state is State.CLOSED:
            return _NOTHING
        return self._count_refusal(now)

    def tick(self, now: float) -> tuple[Effect, ...]:
        """The time of `next_deadline` may have come."""
        self.state = step(self.state, Input.TICK)
        if self._typing_until is None or now < self._typing_until:
            return _NOTHING
        return self.stop_typing()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; None: not before another frame."""
        return self._typing_until

    def stop_typing(self) -> tuple[Effect, ...]:
        """End the typing if there is any: the client leaves, or was muted."""
        if self._typing_until is None:
            return _NOTHING
        self._typing_until = None
        return _STOP

    def _take(self, payload: bytes | None, now: float) -> tuple[Effect, ...]:
        state = self.state = step(self.state, Input.FRAME)
        if state is State.CLOSED:
            return _NOTHING
        flood = self._count_frame(payload, now)
        if flood:
            return flood
        return self._handle(payload, now) if state is State.OPEN else self._keep(payload, now)

    def _count_frame(self, payload: bytes | None, now: float) -> tuple[Effect, ...]:
        self._frames.record(now)
        if not self._frames.is_full(now):
            return _NOTHING
        state, self.state = self.state, step(self.state, Input.FLOOD)
        # Nothing may precede room_joined; after it, what is refused is answered.
        return _FLOOD if state is State.JOINING else (_error_reply(ErrorCode.RATE_LIMITED, _nonce_of(payload)), *_FLOOD)

    def _keep(self, payload: bytes | None, now: float) -> tuple[Effect, ...]:
        kept_bytes = self._early_bytes + len(payload or b"")
        if len(self._early) < KEPT_FRAMES and kept_bytes <= KEPT_BYTES:
            self._early.append(payload)
            self._early_bytes = kept_bytes
            return _NOTHING
        self._surplus.append(_nonce_of(payload))
        return self._count_refusal(now)

    def _handle(self, payload: bytes | None, now: float) -> tuple[Effect, ...]:
        if payload is None:
            return self._refuse(ErrorCode.INVALID_FORMAT, "", now)
        try:
            frame = codec.decode(payload)
        except RefusedFrame as refused:
            return self._refuse(refused.code, refused.nonce, now)
        return self._understand(frame, now)

    def _understand(self, frame: ClientFrame, now: float) -> tuple[Effect, ...]:
        match frame:
            case ChatMessage():
                return self._post(frame.data, now)
            case TypingStart():
                return self._start_typing(now)
            case TypingStop():
                return self.stop_typing() if self._typing.admit(now) else _NOTHING
            case ModerationAction():
                return self._moderate(frame, now)
            case Ping():
                return _PONG
            case _:
                return self._handle_addition(frame, now)

    def _handle_addition(
        self, frame: Reaction | History | AcknowledgeWarning | Report | ModerationFeed | Authenticate, now: float
    ) -> tuple[Effect, ...]:
        """What clients could not send at first."""
        self.is_of_document = False
        match frame:
            case Reaction():
                return self._react(frame.data, now)
            case History():
                return self._read_history(frame.data, now)
            case AcknowledgeWarning():
                return self._acknowledge(frame, now)
            case Report():
                return self._report(frame, now)
            case ModerationFeed():
                return self._watch_feed(frame.data, now)
            case Authenticate():  # pragma: no branch - mypy proves that there is no other frame
                return self._renew(frame.data, now)

    def _post(self, data: MessageData, now: float) -> tuple[Effect, ...]:
        text = data.message
        # str.isspace is Unicode's white space; U+200B and other invisible signs are none.
        if not text or text.isspace():
            return self._refuse(ErrorCode.MESSAGE_EMPTY, data.nonce, now)
        if len(text) > MESSAGE_LENGTH:
            return self._refuse(ErrorCode.MESSAGE_TOO_LONG, data.nonce, now)
        post = Post(text, data.nonce, None if data.reply_to is None else MessageId(data.reply_to))
        return (post,) if self._typing_until is None else (*self.stop_typing(), post)

    def _react(self, data: ReactionData, now: float) -> tuple[Effect, ...]:
        emoji = read_reaction(data.emoji)
        if emoji is None:
            return self._refuse(ErrorCode.INVALID_FORMAT, "", now)
        return (React(emoji, None if data.message_id is None else MessageId(data.message_id)),)

    def _read_history(self, data: HistoryData, now: float) -> tuple[Effect, ...]:
        if not self._histories.admit(now):
            return self._refuse(ErrorCode.RATE_LIMITED, "", now)
        return (ReadHistory(None if data.before is None else MessageId(data.before), data.limit),)

    def _acknowledge(self, frame: AcknowledgeWarning, now: float) -> tuple[Effect, ...]:
        # In one window with the others that ask services, as below.
        if not self._histories.admit(now):
            return self._refuse(ErrorCode.RATE_LIMITED, frame.data.nonce, now)
        return (Acknowledge(frame.data.warning_id, frame.data.nonce),)

    def _report(self, frame: Report, now: float) -> tuple[Effect, ...]:
        if not self._histories.admit(now):
            return self._refuse(ErrorCode.RATE_LIMITED, frame.data.nonce, now)
        if self.rank < Rank.USER:
            return self._refuse(ErrorCode.NOT_MODERATOR, frame.data.nonce, now)
        return (FileReport(frame.command, frame.data.nonce),)

    def _watch_feed(self, data: ModerationFeedData, now: float) -> tuple[Effect, ...]:
        if data.on and self.rank < Rank.MODERATOR:
            return self._refuse(ErrorCode.NOT_MODERATOR, data.nonce, now)
        if not self._histories.admit(now):
            return self._refuse(ErrorCode.RATE_LIMITED, data.nonce, now)
        return (WatchFeed(data.on, data.since, data.nonce),)

    def _renew(self, data: AuthenticateData, now: float) -> tuple[Effect, ...]:
        # In one window with the others that ask services: each connection has it anyway.
        if not self._histories.admit(now):
            return self._refuse(ErrorCode.RATE_LIMITED, "", now)
        return (Renew(data),)

    def _start_typing(self, now: float) -> tuple[Effect, ...]:
        if not self._typing.admit(now):
            return _NOTHING
        is_published = self._typing_until is not None and now < self._typing_published_at + TYPING_REFRESH_S
        self._typing_until = now + TYPING_S
        if is_published:
            return _NOTHING
        self._typing_published_at = now
        return _START

    def _moderate(self, frame: ModerationAction, now: float) -> tuple[Effect, ...]:
        data, command = frame.data, frame.command
        self.is_of_document &= isinstance(command, ChangeSanction) and not command.purge
        # One's own messages may be anybody's with a name; moderation knows whose they are.
        lowest = Rank.USER if isinstance(command, DeleteMessage) else Rank.MODERATOR
        if self.rank < lowest:
            return self._refuse(ErrorCode.NOT_MODERATOR, data.nonce, now)
        return (Moderate(command, data.reason, data.nonce),)

    def _refuse(self, code: ErrorCode, nonce: str, now: float) -> tuple[Effect, ...]:
        return (_error_reply(code, nonce), *self._count_refusal(now))

    def _count_refusal(self, now: float) -> tuple[Effect, ...]:
        self._refusals.record(now)
        if not self._refusals.is_full(now):
            return _NOTHING
        self.state = step(self.state, Input.FLOOD)
        return _FLOOD


def _error_reply(code: ErrorCode, nonce: str) -> Reply:
    return Reply(codec.error(code, nonce=nonce))


def _nonce_of(payload: bytes | None) -> str:
    return "" if payload is None else codec.nonce_of(payload)
