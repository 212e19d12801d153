"""A whole worker in memory: real sessions, rooms, joins, posting and moderating, with ports that tests hold."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import structs
from structlog.contextvars import get_contextvars

from ws_edge.chat.arrivals import Arrivals
from ws_edge.chat.join import Entrance
from ws_edge.errors import BusUnavailable, InvalidToken, ModerationUnavailable, RoomsUnavailable
from ws_edge.ports import (
    REVOCATIONS_PER_READ,
    AdmissionLimits,
    ChangedEmotes,
    CommandRefusal,
    CommandRequest,
    CommandResult,
    Decision,
    DrainState,
    GraphQLAnswer,
    HoldRefusal,
    HoldRequest,
    HoldResult,
    Incident,
    InForce,
    JoinRefusal,
    Ports,
    ReadEmotes,
    Receiver,
    ReportAnswer,
    ReportOutcome,
    RoomListener,
    Verdict,
    WarningStep,
)
from ws_edge.process.worker import Worker
from ws_edge.protocol.commands import Report
from ws_edge.protocol.feed import FeedEvent, FeedPart, FeedState
from ws_edge.protocol.holds import Decided, HeldMessage, HoldState
from ws_edge.protocol.identity import (
    AnonymousNames,
    ConnectionId,
    Identity,
    Life,
    MessageId,
    Rank,
    RoomId,
    Slug,
    Speaker,
    UserId,
)
from ws_edge.protocol.limits import ConnectionLimits
from ws_edge.protocol.log import Erasure, LogEntry, LogRef, StoredMessage
from ws_edge.protocol.pins import Pin
from ws_edge.protocol.policies import Policy
from ws_edge.protocol.reactions import Reacted, ReactionSums
from ws_edge.protocol.references import ById, BySlug, ByVideo, ResumePoint, RoomRef
from ws_edge.protocol.resume_text import FormerParticipant, ResumeTexts
from ws_edge.protocol.revocations import Revocation
from ws_edge.protocol.roles import RoomRoles
from ws_edge.protocol.rooms import Joined, Membership, RoomSnapshot, TypingChanged
from ws_edge.protocol.sanctions import BanNotice, Sanction, SanctionEvent
from ws_edge.protocol.warnings import RoomWarning

AT = "2025-11-27T16:30:00.000Z"
EDGE = "e" * 32
MODERATES = ["delete", "mute", "warn", "purge", "pin", "shield", "reports"]
OWNS = [*MODERATES, "ban", "policy", "clear", "rules", "roles", "undo"]
"""What moderators, and owners, are told that they may do beside writing."""


class Gate:
    """A point that whoever passes waits at while it is shut."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.reached = asyncio.Event()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        self.reached.set()
        await self._open.wait()


class FakeClock:
    def __init__(self) -> None:
        self.time_s = 1000.0

    def now_s(self) -> float:
        return self.time_s

    def unix_s(self) -> float:
        return 1_700_000_000.0 + self.time_s


class FakeMeter:
    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.closes: list[int] = []
        self.turned_away_with: list[str] = []
        self.incidents: list[Incident] = []

    def refused(self, code: str) -> None:
        self.refusals.append(code)

    def posted(self) -> None:
        pass

    def incident(self, incident: Incident) -> None:
        self.incidents.append(incident)

    def turned_away(self, code: str) -> None:
        self.turned_away_with.append(code)

    def closed(self, code: int) -> None:
        self.closes.append(code)


