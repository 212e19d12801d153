"""From a message that a client sent to its outcome: judged, published, seen again, or refused. Nothing is dropped in
silence, and nothing is sent twice by the edge itself."""

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Protocol

import structlog

from chassis.logs import LogSummary
from ws_edge.context import Context
from ws_edge.fanout.audience import Member
from ws_edge.fanout.room import Room, chat_frame
from ws_edge.ports import BusUnavailable, Decision, Incident, StoredMessage, Verdict
from ws_edge.protocol.admitted_nonces import AdmittedNonces
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import MessageId, Slug, Speaker
from ws_edge.protocol.limits import LocalLimiter
from ws_edge.protocol.sanction import Action

_log = structlog.get_logger(__name__)

WAITING_LIMIT = 64
"""Frames of one connection that wait for a verdict or for their outcome."""
OUTCOME_S = 2.0


class Author(Member, Protocol):
    """A connection that posts."""

    waiting: int
    limited_until_s: float

    @property
    def speaker(self) -> Speaker:
        """Who posts."""

    def refuse(self, code: ErrorCode, *, retry_after_ms: int = 0, nonce: str = "") -> None:
        """Tell why a frame was not accepted; does nothing once the connection is over."""


@dataclass(slots=True)
class Pending:
    """A message that was published and has not been seen again."""

    author: Author
    room: Room
    nonce: str
    published_at_s: float
    is_sought: bool = False


