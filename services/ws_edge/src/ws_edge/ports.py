"""What the edge needs from the outside, in its own words. bootstrap.py names the adapters; mypy proves the fit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal, NamedTuple, Protocol

from chassis.tasks import Tasks
from ws_edge.protocol.commands import Command, Report, Target
from ws_edge.protocol.emotes import EmoteCache
from ws_edge.protocol.feed import FeedPart, FeedState
from ws_edge.protocol.holds import Decided, HeldMessage, HoldCache, HoldReason
from ws_edge.protocol.identity import ConnectionId, Identity, Life, MessageId, Rank, Slug, Speaker, UserId
from ws_edge.protocol.log import Erasure, LogEntry, LogRef, StoredMessage
from ws_edge.protocol.pins import Pin, PinCache
from ws_edge.protocol.policies import Policy, PolicyCache
from ws_edge.protocol.reactions import Reacted, ReactionSums
from ws_edge.protocol.references import ResumePoint, RoomRef
from ws_edge.protocol.resume_text import FormerParticipant
from ws_edge.protocol.revocations import Revocation, RevokedTokens
from ws_edge.protocol.roles import RoleCache, RoomRoles
from ws_edge.protocol.rooms import HeldConnection, Joined, PresenceChanged, RoomSnapshot, TypingChanged
from ws_edge.protocol.sanctions import BanNotice, Sanction, SanctionCache, SanctionEvent
from ws_edge.protocol.warnings import RoomWarning, WarningCache

# --- time and numbers -------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Monotonic time for what lasts, Unix time for what others read."""

    def now_s(self) -> float:
        """Monotonic seconds, those of the event loop."""

    def unix_s(self) -> float:
        """Unix seconds."""


class Timer(Protocol):
    """A callback that will run."""

    def cancel(self) -> None:
        """It will not run after all."""


class Timers(Protocol):
    """Callbacks on the event loop; a loop of asyncio is one."""

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """Run at the end of this loop turn."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Run once, after `delay` seconds."""


class Incident(Enum):
    """What should not happen and is counted where it does."""

    MESSAGE_NOT_STORED = "message_not_stored"
    """The stream answered that it did not take a message."""
    MESSAGE_WITHOUT_OUTCOME = "message_without_outcome"
    """NATS was away, or a message was not found in the stream: its author was told `unavailable`."""
    MODERATION_AWAY = "moderation_away"
    """A message had no verdict of moderation: the edge judged it by itself, or refused it."""
    STREAM_BEGAN_ANEW = "stream_began_anew"
    """The stream was made again, or had lost some of its messages."""
    GAP_NOT_FILLED = "gap_not_filled"
    """Messages that a room had missed could not be read: it went on without them."""


class Meter(Protocol):
    """What is counted for operators."""

    def refused(self, code: str) -> None:
        """A frame was answered by an error with this code."""

    def posted(self) -> None:
        """A message was published."""

    def incident(self, incident: Incident) -> None:
        """It happened once more."""

    def turned_away(self, code: str) -> None:
        """A client was not let in: the code of its error, `internal`, or http_<status> before the upgrade."""

    def closed(self, code: int) -> None:
        """The edge closed a connection with this close code."""


# --- the client's socket -------------------------------------------------------------------------------------------


class Transport(Protocol):
    """One client's WebSocket. Nothing here waits and nothing raises, whatever state the socket is in."""

    takes_compressed: bool
    """Whether compressed frames may be written: permessage-deflate was negotiated."""

    @property
    def open_write(self) -> Callable[[bytes], None]:
        """What `write` does while the connection is open: for a room of thousands, which lets go of it with the end."""

    def write(self, frames: bytes) -> None:
        """Send whole WebSocket frames, already encoded; ignored once closing."""

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, wait up to 2 s for the peer's, then drop. Only the first call counts."""

    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""