@dataclass
class FakeRooms:
    """Implements Rooms: one life for each slug, until it is empty."""

    is_away: bool = False
    refusal: JoinRefusal | None = None
    resolving: Gate = field(default_factory=Gate)
    joining: Gate = field(default_factory=Gate)
    members: dict[ConnectionId, Slug] = field(default_factory=dict)
    lives: dict[Slug, Life] = field(default_factory=dict)
    versions: dict[Slug, int] = field(default_factory=dict)
    first_version: int = 1
    left: list[ConnectionId] = field(default_factory=list)
    revived: list[Life | None] = field(default_factory=list)
    """What each join asked to go on."""
    away: list[ConnectionId] = field(default_factory=list)
    changed_ranks: list[tuple[ConnectionId, Rank]] = field(default_factory=list)
    in_flight: set[ConnectionId] = field(default_factory=set)
    ranks: dict[int | None, Rank] = field(default_factory=dict)
    owners: dict[Slug, UserId] = field(default_factory=dict)
    owner_rank: Rank = Rank.OWNER
    snapshots: dict[Life, RoomSnapshot] = field(default_factory=dict)
    created: int = 0
    emotes_of: dict[Slug, dict[str, str]] = field(default_factory=dict)
    emotes_at_once: int = 1000
    """Slugs of one answer."""
    is_of_before: bool = False
    """Addresses by name."""
    emote_reads: list[tuple[Slug, ...]] = field(default_factory=list)
    reading_emotes: Gate = field(default_factory=Gate)
    changed: ChangedEmotes = field(default_factory=lambda: ChangedEmotes(0))
    asked_after: list[int | None] = field(default_factory=list)
    knows_no_emotes: bool = False
    """Nor blocks: these calls alone are not answered."""
    blocked: dict[UserId, tuple[UserId, ...]] = field(default_factory=dict)
    tells_no_blocks: bool = False
    """With the answer to a join."""

    async def resolve(self, ref: RoomRef) -> Slug:
        await self.resolving.passed()
        self._answer()
        assert isinstance(ref, ById)
        return Slug(str(ref.room_id))

    async def join(
        self,
        connection: ConnectionId,
        ref: RoomRef,
        identity: Identity,
        *,
        revive: Life | None = None,
        former: FormerParticipant | None = None,
    ) -> Joined | JoinRefusal:
        self.revived.append(revive)
        self.in_flight.add(connection)
        await self.joining.passed()
        self.in_flight.discard(connection)
        self._answer()
        if connection in self.left:  # as the port says: a leave never comes before its join
            asyncio.get_running_loop().call_soon(self._take_out, connection)
        if self.refusal is not None:
            return self.refusal
        slug = _slug_of(ref)
        if slug not in self.lives:
            self.created += 1
            self.lives[slug] = Life(self.created)
            self.versions[slug] = self.first_version - 1
        self.members[connection] = slug
        self.versions[slug] += 1
        count = sum(1 for where in self.members.values() if where == slug)
        membership = Membership(
            RoomId(7), self.lives[slug], slug, count, self.versions[slug], False, 0, *self._owner(slug)
        )
        return Joined(membership, self._blocked_of(identity))

    def _blocked_of(self, identity: Identity) -> tuple[UserId, ...] | None:
        if identity.user_id is None or self.tells_no_blocks or self.knows_no_emotes:
            return None
        return self.blocked.get(identity.user_id, ())

    def _owner(self, slug: Slug) -> tuple[UserId | None, Rank]:
        return self.owners.get(slug), self.owner_rank

    def note_away(self, connection: ConnectionId) -> None:
        self.away.append(connection)

    def change_rank(self, connection: ConnectionId, rank: Rank) -> None:
        self.changed_ranks.append((connection, rank))

    def leave(self, connection: ConnectionId) -> None:
        self.left.append(connection)
        if connection not in self.in_flight:
            self._take_out(connection)

    def _take_out(self, connection: ConnectionId) -> None:
        slug = self.members.pop(connection, None)
        if slug is not None and slug not in self.members.values():
            del self.lives[slug]

    async def snapshot(self, life: Life) -> RoomSnapshot:
        self._answer()
        for slug, living in self.lives.items():
            if living == life and life not in self.snapshots:
                count = sum(1 for where in self.members.values() if where == slug)
                return RoomSnapshot(self.versions[slug], count, False, ())
        return self.snapshots.get(life, RoomSnapshot(0, 0, False, ()))

    async def connected_rank(self, user_id: UserId | None, username: str | None, slug: Slug | None) -> Rank | None:
        self._answer()
        return self.ranks.get(user_id)

    async def is_owner(self, user_id: UserId, slug: Slug) -> bool:
        self._answer()
        return self.owner_rank is Rank.OWNER and self.owners.get(slug) == user_id

    async def stats(self) -> Mapping[int, int]:
        return {}

    async def emotes(self, slugs: Sequence[Slug]) -> ReadEmotes | None:
        self.emote_reads.append(tuple(slugs))
        found = {slug: dict(self.emotes_of[slug]) for slug in slugs if slug in self.emotes_of}
        await self.reading_emotes.passed()
        self._answer_about_emotes()
        if self.is_of_before:
            return None
        first = list(slugs[: self.emotes_at_once])
        return ReadEmotes({slug: found[slug] for slug in first if slug in found}, slugs[self.emotes_at_once :])

    async def changed_emotes(self, after: int | None) -> ChangedEmotes:
        self._answer_about_emotes()
        self.asked_after.append(after)
        return self.changed

    async def blocked_by(self, user_id: UserId) -> tuple[UserId, ...] | None:
        self._answer_about_emotes()
        return self.blocked.get(user_id, ())

    def _answer_about_emotes(self) -> None:
        if self.is_away or self.knows_no_emotes:
            raise RoomsUnavailable

    async def execute_graphql(
        self, query: str, variables_json: bytes, operation_name: str, viewer: Identity | None, *, allow_mutation: bool
    ) -> GraphQLAnswer:
        raise NotImplementedError

    def _answer(self) -> None:
        if self.is_away:
            raise RoomsUnavailable