class Posting:
    """All messages of one worker that are on their way."""

    __slots__ = ("_admitted", "_context", "_judged_here", "_limiter", "_pending", "_tokens", "_without_outcome")

    def __init__(self, context: Context) -> None:
        limits = context.moderation.limits
        self._context = context
        self._tokens = count(1)
        self._pending: dict[int, Pending] = {}
        self._admitted = AdmittedNonces()
        self._without_outcome = LogSummary(_log, "messages_without_outcome")
        self._judged_here = LogSummary(_log, "messages_judged_without_moderation")
        self._limiter = LocalLimiter(limits.messages_per_window, limits.window_s, limits.messages_per_address)

    def __len__(self) -> int:
        return len(self._pending)

    def post(self, author: Author, room: Room, text: str, nonce: str) -> None:
        """Have a message judged, then published; its author hears of every other outcome."""
        now_s = self._context.clock.now_s()
        if author.waiting >= WAITING_LIMIT:
            author.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=int(OUTCOME_S * 1000), nonce=nonce)
        elif not nonce and now_s < author.limited_until_s:
            author.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=_whole_ms(author.limited_until_s - now_s))
        else:
            author.waiting += 1
            done = partial(self._judged, author, room, text, nonce)
            self._context.moderation.admit(author.speaker, room.slug, room.life, nonce, done)

    def settle(self, token: int) -> Author | None:
        """A message came back from the stream: it is stored. Its author, if it was waited for."""
        pending = self._pending.pop(token, None)
        if pending is None:
            return None
        pending.author.waiting -= 1
        return pending.author

    def overdue(self) -> dict[Room, list[int]]:
        """Tokens that have had no outcome for 2 s, by room, each once: look them up, then give them up."""
        late_s = self._context.clock.now_s() - OUTCOME_S
        found: dict[Room, list[int]] = {}
        for token, pending in self._pending.items():
            if pending.published_at_s > late_s:
                break  # they are in the order of their publishing
            if not pending.is_sought:
                pending.is_sought = True
                found.setdefault(pending.room, []).append(token)
        return found

    def give_up(self, tokens: list[int]) -> None:
        """These were not found in the stream, or it could not be read: perhaps delivered, send again."""
        for token in tokens:
            if pending := self._pending.pop(token, None):
                self._context.meter.incident(Incident.MESSAGE_WITHOUT_OUTCOME)
                self._without_outcome.note()
                pending.author.waiting -= 1
                pending.author.refuse(ErrorCode.UNAVAILABLE, nonce=pending.nonce)

    def _judged(self, author: Author, room: Room, text: str, nonce: str, verdict: Verdict) -> None:
        match verdict.decision:
            case Decision.ADMITTED:
                now_s = self._context.clock.now_s()
                self._limiter.record(author.speaker, now_s)
                if nonce:
                    self._admitted.note(author.speaker.key, room.life, nonce, now_s)
                self._publish(author, room, text, nonce)
            case Decision.REPEATED:
                self._publish(author, room, text, nonce)
            case Decision.RATE_LIMITED:
                author.limited_until_s = self._context.clock.now_s() + verdict.retry_after_ms / 1000
                self._refuse(author, ErrorCode.RATE_LIMITED, nonce, verdict.retry_after_ms)
            case Decision.SANCTIONED:
                self._refuse(author, ErrorCode.MUTED_OR_BANNED, nonce, verdict.retry_after_ms)
            case Decision.UNAVAILABLE:
                self._judge_here(author, room, text, nonce)

    def _judge_here(self, author: Author, room: Room, text: str, nonce: str) -> None:
        """Moderation is away: the sanctions that were read and the edge's own windows decide."""
        context = self._context
        context.meter.incident(Incident.MODERATION_AWAY)
        self._judged_here.note(outage=context.outage)
        if context.outage == "reject":
            self._refuse(author, ErrorCode.UNAVAILABLE, nonce)
            return
        if is_silenced(context, author.speaker, room.slug):
            self._refuse(author, ErrorCode.MUTED_OR_BANNED, nonce)
            return
        key, now_s = author.speaker.key, context.clock.now_s()
        if nonce and self._admitted.knows(key, room.life, nonce, now_s):
            self._publish(author, room, text, nonce)  # a repeat costs nothing; the stream tells whether it has it
            return
        limits = context.moderation.limits
        self._limiter.configure(limits.messages_per_window, limits.window_s, limits.messages_per_address)
        retry_after_ms = self._limiter.admit(author.speaker, now_s)
        if retry_after_ms:
            self._refuse(author, ErrorCode.RATE_LIMITED, nonce, retry_after_ms)
            return
        if nonce:
            self._admitted.note(key, room.life, nonce, now_s)
        context.moderation.note_admitted(author.speaker, room.slug, room.life, nonce)
        self._publish(author, room, text, nonce)

    def _publish(self, author: Author, room: Room, text: str, nonce: str) -> None:
        context = self._context
        token = next(self._tokens)
        self._pending[token] = Pending(author, room, nonce, context.clock.now_s())
        try:
            context.bus.publish_message(
                room.room_id,
                room.life,
                author.speaker,
                text,
                token=token,
                nonce=nonce,
                duplicate=partial(self._repeated, token),
            )
        except BusUnavailable:
            self.give_up([token])
        else:
            context.meter.posted()

    def _repeated(self, token: int, message_id: MessageId) -> None:
        """The stream already has this message: its author alone gets the stored copy once more."""
        pending = self._pending.get(token)
        if pending is None:
            return
        if message := pending.room.repeatable(message_id):
            self._show_again(token, message)
        else:
            self._context.tasks.spawn(self._read_again(token, message_id), "read a repeated message")

    async def _read_again(self, token: int, message_id: MessageId) -> None:
        """Older than what the room keeps at hand, or from before this edge held it."""
        try:
            found = await self._context.bus.message(message_id)
        except BusUnavailable:
            found = None
        if found is None:
            self.give_up([token])
        else:
            self._show_again(token, found)

    def _show_again(self, token: int, message: StoredMessage) -> None:
        pending = self._pending.pop(token, None)
        if pending is not None:
            pending.author.waiting -= 1
            pending.author.write(chat_frame(pending.room, message, nonce=pending.nonce))

    def _refuse(self, author: Author, code: ErrorCode, nonce: str, retry_after_ms: int = 0) -> None:
        author.waiting -= 1
        author.refuse(code, retry_after_ms=retry_after_ms, nonce=nonce)


def is_silenced(context: Context, speaker: Speaker, slug: Slug) -> bool:
    """Whether the sanctions that this edge has read keep somebody from writing."""
    now_s = context.clock.unix_s()
    return any(context.book.find(action, speaker, slug, now_s=now_s) for action in (Action.MUTE, Action.BAN))


def _whole_ms(seconds: float) -> int:
    return max(1, int(seconds * 1000 + 0.999))