class Receiver(Protocol):
    """The owner of a Transport, which calls it."""

    frame_limit_bytes: int
    """Text frames above this size close the connection with 1009."""
    writes_soon: bool
    """The answer to the handshake waits for what it writes first, for a second at most."""

    def connected(self, transport: Transport) -> None:
        """The handshake is answered; first call, once."""

    def receive_text(self, payload: bytes) -> None:
        """One whole text message, put together from its fragments, valid UTF-8, within the limit."""

    def receive_binary(self) -> None:
        """One whole binary message, within the limit; nobody reads what is in it."""

    def receive_part(self) -> None:
        """A frame that completes no message: a ping, a pong, or a fragment that others follow. A ping is answered after
        this call, unless it closed the connection."""

    def congestion_changed(self, is_congested: bool) -> None:
        """The socket's write buffer went above its high mark, or below its low mark again."""

    def lost(self) -> None:
        """The connection is over; last call, exactly once, also after our own close."""


@dataclass(slots=True)
class DrainState:
    """Whether the edge goes away. Set at SIGTERM by whoever serves; joins are refused then, and readiness fails."""

    is_draining: bool = False


class Acceptor(Protocol):
    """The owner of connections. A refusal is a Receiver that writes its error frame and closes once connected."""

    def arrive_room(
        self,
        ref: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Receiver:
        """Somebody asks for a room; ref is percent-decoded, address the client's IP in full, `resume` where a client
        that comes back had left the log, `resume_text` which anonymous participant it says it is."""

    def arrive_video(
        self,
        video_id: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Receiver:
        """Somebody asks for a video's room; video_id is percent-decoded."""

    def arrive_live(self, address: str) -> Receiver:
        """Somebody asks for /live/ws; address is the client's IP in full."""

    def turned_away(self, code: str) -> None:
        """Somebody did not come as far as a Receiver: http_<status> where the handshake was refused, `internal` where
        the arrival failed. Or asked too often at /graphql: graphql_429."""


# --- rooms ---------------------------------------------------------------------------------------------------------


class JoinRefusal(Enum):
    """Why there is no membership."""

    NOT_FOUND = auto()
    ACCESS_DENIED = auto()
    UNAVAILABLE = auto()


@dataclass(frozen=True, slots=True)
class GraphQLAnswer:
    """An HTTP answer made by the rooms service."""

    body: bytes
    http_status: int


@dataclass(frozen=True, slots=True)
class ChangedEmotes:
    """Whose emotes have changed up to a version."""

    version: int
    slugs: tuple[Slug, ...] = ()
    has_more: bool = False
    """There were more than these."""


@dataclass(frozen=True, slots=True)
class LogResumption:
    """What the rooms service knows of the sequences of a partition of the log."""

    highest: int
    """The highest sequence that may have been given out."""
    purge_to: int
    """Where a stream that is behind has to go on; 0: look at the stream again."""
    resumed: int = 0
    """The last such decision, the same for all edges; 0: none was made."""


class LogMemory(Protocol):
    """Remembers for all edges how far the streams of the log had come, also when files are lost. A call has 2 s."""

    async def resume_log(self, partition: int, seen: int, *, behind: int = 0) -> LogResumption:
        """What is known of a partition besides what this edge has seen. With `behind`, the `highest` of the answer
        before: where the stream goes on, which ended below that when it was looked at afterwards. Raises
        RoomsUnavailable."""


class MembershipListener(Protocol):
    """What the rooms service's adapter asks of a worker, and reports to it. Must not raise."""

    def held_connections(self) -> Iterable[HeldConnection]:
        """All memberships of this worker, one after the other; not those that end while they are listed."""

    def held_count(self) -> int:
        """How many memberships these are: asked with every heartbeat."""

    def membership_lost(self, connection: ConnectionId) -> None:
        """While this worker was cut off the slug began another life: the client has to join again."""


class ReadEmotes(NamedTuple):
    """What one answer has of emotes."""

    found: Mapping[Slug, Mapping[str, str]]
    """Addresses by name; a slug that is neither here nor in `unread` has none."""
    unread: Sequence[Slug] = ()
    """Which did not fit: to be asked for again."""


class Rooms(Protocol):
    """The rooms service. Every coroutine has 2 s unless it says otherwise, and raises RoomsUnavailable."""

    async def resolve(self, ref: RoomRef) -> Slug:
        """The slug behind a reference; creates nothing. Batched: 2 s with the waiting for its batch."""

    async def join(
        self,
        connection: ConnectionId,
        ref: RoomRef,
        identity: Identity,
        *,
        revive: Life | None = None,
        former: FormerParticipant | None = None,
    ) -> Joined | JoinRefusal:
        """`revive`: the life that the client's epoch names, which goes on where its log lies dormant; `former`: who the
        connection is where it comes into that participant's life. Batched: 5 s with the waiting for its batch. When it
        raises or is cancelled the caller still owes a leave."""

    def note_away(self, connection: ConnectionId) -> None:
        """The leave of this connection, which follows, is of one that the server closes with 1012: it is expected to
        come back, and is announced as left only where it has not within 15 s."""

    def leave(self, connection: ConnectionId) -> None:
        """Never waits. Queued, batched, and tried until it is committed; after a join of the same connection, never
        before, and in place of one that was not sent yet. At most 10,000 are owed, see OwedQueue."""

    def change_rank(self, connection: ConnectionId, rank: Rank) -> None:
        """From now on a connection with a membership has this rank in its room. Never waits. Queued, batched, and tried
        until it is committed, as leaves are; a newer rank takes the place of one that is owed."""

    async def snapshot(self, life: Life) -> RoomSnapshot:
        """The participants of a life at one version; version 0: the life is over."""

    async def connected_rank(self, user_id: UserId | None, username: str | None, slug: Slug | None) -> Rank | None:
        """The highest rank somebody is connected with, by id or else by name; slug None: anywhere. None: not
        connected."""

    async def is_owner(self, user_id: UserId, slug: Slug) -> bool:
        """Whether somebody, connected or not, ranks as the owner of the room of a slug, living or kept."""

    async def stats(self) -> Mapping[int, int]:
        """Open connections by public room id, over all edges."""

    async def emotes(self, slugs: Sequence[Slug]) -> ReadEmotes | None:
        """The addresses of the emotes of some of at most SLUGS_PER_READ slugs, of one at least; None: the service is
        one of before."""

    async def changed_emotes(self, after: int | None) -> ChangedEmotes:
        """Whose emotes have changed since that version; None: which version there is."""

    async def blocked_by(self, user_id: UserId) -> tuple[UserId, ...] | None:
        """Whom a user has blocked; None: the service is one of before. Batched: 2 s with the waiting for its batch."""

    async def execute_graphql(
        self, query: str, variables_json: bytes, operation_name: str, viewer: Identity | None, *, allow_mutation: bool
    ) -> GraphQLAnswer:
        """Run one GraphQL request, within 10 s. `variables_json` is a JSON object; viewer None: nobody is signed in."""


# --- moderation ----------------------------------------------------------------------------------------------------


class Decision(Enum):
    """What moderation said of a message or an arrival."""

    ADMITTED = auto()
    REPEATED = auto()
    RATE_LIMITED = auto()
    SANCTIONED = auto()
    SLOW_MODE = auto()
    READ_ONLY = auto()
    MEMBERS_ONLY = auto()
    ACCOUNT_TOO_NEW = auto()
    FOLLOW_TOO_SHORT = auto()
    EMOTE_ONLY = auto()
    DUPLICATE = auto()
    LINKS = auto()
    TOO_LONG = auto()
    WARNING_PENDING = auto()
    BLOCKED = auto()
    HELD = auto()
    """It is to wait for a moderator, see Moderation.hold; it counts as said until `release`."""
    UNJUDGED = auto()
    """A rule would have to see it and can't just now."""
    UNAVAILABLE = auto()
    """No replica answered: the caller applies WS_EDGE_MODERATION_OUTAGE."""


class Verdict(NamedTuple):
    """A decision and, where waiting helps, for how long. A tuple, because one is made for every message."""

    decision: Decision
    retry_after_ms: int = 0
    place: int = 0
    """Of a message that was admitted into a room with slow mode: its number; 0: it holds no place."""
    number: int = 0
    """Of a message that was admitted: by this it is released."""
    text_open: bool = False
    """Of a message that was admitted, or is repeated: the home of the room is to be asked of its text first, see
    ask_text."""
    told: str = ""
    """Of a blocked one: what its author reads; empty: the usual sentence."""
    held: HoldReason | None = None
    """Of one that is to wait for a moderator: why."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The limits in force, as moderation last sent them."""

    messages_per_window: int
    window_s: float
    messages_per_address: int
    refuse_unjudged: bool = False
    """Whether what a rule would have to see is refused while moderation is away."""


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command with who gives it and where."""

    actor: Speaker
    slug: Slug
    log: LogRef
    """Of the life that the actor is in."""
    command: Command
    target: Target | None
    """Whom it is about, of a deletion the author of the message; None: nobody, or not known."""
    target_rank: Rank | None
    """The highest that the target is connected with where the command reaches; None: not connected."""
    reason: str
    nonce: str
    edge: str
    """With `token`: how this worker knows the entry that it brings."""
    token: int


class CommandRefusal(Enum):
    """Why a command changed nothing."""

    NOT_PERMITTED = auto()
    NOT_FOUND = auto()
    """There is no such message in this log, or it is gone already; or no such action in this room."""
    CANNOT_UNDO = auto()
    """The action took messages back."""
    ALREADY_UNDONE = auto()
    NOTHING_TO_UNDO = auto()
    """Nothing is left as the action made it."""
    NONCE_TAKEN = auto()
    """The same person gave the nonce to something else just now."""
    ROOM_GONE = auto()
    """The message that waits was sent in another life of the room."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo came to."""

    action_id: int
    """What was undone."""
    not_undone: tuple[str, ...]
    """What stays as it is."""
    brings_entry: bool
    """Of this log."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command came to. It holds, also where its entry is not in the log yet."""

    event: SanctionEvent | None
    """Of ChangeSanction, and of UndoAction where it changes sanctions: what was published."""
    entry_id: MessageId | None
    """The entry that it brought; None: none, or not yet."""
    is_repeated: bool
    """The actor has sent this nonce before, and this is what came of that."""
    warning: RoomWarning | None = None
    """Of IssueWarning: as it is since."""
    action_id: int = 0
    """Its row of the audit log; 0: a service of before does not say."""
    undone: Undone | None = None
    """Of UndoAction."""
    hold: HeldMessage | None = None
    """Of DecideHeld: as it is since."""
    policy: Policy | None = None
    """Of ChangePolicy that is repeated: as it is now."""
    at_ms: int = 0
    """Of ChangePolicy that is repeated: when it was carried out, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A message that is to wait for a moderator."""

    author: Speaker
    slug: Slug
    log: LogRef
    text: str
    nonce: str
    number: int
    """Of its verdict, as the reason."""
    reply_to: MessageId | None
    reason: HoldReason


class HoldRefusal(Enum):
    """Why a message may not wait."""

    FULL = auto()
    """As many of its author, or in the room, wait as may."""
    BANNED = auto()
    """Its author was banned since the verdict."""


@dataclass(frozen=True, slots=True)
class HoldResult:
    """A message waits, or has."""

    hold: HeldMessage
    is_repeated: bool
    """Its author has sent it before, with the same nonce."""
    entry_id: MessageId | None
    """Where it was allowed: its entry; None: the log does not have it yet."""


class WarningStep(Enum):
    """What may be said of a warning in the name of its target."""

    DELIVER = auto()
    """A connection was sent it."""
    ACKNOWLEDGE = auto()
    LAPSE = auto()
    """A connection that knows nothing of warnings has had it for 30 s."""


class ReportOutcome(Enum):
    """What became of a report."""

    REPORTED = auto()
    """Also where it was reported before."""
    NOT_PERMITTED = auto()
    NOT_FOUND = auto()
    """There is no such message in this log, or it is gone already."""
    TOO_MANY = auto()
    """The reporter has filed as many as they may just now."""


class ReportAnswer(NamedTuple):
    """The same, with how long to wait where that helps."""

    outcome: ReportOutcome
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds in some rooms."""

    sanctions: list[Sanction]
    """Without those that hold everywhere."""
    policies: dict[Slug, Policy] = field(default_factory=dict)
    """Those that were ever changed."""
    pins: dict[Slug, tuple[Life, Pin]] = field(default_factory=dict)
    """Of the newest lives in which anything was ever pinned."""
    warnings: list[RoomWarning] | None = None
    """The open ones; None: the service is one of before, and knows of none."""
    ruled: frozenset[Slug] = frozenset()
    """Of these slugs those whose messages rules act on."""
    ruled_everywhere: bool = False
    """Whether there are such rules for everywhere."""
    roles: dict[Slug, RoomRoles] = field(default_factory=dict)
    """Those of slugs where anybody was ever given one."""
    holds: list[HeldMessage] | None = None
    """Messages that wait for a moderator, or did lately; None as of warnings."""


REVOCATIONS_PER_READ = 2000
"""What one question after revoked tokens is answered with at most."""
SLUGS_PER_READ = 1000
"""Of the contract."""
GATHER_OWED_S = 0.002
"""For so long what is owed is gathered."""
_GATHER_A_QUESTION_S = 0.0005
_LONGEST_GATHER_S = 0.01


def gather_s(before: int) -> float:
    """How long questions are gathered behind a batch of so many, in seconds: not at all behind one that was alone, and
    the longer the more of them come, since a batch costs a call and a transaction however large it is."""
    return min(before * _GATHER_A_QUESTION_S, _LONGEST_GATHER_S) if before > 1 else 0.0


class Moderation(Protocol):
    """The moderation service: judges messages and arrivals, and keeps sanctions."""

    @property
    def limits(self) -> AdmissionLimits:
        """The limits that moderation sent last; the specification's own before."""

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
        """Judge one message; `without_policy`: by sanctions and limits alone, for which no text is needed. `done` is
        called once, within 2 s, and in the order of the calls for one speaker."""

    def has_lent(self, speaker: Speaker, life: Life) -> bool:
        """Whether what that connection says next in that room is admitted, within the limits and unless its nonce was
        used before: nothing else is against it, and nobody else counts its speaker's messages just now. False: ask."""

    def report_admitted(self, speaker: Speaker, life: Life, nonce: str, text: str) -> int:
        """The edge admitted a message by what it was lent. Returns what `Verdict.number` is of others. Never waits."""

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
        """Whether nobody has said that lately in a room where texts are unique, of a message whose verdict has that
        number; then it is said, until `release`. DUPLICATE: somebody has; UNAVAILABLE: nobody can say; anything else:
        nobody, or the same message. `done` is called once, within 2 s, and in the order of the calls for one room."""

    def note_admitted(self, speaker: Speaker, life: Life, nonce: str, *, slow_in: Slug | None = None) -> int:
        """The edge admitted a message itself while no replica was up: it counts at the next one that is. `slow_in`: the
        room, where that has slow mode. Returns what `Verdict.number` is of others."""

    def release(self, speaker: Speaker, slug: Slug, life: Life, nonce: str, number: int) -> None:
        """A message that was admitted could not be stored, or was refused afterwards: before whatever is judged next it
        counts no longer, in slow mode neither, and its nonce is not known any more. Never waits; what no replica hears
        is told to the next one that is up."""

    async def check_arrival(self, speaker: Speaker, slug: Slug, *, final: bool) -> bool:
        """Whether the speaker may enter, within 2 s. `final`: the room's subscription stands, and who may enter
        is in it now. Raises ModerationUnavailable."""

    def report_seen(self, speaker: Speaker, slug: Slug) -> None:
        """The speaker is in the room just now. Never waits; best effort."""

    async def hold(self, request: HoldRequest) -> HoldResult | HoldRefusal:
        """Have a message wait for a moderator, within 5 s. May be repeated where it has a nonce. Raises
        ModerationUnavailable, where it may wait all the same."""

    async def execute(self, request: CommandRequest) -> CommandResult | CommandRefusal | Decided:
        """Have a command carried out, within 5 s; Decided: somebody was quicker. Raises
        ModerationUnavailable, where it may have been carried out all the same."""

    async def report_warning(
        self, speaker: Speaker, slug: Slug, warning_id: int, step: WarningStep
    ) -> RoomWarning | None:
        """Tell what happened to a warning of the speaker, within 5 s; the warning as it is since, None: they were never
        given such a one. May be repeated. Raises ModerationUnavailable, where it may have been noted all the same."""

    async def find_ban(self, speaker: Speaker, slug: Slug) -> BanNotice | None:
        """The ban aimed at a user that keeps them out, within 1 s; None: there is none. Raises ModerationUnavailable,
        also where the service is one of before."""

    async def file_report(self, speaker: Speaker, slug: Slug, log: LogRef, report: Report) -> ReportAnswer:
        """Have moderators told of something, within 5 s. May be repeated. Raises ModerationUnavailable, where it may
        have been kept all the same."""

    async def open_feed(self, speaker: Speaker, slug: Slug, since: int | None) -> FeedState | None:
        """What a moderator begins with; `since`: the last event that they know. None: they are none there. Within 2 s.
        Raises ModerationUnavailable."""

    async def read_feeds(self, slugs: Sequence[Slug], after: int) -> FeedPart:
        """What came in the feeds of at most SLUGS_PER_READ slugs behind an event, within 2 s. Raises
        ModerationUnavailable."""

    async def active(self, slugs: Sequence[Slug]) -> InForce:
        """What is in force for at most SLUGS_PER_READ slugs, within 2 s. Raises ModerationUnavailable."""

    async def active_everywhere(self) -> list[Sanction]:
        """Sanctions in force that hold everywhere, within 2 s. Raises ModerationUnavailable."""

    async def revocations_after(self, version: int) -> list[Revocation]:
        """The next REVOCATIONS_PER_READ revoked tokens with a higher version, in the order of these; fewer: there are
        no more. Within 1 s. Raises ModerationUnavailable."""


# --- the bus -------------------------------------------------------------------------------------------------------


class RoomListener(Protocol):
    """What a room is called with by the bus, in the bus's order. Must not raise."""

    def entry_stored(self, entry: LogEntry) -> None:
        """The stream has stored an entry, which may come again, or leave a gap before it."""

    def typing_changed(self, change: TypingChanged) -> None:
        """One connection of any edge began or ceased to type, or types still."""

    def presence_changed(self, change: PresenceChanged) -> None:
        """A transaction of the rooms service; may come late, twice, or not at all."""

    def reactions_heard(self, reacted: Sequence[Reacted]) -> None:
        """Members of another edge reacted; may not come at all."""

    def participant_returned(self, key: str, version: int) -> None:
        """An anonymous participant is on the connection that made this version; older ones are to be closed."""

    def log_reached(self, last_id: MessageId) -> None:
        """The stream has entries up to this one, which may not have been republished."""


class WorkerListener(Protocol):
    """What a worker is called with whatever rooms it holds. Must not raise."""

    def sanction_changed(self, event: SanctionEvent) -> None:
        """A moderator acted, in whatever room."""

    def warnings_changed(self, changed: Sequence[RoomWarning]) -> None:
        """Somebody was warned, or acknowledged it, in whatever room."""

    def tokens_revoked(self, revocations: Sequence[Revocation]) -> None:
        """Tokens were revoked; may not come at all."""

    def feed_reached(self, heads: Mapping[Slug, int]) -> None:
        """The moderators' feeds of these slugs have come to these events; may not come at all."""

    def holds_changed(self, changed: Sequence[HeldMessage]) -> None:
        """Messages wait for a moderator, or do no longer, in whatever room."""

    def emotes_changed(self, slug: Slug) -> None:
        """The emotes of a slug, whether it is held here or not, or of EVERYWHERE; may not come at all."""

    def roles_changed(self, slug: Slug, roles: RoomRoles) -> None:
        """Somebody was given a role in a room, or had it taken back, whether the room is held here or not."""

    def room_deleted(self, life: Life) -> None:
        """Somebody deleted a room, whether it is held here or not."""

    def broadcast_received(self, payload: bytes) -> None:
        """A text of /live/ws, UTF-8."""

    def bus_restored(self) -> None:
        """NATS is back after an interruption: what was published meanwhile was missed."""

    def leader_changed(self, partition: int) -> None:
        """The stream of a partition is led anew: what was stored last before may not have been republished."""


class Bus(Protocol):
    """NATS. Publishing never waits; it raises BusUnavailable at once while disconnected, or while 8 MiB are unsent.
    Every question has 2 s, a leader 1.5 s more to hear of the others. Coroutines raise BusUnavailable."""

    async def subscribe(self, log: LogRef, listener: RoomListener) -> Callable[[], None]:
        """Returns, with what unsubscribes, once the server has confirmed it."""

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
        """Have one message stored, of at most 1,000 characters. The copy that comes back with `token` proves it; with a
        nonce, `duplicate` is called instead where the stream already has the message, with its id. `max_shown`: of the
        policy that holds."""

    def publish_typing(self, log: LogRef, change: TypingChanged) -> None:
        """Reaches every edge with members in the room."""

    def publish_reactions(self, log: LogRef, sums: ReactionSums) -> None:
        """Reaches every other edge with members in the room."""

    def publish_returned(self, log: LogRef, key: str, version: int) -> None:
        """Reaches every edge with members in the room, this one included."""

    def publish_reached(self, log: LogRef, last_id: MessageId) -> None:
        """Tell every edge that the log reaches up to there."""

    def publish_broadcast(self, payload: bytes) -> None:
        """Reaches every edge, this one included."""

    async def entry(self, log: LogRef, entry: MessageId) -> LogEntry | None:
        """One entry of this log; None: it is in none, or not there any more. Two questions, each with its 2 s. It may
        have been taken back: see `erasures`, as for the two after this."""

    async def entries_after(self, log: LogRef, after: MessageId, *, limit: int) -> list[LogEntry]:
        """At most `limit` entries with higher ids, in order. Any replica of the stream may answer, and one that lags
        gives fewer."""

    async def messages_before(self, log: LogRef, before: MessageId | None, *, limit: int) -> list[StoredMessage]:
        """The newest messages with lower ids, in order; None: of all. Their prev_id means nothing."""

    async def last_id(self, log: LogRef) -> MessageId:
        """The newest entry as the stream's leader knows it; 0 where there is none."""

    async def erasures(self, log: LogRef) -> list[Erasure]:
        """All that takes messages back, in order, up to what the stream's leader knew when this was asked. Their ids
        are not those of the entries in the log, which follow."""

    def epoch(self, log: LogRef) -> str:
        """Another one for each life, and after each loss of what was stored; the same on all edges."""


# --- tokens --------------------------------------------------------------------------------------------------------


class Tokens(Protocol):
    """Says whose a JSON Web Token is."""

    async def verify(self, token: str) -> Identity:
        """Whose the token is. At once where its key is known, else after one reading of the keys, which has 5 s. Raises
        InvalidToken and TokensUnavailable."""


# --- together ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ports:
    """What the use cases of one worker work with: the outside, and what all its connections share."""

    edge: str
    """The worker's incarnation: 32 hexadecimal digits, new with every process."""
    rooms: Rooms
    moderation: Moderation
    bus: Bus
    clock: Clock
    meter: Meter
    outage: Literal["local", "reject"]
    """What becomes of messages while moderation is away."""
    frames_per_window: int
    """WebSocket frames of one connection in any 10 seconds; 0: no limit."""
    crowded_flush_s: float
    """For how long frames to 10,000 members are gathered; 0: not at all."""
    cache: SanctionCache = field(default_factory=SanctionCache)
    policies: PolicyCache = field(default_factory=PolicyCache)
    pins: PinCache = field(default_factory=PinCache)
    warnings: WarningCache = field(default_factory=WarningCache)
    revoked: RevokedTokens = field(default_factory=RevokedTokens)
    holds: HoldCache = field(default_factory=HoldCache)
    emotes: EmoteCache = field(default_factory=EmoteCache)
    roles: RoleCache = field(default_factory=RoleCache)
    tasks: Tasks = field(default_factory=Tasks)