def _slug_of(ref: RoomRef) -> Slug:
    match ref:
        case BySlug(slug):
            return slug
        case ById(room_id):
            return Slug(str(room_id))
        case ByVideo(video_id):
            return Slug(f"video-{video_id}")


@dataclass
class FakeModeration:
    """Implements Moderation: verdicts are what the test says."""

    is_away: bool = False
    verdict: Verdict = field(default_factory=lambda: Verdict(Decision.ADMITTED))
    verdicts_wait: bool = False
    checking: Gate = field(default_factory=Gate)
    finally_checking: Gate = field(default_factory=Gate)
    reading: Gate = field(default_factory=Gate)
    reading_everywhere: Gate = field(default_factory=Gate)
    reads: list[tuple[Slug, ...] | None] = field(default_factory=list)
    """The slugs of each reading; None: what holds everywhere."""
    banned: set[UserId | None] = field(default_factory=set)
    sanctions: list[Sanction] = field(default_factory=list)
    event: SanctionEvent | None = None
    result: CommandResult | CommandRefusal | Decided | None = None
    """In place of what the event makes of a command."""
    checks: list[tuple[str, bool]] = field(default_factory=list)
    checked: list[Speaker] = field(default_factory=list)
    requests: list[CommandRequest] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    released: list[tuple[str, Slug, Life, str, int]] = field(default_factory=list)
    asked_without_policy: list[bool] = field(default_factory=list)
    asked_of_texts: list[tuple[str, Slug, str, int]] = field(default_factory=list)
    waiting_of_texts: list[Callable[[Verdict], None]] = field(default_factory=list)
    asked: list[Speaker] = field(default_factory=list)
    """Whose messages were judged."""
    lent: set[str] = field(default_factory=set)
    """Whose windows are."""
    reported: list[tuple[str, Life, str, str]] = field(default_factory=list)
    policies: dict[Slug, Policy] = field(default_factory=dict)
    warnings: dict[int, RoomWarning] | None = field(default_factory=dict)
    """By id; None: the service is one of before."""
    ban_notice: BanNotice | None = None
    found_bans: list[tuple[str, Slug]] = field(default_factory=list)
    filed: list[tuple[str, Slug, Report]] = field(default_factory=list)
    report_answer: ReportAnswer = field(default_factory=lambda: ReportAnswer(ReportOutcome.REPORTED))
    revocations: list[Revocation] = field(default_factory=list)
    reports: list[tuple[str, int, WarningStep]] = field(default_factory=list)
    holding: Gate = field(default_factory=Gate)
    hold_requests: list[HoldRequest] = field(default_factory=list)
    hold_result: HoldResult | HoldRefusal | None = None
    """In place of having the message wait."""
    holds: dict[int, HeldMessage] = field(default_factory=dict)
    entries_of_holds: dict[int, MessageId] = field(default_factory=dict)
    pins: dict[Slug, tuple[Life, Pin]] = field(default_factory=dict)
    ruled: frozenset[Slug] = frozenset()
    ruled_everywhere: bool = False
    roles: dict[Slug, RoomRoles] = field(default_factory=dict)
    waiting: list[Callable[[Verdict], None]] = field(default_factory=list)
    limits: AdmissionLimits = field(default_factory=lambda: AdmissionLimits(10, 10.0, 100))
    feed: list[FeedEvent] = field(default_factory=list)
    """Of all slugs, in order."""
    feed_part: int = 100
    """So many of them are given at once."""
    feed_state: FeedState | None = None
    """In place of what the feed makes of it."""
    is_feed_denied: bool = False
    feeds_opened: list[tuple[str, Slug, int | None]] = field(default_factory=list)
    feeds_read: list[tuple[tuple[Slug, ...], int]] = field(default_factory=list)
    opening_feed: Gate = field(default_factory=Gate)
    reading_feeds: Gate = field(default_factory=Gate)

    def admit(
        self,
        speaker: Speaker,
        slug: Slug,
        log: LogRef,
        nonce: str,
        done: Callable[[Verdict], None],
        *,
        text: str = "",
        without_policy: bool = False,
    ) -> None:
        self.asked_without_policy.append(without_policy)
        self.asked.append(speaker)
        if self.verdicts_wait:
            self.waiting.append(done)
        else:
            done(Verdict(Decision.UNAVAILABLE) if self.is_away else self.verdict)

    def has_lent(self, speaker: Speaker, life: Life) -> bool:
        return speaker.key in self.lent

    def report_admitted(self, speaker: Speaker, life: Life, nonce: str, text: str) -> int:
        self.reported.append((speaker.key, life, nonce, text))
        return 2000 + len(self.reported)

    def ask_text(
        self,
        speaker: Speaker,
        slug: Slug,
        log: LogRef,
        nonce: str,
        done: Callable[[Verdict], None],
        *,
        text: str,
        number: int,
    ) -> None:
        self.asked_of_texts.append((speaker.key, slug, text, number))
        self.waiting_of_texts.append(done)

    def note_admitted(self, speaker: Speaker, life: Life, nonce: str, *, slow_in: Slug | None = None) -> int:
        self.noted.append(speaker.key)
        return 1000 + len(self.noted)

    def release(self, speaker: Speaker, slug: Slug, life: Life, nonce: str, number: int) -> None:
        self.released.append((speaker.key, slug, life, nonce, number))

    async def check_arrival(self, speaker: Speaker, slug: Slug, *, final: bool) -> bool:
        self.checks.append((slug, final))
        self.checked.append(speaker)
        await (self.finally_checking if final else self.checking).passed()
        self._answer()
        return speaker.identity.user_id not in self.banned

    def report_seen(self, speaker: Speaker, slug: Slug) -> None:
        self.seen.append((speaker.key, slug))

    async def hold(self, request: HoldRequest) -> HoldResult | HoldRefusal:
        await self.holding.passed()
        self._answer()
        self.hold_requests.append(request)
        if self.hold_result is not None:
            return self.hold_result
        author, nonce = request.author, request.nonce
        for known in self.holds.values():
            if nonce and (known.key, known.life, known.nonce) == (author.key, request.log.life, nonce):
                return HoldResult(known, True, self.entries_of_holds.get(known.id))
        user_id, username = author.identity.user_id, author.identity.username
        hold = HeldMessage(
            len(self.holds) + 1,
            request.slug,
            request.log.life,
            user_id,
            username,
            author.connection,
            nonce,
            request.number,
            HoldState.WAITING,
            1_764_261_480_000,
        )
        self.holds[hold.id] = hold
        return HoldResult(hold, False, None)

    async def execute(self, request: CommandRequest) -> CommandResult | CommandRefusal | Decided:
        self._answer()
        self.requests.append(request)
        self.traces.append(get_contextvars()["trace"])
        if self.result is not None:
            return self.result
        if self.event is None:
            return CommandRefusal.NOT_PERMITTED
        return CommandResult(self.event, None, is_repeated=False)

    async def revocations_after(self, version: int) -> list[Revocation]:
        self._answer()
        return [one for one in self.revocations if one.version > version][:REVOCATIONS_PER_READ]

    async def report_warning(
        self, speaker: Speaker, slug: Slug, warning_id: int, step: WarningStep
    ) -> RoomWarning | None:
        self._answer()
        self.reports.append((speaker.key, warning_id, step))
        self.traces.append(get_contextvars()["trace"])
        found = (self.warnings or {}).get(warning_id)
        if found is not None and step is not WarningStep.DELIVER:
            found = structs.replace(found, is_open=False)
        return found

    async def find_ban(self, speaker: Speaker, slug: Slug) -> BanNotice | None:
        self._answer()
        self.found_bans.append((speaker.key, slug))
        return self.ban_notice

    async def file_report(self, speaker: Speaker, slug: Slug, log: LogRef, report: Report) -> ReportAnswer:
        self._answer()
        self.filed.append((speaker.key, slug, report))
        return self.report_answer

    async def open_feed(self, speaker: Speaker, slug: Slug, since: int | None) -> FeedState | None:
        self._answer()
        self.feeds_opened.append((speaker.key, slug, since))
        state = self.feed_state
        if state is None:
            newest = self.feed[-1].id if self.feed else 0
            missed = () if since is None else tuple(e for e in self.feed if e.slug == slug and e.id > since)
            state = FeedState(newest, events=missed)
        await self.opening_feed.passed()
        return None if self.is_feed_denied else state

    async def read_feeds(self, slugs: Sequence[Slug], after: int) -> FeedPart:
        self._answer()
        self.feeds_read.append((tuple(slugs), after))
        newest = max(after, self.feed[-1].id if self.feed else 0)
        found = tuple(event for event in self.feed if event.slug in slugs and event.id > after)[: self.feed_part]
        await self.reading_feeds.passed()
        has_more = len(found) == self.feed_part
        return FeedPart(found, found[-1].id if has_more else newest, has_more)

    async def active(self, slugs: Sequence[Slug]) -> InForce:
        await self.reading.passed()
        self._answer()
        self.reads.append(tuple(slugs))
        policies = {slug: policy for slug, policy in self.policies.items() if slug in slugs}
        warnings = None
        if self.warnings is not None:
            warnings = [w for w in self.warnings.values() if w.slug in slugs and w.is_open]
        pins = {slug: pin for slug, pin in self.pins.items() if slug in slugs}
        sanctions = [s for s in self.sanctions if s.slug in slugs]
        roles = {slug: roles for slug, roles in self.roles.items() if slug in slugs}
        holds = [hold for hold in self.holds.values() if hold.slug in slugs]
        ruled = self.ruled & set(slugs)
        return InForce(sanctions, policies, pins, warnings, ruled, self.ruled_everywhere, roles, holds)

    async def active_everywhere(self) -> list[Sanction]:
        await self.reading_everywhere.passed()
        self._answer()
        self.reads.append(None)
        return [s for s in self.sanctions if s.slug is None]

    def _answer(self) -> None:
        if self.is_away:
            raise ModerationUnavailable


