"""From a message that a client sent to the stream: judged by moderation, or here while that is away, and published.

What becomes of it then is described at the head of room/outcomes.py. Nothing is dropped in silence, and nothing is sent
twice by the edge itself.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from chassis.logs import LogSummary
from chassis.traces import begin_trace, hold_trace
from ws_edge.chat.holds import Holds
from ws_edge.errors import BusUnavailable, ErrorCode, ModerationUnavailable
from ws_edge.ports import Decision, HoldRefusal, HoldRequest, HoldResult, Incident, Ports, Verdict
from ws_edge.protocol import codec
from ws_edge.protocol.holds import HoldReason, HoldState
from ws_edge.protocol.identity import MessageId, Slug, Speaker
from ws_edge.protocol.limits import AdmittedNonces, LocalLimiter
from ws_edge.protocol.log import StoredMessage, message_key
from ws_edge.protocol.policies import Policy, SlowMode, SpokenTexts, refusal_by
from ws_edge.protocol.session import Post
from ws_edge.room.outcomes import OUTCOME_S, Author, Outcomes
from ws_edge.room.room import Room

_log = structlog.get_logger(__name__)

WAITING_LIMIT = 64
"""Frames of one connection that wait for a verdict or for their outcome."""
_ASKED_AGAIN_AFTER_MS = 1_000
_REFUSED_OTHERWISE = {
    Decision.SLOW_MODE: ErrorCode.SLOW_MODE,
    Decision.READ_ONLY: ErrorCode.READ_ONLY,
    Decision.MEMBERS_ONLY: ErrorCode.MEMBERS_ONLY,
    Decision.ACCOUNT_TOO_NEW: ErrorCode.ACCOUNT_TOO_NEW,
    Decision.FOLLOW_TOO_SHORT: ErrorCode.FOLLOW_TOO_SHORT,
    Decision.EMOTE_ONLY: ErrorCode.EMOTE_ONLY,
    Decision.TOO_LONG: ErrorCode.MESSAGE_TOO_LONG,
    Decision.DUPLICATE: ErrorCode.DUPLICATE,
    Decision.LINKS: ErrorCode.LINKS,
    Decision.WARNING_PENDING: ErrorCode.WARNING_PENDING,
    Decision.BLOCKED: ErrorCode.BLOCKED,
    Decision.UNJUDGED: ErrorCode.UNAVAILABLE,
}


class Poster(Author, Protocol):
    """An author of whom moderation is asked."""

    limited_until_s: float
    """Until then the edge refuses by itself what has no nonce; monotonic seconds."""

    @property
    def speaker(self) -> Speaker:
        """Who posts."""


class _Admission(NamedTuple):
    """Under what a message counts."""

    speaker: Speaker
    number: int
    here: int
    """See Posting._ask."""
    at_s: float
    held: HoldReason | None = None
    """Why it is to wait for a moderator; None: it is not."""


_NO_REASON = HoldReason()


class Posting:
    """All messages of one worker that are on their way into the stream."""

    __slots__ = (
        "_admitted",
        "_asked_again",
        "_asked_of_text",
        "_being_held",
        "_catch_up",
        "_holds",
        "_judged_here",
        "_limiter",
        "_limits",
        "_outcomes",
        "_ports",
        "_slow_mode",
        "_texts",
        "_warning_missed",
    )

    def __init__(
        self,
        ports: Ports,
        outcomes: Outcomes,
        catch_up: Callable[[Room], Awaitable[None]],
        warning_missed: Callable[[Slug], None],
        holds: Holds,
    ) -> None:
        """`catch_up`: see Recovery. `warning_missed` is called where moderation knows of a warning in a room that this
        edge does not."""
        self._catch_up = catch_up
        self._warning_missed = warning_missed
        self._holds = holds
        self._being_held: set[tuple[str, int, str]] = set()
        """By participant, life and nonce: moderation is asked to have these wait."""
        self._asked_again: set[tuple[str, int, str]] = set()
        """The same of those that were allowed: it is asked where they are, which costs its database something."""
        limits = self._limits = ports.moderation.limits
        self._ports = ports
        self._outcomes = outcomes
        self._admitted = AdmittedNonces()
        self._slow_mode = SlowMode()
        self._texts = SpokenTexts()
        self._asked_of_text: dict[tuple[str, Slug], int] = {}
        """How many messages of a participant in a room wait for what the room's home says of their text."""
        self._judged_here = LogSummary(_log, "messages_judged_without_moderation")
        self._limiter = LocalLimiter(limits.messages_per_window, limits.window_s, limits.messages_per_address)

    def post(self, author: Poster, room: Room, message: Post) -> None:
        """Have a message judged, then published; its author is sent every other outcome as an error."""
        now_s, nonce = self._ports.clock.now_s(), message.nonce
        if author.waiting >= WAITING_LIMIT:
            author.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=int(OUTCOME_S * 1000), nonce=nonce)
        elif nonce and self._is_held_already(author, room, message):
            pass
        elif not nonce and now_s < author.limited_until_s:
            author.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=_whole_ms(author.limited_until_s - now_s))
        else:
            author.waiting += 1
            self._judge(author, room, message)

    def _judge(self, author: Poster, room: Room, message: Post) -> None:
        """Who came back from another address is judged there first, without the nonce, whose scope is the
        participant's: a message that is refused there is not remembered as admitted. One that is admitted there counts
        there, and is released where it comes to nothing."""
        speaker, moderation = author.speaker, self._ports.moderation
        if speaker.here is not None and len(speaker.faces) > 1:
            passed = partial(self._judged_where_it_comes_from, author, room, message)
            moderation.admit(speaker.faces[1], room.slug, room.log, "", passed, without_policy=True)
        elif not (moderation.has_lent(speaker, room.life) and self._is_admitted_by_lease(author, room, message)):
            self._ask(author, room, message)

    def _is_admitted_by_lease(self, author: Poster, room: Room, message: Post) -> bool:
        """Moderation has lent this edge the window of the author. What is not plainly admitted is asked about, so that
        every refusal is moderation's."""
        ports, speaker, nonce, now_s = self._ports, author.speaker, message.nonce, self._ports.clock.now_s()
        if nonce and self._may_be_known(speaker, room, nonce, now_s):
            return False
        self._follow_limits()
        if self._limiter.admit_or_wait_ms(speaker, now_s):
            return False
        if nonce:
            self._admitted.note(speaker.key, room.life, nonce, message.text, now_s)
        number = ports.moderation.report_admitted(speaker, room.life, nonce, message.text)
        self._go_on(author, room, message, _Admission(speaker, number, 0, now_s), text_open=False)
        return True

    def _may_be_known(self, speaker: Speaker, room: Room, nonce: str, now_s: float) -> bool:
        """Whether a message with that nonce was admitted, or is about to wait for a moderator."""
        asked = speaker.key, room.life, nonce
        return asked in self._being_held or self._admitted.has(*asked, now_s)

    def _follow_limits(self) -> None:
        """Go by those that moderation said last, before anything is counted: a lower one forgets what a higher one
        needs."""
        limits = self._ports.moderation.limits
        if limits is self._limits:
            return
        self._limits = limits
        self._limiter.configure(limits.messages_per_window, limits.window_s, limits.messages_per_address)

    def _judged_where_it_comes_from(self, author: Poster, room: Room, message: Post, verdict: Verdict) -> None:
        if verdict.decision in (Decision.RATE_LIMITED, Decision.SANCTIONED):
            self._judged(author, room, message, 0, verdict)
        else:
            self._ask(author, room, message, verdict.number)

    def _ask(self, author: Poster, room: Room, message: Post, here: int = 0) -> None:
        """`here`: the number under which it was admitted where its author is now; 0: it was not."""
        done = partial(self._judged, author, room, message, here)
        self._ports.moderation.admit(author.speaker, room.slug, room.log, message.nonce, done, text=message.text)

    def _judged(self, author: Poster, room: Room, message: Post, here: int, verdict: Verdict) -> None:
        nonce = message.nonce
        match verdict.decision:
            case Decision.ADMITTED | Decision.HELD:
                now_s = self._ports.clock.now_s()
                self._follow_limits()
                self._limiter.record(author.speaker, now_s)
                if nonce and verdict.decision is Decision.ADMITTED:
                    self._admitted.note(author.speaker.key, room.life, nonce, message.text, now_s)
                if verdict.place:
                    self._slow_mode.take(author.speaker.key, room.slug, verdict.place, now_s)
                admission = _Admission(author.speaker, verdict.number, here, now_s, verdict.held)
                self._go_on(author, room, message, admission, text_open=verdict.text_open)
                return
            case Decision.UNAVAILABLE:
                self._judge_here(author, room, message, here)
                return
            case Decision.REPEATED if verdict.text_open:
                self._ask_of_text(author, room, message, verdict.number, None)
            case Decision.REPEATED:
                self._ports.tasks.spawn(self._repeat(author, room, message), "publish a repeated message")
            case Decision.RATE_LIMITED:
                author.limited_until_s = self._ports.clock.now_s() + verdict.retry_after_ms / 1000
                self._refuse(author, ErrorCode.RATE_LIMITED, nonce, verdict.retry_after_ms)
            case Decision.SANCTIONED:
                self._refuse(author, ErrorCode.MUTED_OR_BANNED, nonce, verdict.retry_after_ms)
            case refused:
                if refused is Decision.WARNING_PENDING and not self._ports.warnings.pending(author.speaker, room.slug):
                    self._warning_missed(room.slug)
                self._refuse(author, _REFUSED_OTHERWISE[refused], nonce, verdict.retry_after_ms, verdict.told)
        self._release_here(author.speaker, room, here)

    def _judge_here(self, author: Poster, room: Room, message: Post, here: int) -> None:
        """Moderation is away: the sanctions, warnings and the policy that were read and the edge's own windows
        decide."""
        if not self._is_admitted_here(author, room, message, here):
            self._release_here(author.speaker, room, here)

    def _is_admitted_here(self, author: Poster, room: Room, message: Post, here: int) -> bool:
        """Publishes it, or says why not."""
        ports, nonce = self._ports, message.nonce
        ports.meter.incident(Incident.MODERATION_AWAY)
        self._judged_here.note(outage=ports.outage)
        if ports.outage == "reject" or self._is_for_rules(author, room):
            self._refuse(author, ErrorCode.UNAVAILABLE, nonce)
            return False
        if ports.cache.is_silenced(author.speaker, room.slug, now_s=ports.clock.unix_s()):
            self._refuse(author, ErrorCode.MUTED_OR_BANNED, nonce)
            return False
        key, now_s = author.speaker.key, ports.clock.now_s()
        if nonce and self._admitted.knows(key, room.life, nonce, message.text, now_s):
            ports.tasks.spawn(self._repeat(author, room, message), "publish a repeated message")
            return False
        speaker = author.speaker
        refusal = self._refusal_by_what_was_read(speaker, room, message.text, now_s)
        if refusal is not None:
            self._refuse(author, refusal[0], nonce, refusal[1])
            return False
        self._follow_limits()
        retry_after_ms = self._limiter.admit_or_wait_ms(speaker, now_s)
        if retry_after_ms:
            self._refuse(author, ErrorCode.RATE_LIMITED, nonce, retry_after_ms)
            return False
        if nonce:
            self._admitted.note(key, room.life, nonce, message.text, now_s)
        is_slow = self._policy_of(room).slow_mode_of(speaker.identity) > 0
        number = ports.moderation.note_admitted(speaker, room.life, nonce, slow_in=room.slug if is_slow else None)
        if is_slow:
            self._slow_mode.take(key, room.slug, number, now_s)
        self._go_on(author, room, message, _Admission(speaker, number, here, now_s), text_open=False)
        return True

    def _refusal_by_what_was_read(
        self, speaker: Speaker, room: Room, text: str, now_s: float
    ) -> tuple[ErrorCode, int] | None:
        """What warnings and the policy have against a message, as last read, and for how many milliseconds waiting
        would help."""
        if self._ports.warnings.refuses(speaker, room.slug):
            return ErrorCode.WARNING_PENDING, 0
        policy, rank, slug = self._policy_of(room), speaker.identity.rank, room.slug
        refusal = refusal_by(policy, speaker.identity, text, now_s=self._ports.clock.unix_s())
        if refusal is not None:
            return refusal
        slow_mode_s = policy.slow_mode_of(speaker.identity)
        if slow_mode_s and (wait_ms := self._slow_mode.wait_ms(speaker.key, slug, slow_mode_s, now_s)):
            return ErrorCode.SLOW_MODE, wait_ms
        if policy.is_unique_for(rank) and (wait_ms := self._texts.wait_ms(slug, text, now_s)):
            return ErrorCode.DUPLICATE, wait_ms
        return None

    def _is_for_rules(self, author: Poster, room: Room) -> bool:
        """Whether nothing may be said there that no rule has seen."""
        ports = self._ports
        refuses = ports.moderation.limits.refuse_unjudged
        return refuses and ports.policies.is_ruled(room.slug, author.speaker.identity)

    def _policy_of(self, room: Room) -> Policy:
        """What holds there just now, as far as this edge knows."""
        return self._ports.policies.find(room.slug, self._ports.clock.unix_s())

    # --- where what is said is to be unique ------------------------------------------------------------------------

    def _go_on(self, author: Poster, room: Room, message: Post, admission: _Admission, *, text_open: bool) -> None:
        """A message was admitted. It follows what its author said before in this room, also where that waits for what
        the room's home says of its text."""
        if admission.held is not None and self._being_held_as(admission, room, message) in self._being_held:
            self._begin_to_hold(author, room, message, admission)
        elif text_open or (self._asked_of_text and (author.speaker.key, room.slug) in self._asked_of_text):
            self._ask_of_text(author, room, message, admission.number, admission)
        else:
            self._say(author, room, message, admission)

    def _ask_of_text(
        self, author: Poster, room: Room, message: Post, number: int, admission: _Admission | None
    ) -> None:
        """`admission` None: it is repeated, while the first one may still wait for its answer."""
        speaker, lane = author.speaker, (author.speaker.key, room.slug)
        self._asked_of_text[lane] = self._asked_of_text.get(lane, 0) + 1
        done = partial(self._text_judged, author, room, message, admission, lane)
        self._ports.moderation.ask_text(
            speaker, room.slug, room.log, message.nonce, done, text=message.text, number=number
        )

    def _text_judged(
        self,
        author: Poster,
        room: Room,
        message: Post,
        admission: _Admission | None,
        lane: tuple[str, Slug],
        verdict: Verdict,
    ) -> None:
        self._asked_of_text[lane] -= 1
        if not self._asked_of_text[lane]:
            del self._asked_of_text[lane]
        if verdict.decision is Decision.DUPLICATE:
            self._take_back(author, room, message, admission, ErrorCode.DUPLICATE, verdict.retry_after_ms)
        elif verdict.decision is Decision.UNAVAILABLE and self._ports.outage == "reject":
            self._take_back(author, room, message, admission, ErrorCode.UNAVAILABLE)
        elif admission is not None:
            self._say(author, room, message, admission)
        else:
            self._ports.tasks.spawn(self._repeat(author, room, message), "publish a repeated message")

    def _take_back(
        self,
        author: Poster,
        room: Room,
        message: Post,
        admission: _Admission | None,
        code: ErrorCode,
        retry_after_ms: int = 0,
    ) -> None:
        """Refuse what was admitted before; `admission` as in _ask_of_text."""
        if admission is not None:
            self._release(room, message.nonce, admission)
        self._refuse(author, code, message.nonce, retry_after_ms)

    def _say(self, author: Poster, room: Room, message: Post, admission: _Admission) -> None:
        """What this edge knows counts as well: the room's home may be away, or one that has just taken over."""
        policy = self._policy_of(room)
        if policy.is_unique_for(admission.speaker.identity.rank):
            wait_ms = self._texts.wait_ms(room.slug, message.text, admission.at_s)
            if wait_ms:
                self._take_back(author, room, message, admission, ErrorCode.DUPLICATE, wait_ms)
                return
            self._texts.say(room.slug, message.text, admission.number, admission.at_s)
        if admission.held is None:
            self._publish(author, room, message, policy, admission)
        else:
            self._begin_to_hold(author, room, message, admission)

    # --- messages that wait for a moderator ------------------------------------------------------------------------

    def _begin_to_hold(self, author: Poster, room: Room, message: Post, admission: _Admission) -> None:
        if message.nonce:
            self._being_held.add(self._being_held_as(admission, room, message))
        self._ports.tasks.spawn(self._hold(author, room, message, admission), "hold a message")

    @staticmethod
    def _being_held_as(admission: _Admission, room: Room, message: Post) -> tuple[str, int, str]:
        return admission.speaker.key, room.life, message.nonce

    async def _hold(self, author: Poster, room: Room, message: Post, admission: _Admission) -> None:
        """Have it wait. Where nobody can say whether it does, the author may send it again with its nonce."""
        try:
            result = await self._ask_to_hold(admission.speaker, room, message, admission.number, admission.held)
        except ModerationUnavailable:
            self._take_back(author, room, message, admission, ErrorCode.UNAVAILABLE)
            return
        finally:
            self._being_held.discard(self._being_held_as(admission, room, message))
        if isinstance(result, HoldRefusal):
            code = ErrorCode.HOLD_FULL if result is HoldRefusal.FULL else ErrorCode.MUTED_OR_BANNED
            self._take_back(author, room, message, admission, code)
        elif result.is_repeated:
            await self._tell_held(author, room, message, result)
        else:
            author.waiting -= 1
            self._holds.sent(result.hold, partial(self._release, room, message.nonce, admission))

    def _is_held_already(self, author: Poster, room: Room, message: Post) -> bool:
        """A message that waits, or has waited, is sent again: it is not judged again, and its author hears how it
        stands."""
        known = self._holds.find(author.speaker, room.slug, room.life, message.nonce)
        if known is None:
            return False
        asked = author.speaker.key, room.life, message.nonce
        if known.state is not HoldState.ALLOWED:
            self._holds.tell_again(author, known)
        elif asked in self._asked_again:
            author.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=_ASKED_AGAIN_AFTER_MS, nonce=message.nonce)
        else:
            author.waiting += 1
            self._asked_again.add(asked)
            self._ports.tasks.spawn(self._ask_again(author, room, message, asked), "show a message that was allowed")
        return True

    async def _ask_again(self, author: Poster, room: Room, message: Post, asked: tuple[str, int, str]) -> None:
        result: HoldResult | HoldRefusal | None = None
        try:
            with suppress(ModerationUnavailable):
                result = await self._ask_to_hold(author.speaker, room, message, 0, None)
            if isinstance(result, HoldResult):
                await self._tell_held(author, room, message, result)
            else:
                self._refuse(author, ErrorCode.UNAVAILABLE, message.nonce)
        finally:
            self._asked_again.discard(asked)

    async def _ask_to_hold(
        self, speaker: Speaker, room: Room, message: Post, number: int, reason: HoldReason | None
    ) -> HoldResult | HoldRefusal:
        asked = message.text, message.nonce, number, message.reply_to, reason or _NO_REASON
        with hold_trace(begin_trace()):
            return await self._ports.moderation.hold(HoldRequest(speaker, room.slug, room.log, *asked))

    async def _tell_held(self, author: Poster, room: Room, message: Post, result: HoldResult) -> None:
        """Of a message that was sent before: how it stands, or the message itself."""
        if result.hold.state is not HoldState.ALLOWED:
            author.waiting -= 1
            self._holds.tell_again(author, result.hold)
            return
        found = None
        with suppress(BusUnavailable):
            await self._catch_up(room)
            found = None if result.entry_id is None else await self._ports.bus.entry(room.log, result.entry_id)
        if isinstance(found, StoredMessage) and not room.erasures.covers(found):
            author.waiting -= 1
            room.write_waiting(author)
            if room.is_to_come(author, found):
                author.write(room.besides(found, found.nonce))
            else:
                author.write(codec.own_entry(found, room.room_id, room.emotes))
        else:
            is_taken_back = result.entry_id is not None and room.erasures.names(result.entry_id)
            code = ErrorCode.MESSAGE_DELETED if is_taken_back or found is not None else ErrorCode.UNAVAILABLE
            self._refuse(author, code, message.nonce)

    # --- into the stream -------------------------------------------------------------------------------------------

    def _publish(
        self, author: Poster, room: Room, message: Post, policy: Policy, admission: _Admission | None = None
    ) -> None:
        """`admission`: of a message that counts; None: it is repeated."""
        ports = self._ports
        release = None if admission is None else partial(self._release, room, message.nonce, admission)
        if message.nonce and self._is_taken_back(author, room, message.nonce):
            # Neither moderation nor the stream may know it any more.
            if release is not None:
                release()
            self._refuse(author, ErrorCode.MESSAGE_DELETED, message.nonce)
            return
        token = self._outcomes.register(author, room, message.nonce, not_stored=release)
        try:
            ports.bus.publish_message(
                room.log,
                author.speaker,
                message.text,
                token=token,
                nonce=message.nonce,
                reply_to=message.reply_to,
                max_shown=policy.max_shown_per_second,
                delay_ms=policy.delay_ms_of(author.speaker.identity.rank),
                duplicate=partial(self._repeated, author, token),
            )
        except BusUnavailable:
            self._outcomes.expire((token,), are_missing=True)
        else:
            ports.meter.posted()

    def _release(self, room: Room, nonce: str, admission: _Admission) -> None:
        """A message was not stored: its author may speak as if they had never sent it."""
        speaker, number, here, at_s, _ = admission
        self._limiter.release(speaker, at_s)
        self._slow_mode.release(speaker.key, room.slug, number)
        self._texts.release(number)
        if nonce:
            self._admitted.forget(speaker.key, room.life, nonce)
        self._ports.moderation.release(speaker, room.slug, room.life, nonce, number)
        self._release_here(speaker, room, here)

    def _release_here(self, speaker: Speaker, room: Room, here: int) -> None:
        """A message that came to nothing does not count where its author is now either."""
        if here:
            self._ports.moderation.release(speaker.faces[1], room.slug, room.life, "", here)

    def _refuse(self, author: Poster, code: ErrorCode, nonce: str, retry_after_ms: int = 0, told: str = "") -> None:
        author.waiting -= 1
        author.refuse(code, retry_after_ms=retry_after_ms, nonce=nonce, told=told)

    # --- messages that were sent before ----------------------------------------------------------------------------

    async def _repeat(self, author: Poster, room: Room, message: Post) -> None:
        """A repetition costs nothing: the stream knows whether it has the message, unless it was taken back, of which
        the stream may remember nothing."""
        try:
            await self._catch_up(room)
        except BusUnavailable:
            self._refuse(author, ErrorCode.UNAVAILABLE, message.nonce)
            return
        self._publish(author, room, message, self._policy_of(room))

    def _repeated(self, author: Poster, token: int, message_id: MessageId) -> None:
        """The stream already has this message: its author alone gets the stored copy once more."""
        self._ports.tasks.spawn(self._show_again(author, token, message_id), "show a repeated message")

    async def _show_again(self, author: Poster, token: int, message_id: MessageId) -> None:
        pending = self._outcomes.find(token)
        if pending is None:
            return
        room, found = pending.room, None
        with suppress(BusUnavailable):
            await self._catch_up(room)
            found = room.repeatable(message_id) or await self._ports.bus.entry(room.log, message_id)
        is_taken_back = room.erasures.names(message_id) or self._is_taken_back(author, room, pending.nonce)
        if not isinstance(found, StoredMessage):
            self._settle(token, ErrorCode.MESSAGE_DELETED if is_taken_back else None)
        elif room.erasures.covers(found):
            self._settle(token, ErrorCode.MESSAGE_DELETED)
        elif self._outcomes.resolve(token):
            room.write_waiting(author)
            if room.is_to_come(author, found):
                author.write(room.besides(found, pending.nonce))
            else:
                author.write(codec.entry(found, room.room_id, nonce=pending.nonce, emotes=room.emotes))

    def _settle(self, token: int, refusal: ErrorCode | None) -> None:
        """None: what became of it is not known."""
        if refusal is None:
            self._outcomes.expire((token,))
        elif pending := self._outcomes.resolve(token):
            pending.author.refuse(refusal, nonce=pending.nonce)

    def _is_taken_back(self, author: Poster, room: Room, nonce: str) -> bool:
        key = message_key(author.speaker, room.life, nonce)
        return room.erasures.refuses(key, now_s=self._ports.clock.unix_s())


def _whole_ms(seconds: float) -> int:
    return max(1, int(seconds * 1000 + 0.999))