@dataclass
class FakeBus:
    """Implements Bus: a stream in memory that gives copies back at once, or when the test says so."""

    is_away: bool = False
    keeps_copies: bool = False
    at: str = AT
    """The time of the stream."""
    loses_messages: bool = False
    subscribing: Gate = field(default_factory=Gate)
    reading: Gate = field(default_factory=Gate)
    reads: int = 0
    """How often messages were read."""
    message_reads: int = 0
    """The same of those that go backwards."""
    kept_from: int = 1
    """The stream has let go of all messages before this one."""
    lags: int = 0
    """So many reads give nothing of the newest message."""
    generation: int = 1
    listeners: dict[Life, list[RoomListener]] = field(default_factory=dict)
    stream: list[tuple[Life, LogEntry]] = field(default_factory=list)
    beside: list[tuple[Life, Erasure]] = field(default_factory=list)
    """What takes messages back, kept beside the logs."""
    nonces: dict[tuple[str, int, str], MessageId] = field(default_factory=dict)
    typing: list[TypingChanged] = field(default_factory=list)
    reactions: list[tuple[Life, list[Reacted]]] = field(default_factory=list)
    broadcasts: list[bytes] = field(default_factory=list)
    copies: list[tuple[Life, LogEntry]] = field(default_factory=list)

    async def subscribe(self, log: LogRef, listener: RoomListener) -> Callable[[], None]:
        await self.subscribing.passed()
        self._answer()
        life = log.life
        self.listeners.setdefault(life, []).append(listener)
        return lambda: self.listeners[life].remove(listener)

    def publish_message(
        self,
        log: LogRef,
        speaker: Speaker,
        text: str,
        *,
        token: int,
        nonce: str,
        reply_to: MessageId | None = None,
        max_shown: int = 0,
        delay_ms: int = 0,
        duplicate: Callable[[MessageId], None],
    ) -> None:
        self._answer()
        if self.loses_messages:
            return
        life = log.life
        key = (speaker.key, life, nonce)
        if nonce and key in self.nonces:
            duplicate(self.nonces[key])
            return
        identity = speaker.identity
        earlier = [m.id for where, m in self.stream if where == life]
        number = MessageId(len(self.stream) + 1)
        prev = earlier[-1] if earlier else MessageId(0)
        author = (identity.user_id, identity.username, EDGE, token, nonce)
        stored = StoredMessage(number, prev, self.at, text, *author, reply_to, identity.role)
        stored = structs.replace(stored, max_shown=max_shown, delay_ms=delay_ms)
        self.nonces[key] = number
        self.stream.append((life, stored))
        self.copies.append((life, stored))
        if not self.keeps_copies:
            self.give_copies()

    def give_copies(self) -> None:
        copies, self.copies = self.copies, []
        for life, stored in copies:
            for listener in self.listeners.get(life, []):
                listener.entry_stored(stored)

    def publish_typing(self, log: LogRef, change: TypingChanged) -> None:
        self._answer()
        self.typing.append(change)
        for listener in self.listeners.get(log.life, []):
            listener.typing_changed(change)

    def publish_reactions(self, log: LogRef, sums: ReactionSums) -> None:
        self._answer()
        self.reactions.append((log.life, list(sums)))

    def publish_returned(self, log: LogRef, key: str, version: int) -> None:
        self._answer()
        for listener in self.listeners.get(log.life, []):
            listener.participant_returned(key, version)

    def publish_reached(self, log: LogRef, last_id: MessageId) -> None:
        self._answer()
        for listener in self.listeners.get(log.life, []):
            listener.log_reached(last_id)

    def publish_broadcast(self, payload: bytes) -> None:
        self._answer()
        self.broadcasts.append(payload)

    async def entry(self, log: LogRef, entry: MessageId) -> LogEntry | None:
        self._answer()
        return next((m for where, m in self.stream if where == log.life and m.id == entry), None)

    async def entries_after(self, log: LogRef, after: MessageId, *, limit: int) -> list[LogEntry]:
        await self.reading.passed()
        self._answer()
        self.reads += 1
        kept = [m for where, m in self.stream if where == log.life and m.id >= self.kept_from]
        if self.lags:
            self.lags -= 1
            kept = kept[:-1]
        found = [m for m in kept if m.id > after][:limit]
        if found and after and not any(m.id <= after for m in kept):
            found[0] = structs.replace(found[0], prev_id=MessageId(found[0].id - 1))
        elif found and found[0].prev_id < self.kept_from and not after:
            found[0] = structs.replace(found[0], prev_id=MessageId(0))
        return found

    async def messages_before(self, log: LogRef, before: MessageId | None, *, limit: int) -> list[StoredMessage]:
        self.message_reads += 1
        self._answer()
        mine = [m for where, m in self.stream if where == log.life and (before is None or m.id < before)]
        return [m for m in mine if isinstance(m, StoredMessage)][-limit:]

    async def erasures(self, log: LogRef) -> list[Erasure]:
        self._answer()
        return [erasure for where, erasure in self.beside if where == log.life]

    def epoch(self, log: LogRef) -> str:
        return f"{log.life}.{self.generation}"

    async def last_id(self, log: LogRef) -> MessageId:
        self._answer()
        return max((m.id for where, m in self.stream if where == log.life), default=MessageId(0))

    def _answer(self) -> None:
        if self.is_away:
            raise BusUnavailable


class FakeTokens:
    """Implements Tokens: "7:moderator" is the user 7 with that rank; with "@12" behind it, it expires in 12 s; with
    "#a" behind the rank "a" is its jti."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        who, _, ttl = token.partition("@")
        number, _, role = who.partition(":")
        role, _, jti = role.partition("#")
        if not number.isdigit():
            raise InvalidToken
        expires_at_s = self._clock.unix_s() + float(ttl) if ttl else None
        rank = Rank[role.upper() or "USER"]
        return Identity(UserId(int(number)), f"user_{number}", None, (role,), rank, expires_at_s, jti=jti or None)


class Client:
    """Implements Transport, and is the person at the other end."""

    takes_compressed = False

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.raw = b""
        self.closed_with: int | None = None
        self.unsent = 0
        self.over = asyncio.Event()

    def write(self, frames: bytes) -> None:
        assert self.closed_with is None
        self.raw += frames

    @property
    def open_write(self) -> Callable[[bytes], None]:
        return self.write

    def close(self, code: int, reason: str = "") -> None:
        if self.closed_with is None:
            self.closed_with = code
            self.over.set()

    def unsent_bytes(self) -> int:
        return self.unsent

    @property
    def frames(self) -> list[dict[str, object]]:
        """All frames so far."""
        frames, rest = [], self.raw
        while rest:
            size, start = rest[1], 2
            if size == 126:
                size, start = int.from_bytes(rest[2:4], "big"), 4
            frames.append(json.loads(rest[start : start + size]))
            rest = rest[start + size :]
        return frames

    @property
    def types(self) -> list[str]:
        """The types of all frames so far; errors by their code."""
        return [
            str(f["data"]["code"]) if f["type"] == "error" else str(f["type"])  # type: ignore[index]
            for f in self.frames
        ]

    def send(self, kind: str, **data: object) -> None:
        self.receiver.receive_text(json.dumps({"type": kind, "data": data}).encode())

    def say(self, text: str, **data: object) -> None:
        self.send("chat_message", message=text, **data)

    def hang_up(self) -> None:
        self.receiver.lost()


class NeverWarned:
    """The part of a Connection that warnings are about, of one who gets none."""

    is_of_document = True

    def warn(self, warning: RoomWarning) -> bool:
        return False

    def was_warned(self, warning_id: int) -> bool:
        return False

    def close_warning(self, warning_id: int) -> None: ...


class World:
    """One worker and everything around it."""

    def __init__(
        self,
        *,
        outage: Literal["local", "reject"] = "local",
        frames_per_window: int = 500,
        crowded_flush_s: float = 0.0,
    ) -> None:
        self.clock = FakeClock()
        self.meter = FakeMeter()
        self.rooms = FakeRooms()
        self.moderation = FakeModeration()
        self.bus = FakeBus()
        self.ports = Ports(
            EDGE,
            self.rooms,
            self.moderation,
            self.bus,
            self.clock,
            self.meter,
            outage,
            frames_per_window,
            crowded_flush_s,
        )
        self.worker = Worker(self.ports)
        self.limits = ConnectionLimits(in_all=0, of_address=0, handshakes=0)
        self.entrance = Entrance(
            self.ports,
            self.worker.connections,
            self.worker.sanction_reader,
            self.worker.held_rooms,
            self.worker.replays,
            FakeTokens(self.clock),
            AnonymousNames(None),
            self.limits,
            DrainState(),
            ResumeTexts(b"key"),
        )
        self.arrivals = Arrivals(
            self.entrance,
            posting=self.worker.posting,
            actions=self.worker.actions,
            histories=self.worker.histories,
            reactions=self.worker.reactions,
            live=self.worker.live,
        )

    async def settle(self) -> None:
        """Let everything happen that can happen without time passing."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def arrive(
        self,
        ref: str = "s",
        token: str | None = None,
        address: str = "192.0.2.1",
        *,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Client:
        """A client whose handshake was just answered, and whose join has begun."""
        client = Client(self.arrivals.arrive_room(ref, token, address, resume, resume_text))
        client.receiver.connected(client)
        await asyncio.sleep(0)
        return client

    async def join(self, ref: str = "s", token: str | None = None, address: str = "192.0.2.1") -> Client:
        """A client that is in, with nothing read yet but room_joined."""
        client = await self.arrive(ref, token, address)
        await self.settle()
        assert client.types[:1] == ["room_joined"], client.types
        client.raw = b""
        return client

    def holds_nothing(self) -> bool:
        """Whether all that connections took was given back."""
        return (
            len(self.worker.connections) == 0
            and not self.worker.held_rooms.by_life
            and not self.worker.held_rooms.by_slug
            and not self.worker.sanction_reader.slugs
            and not self.rooms.members
            and not any(self.bus.listeners.values())
            and not self.ports.cache.read_at_s
            and not len(self.ports.policies)
            and not len(self.ports.warnings)
            and not len(self.ports.pins)
            and not len(self.ports.emotes)
            and not len(self.ports.roles)
            and not len(self.limits)
        )


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - nothing tells of what is waited for here
            await asyncio.sleep(0.001)
