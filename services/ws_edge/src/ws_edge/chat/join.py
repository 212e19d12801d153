"""How a client gets into its room: one coroutine, one order of steps, each of which protects the next."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol, TypeVar

import structlog
from msgspec import structs

from chassis.logs import place_of
from ws_edge.chat.registry import Connection, ConnectionRegistry, HeldRoom, RoomRegistry
from ws_edge.chat.sanctions import SanctionReader
from ws_edge.errors import (
    Banned,
    CloseCode,
    ErrorCode,
    InvalidToken,
    MalformedReference,
    ModerationUnavailable,
    NotAdmitted,
    RoomsUnavailable,
    TokensUnavailable,
    TurnedAway,
    Unavailable,
)
from ws_edge.ports import DrainState, JoinRefusal, Moderation, Ports, Rooms, Tokens
from ws_edge.protocol.identity import AnonymousNames, ConnectionId, Identity, Rank, Slug, Speaker, UserId
from ws_edge.protocol.limits import ConnectionLimits
from ws_edge.protocol.log import StoredMessage
from ws_edge.protocol.references import ById, BySlug, ByVideo, ResumePoint, RoomRef
from ws_edge.protocol.resume_text import LIFETIME_S, FormerParticipant, ResumeTexts
from ws_edge.protocol.rooms import Joined, Membership
from ws_edge.protocol.sanctions import BanNotice
from ws_edge.room.replay import ReplayReader
from ws_edge.room.room import Room

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


@dataclass(slots=True)
class JoinRequest:
    """What a client of /chat/ws asks for. `parse` reads the reference and raises MalformedReference. Not frozen: that
    would triple the time to make one."""

    parse: Callable[[], RoomRef]
    token: str | None = field(repr=False)
    address: str
    """Its IP in full."""
    key: str
    """What limits and sanctions go by: see address_key."""
    resume: ResumePoint | None = None
    """Where a client that comes back had left the log."""
    resume_text: str | None = field(default=None, repr=False)
    """Which anonymous participant the client says it is; not looked at where there is a token."""


class JoiningClient(Connection, Protocol):
    """What the steps do to the connection that takes them."""

    slug: Slug | None
    membership: Membership | None

    def owe(self, give_back: Callable[[_T], object], what: _T) -> None:
        """Call give_back(what) when the connection is over, what was owed last first; at once where it is over."""

    def identified(self, number: ConnectionId, speaker: Speaker) -> None:
        """Who the client is."""

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
        """The client is in, and gets what it has missed, what is pinned, with what it may come back, and whom its user
        has blocked."""

    def end(self, code: CloseCode, error: ErrorCode | None = None, *, ban: BanNotice | None = None) -> None:
        """See Connection; `ban`: what a banned user is told besides."""

    def turn_away(self, error: ErrorCode | None, code: CloseCode) -> None:
        """End a connection that this worker never took for one of its own."""


@dataclass(slots=True)
class Entrance:
    """What the steps of a join use."""

    ports: Ports
    connections: ConnectionRegistry
    sanction_reader: SanctionReader
    held_rooms: RoomRegistry
    replays: ReplayReader
    tokens: Tokens
    names: AnonymousNames
    limits: ConnectionLimits
    drain_state: DrainState
    resume_texts: ResumeTexts = field(default_factory=lambda: ResumeTexts(None))
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    """Of connections of this worker."""
    # What undoes the steps: bound once, since every connection keeps all four as long as it is open.
    depart: Callable[[str], None] = field(init=False)
    discard: Callable[[Connection], None] = field(init=False)
    leave: Callable[[ConnectionId], None] = field(init=False)
    release: Callable[[HeldRoom], None] = field(init=False)

    def __post_init__(self) -> None:
        """Bind what undoes the steps."""
        self.depart = self.limits.departed
        self.discard = self.connections.discard
        self.leave = self.ports.rooms.leave
        self.release = self.held_rooms.release


async def join(client: JoiningClient, request: JoinRequest, entrance: Entrance) -> None:
    """Take the steps, or send the client the reason why not. Cancelled when the client is gone or was closed
    meanwhile: whatever was taken until then is given back by the connection, which owes it."""
    try:
        await _take_steps(client, request, entrance)
    except NotAdmitted as refusal:
        client.turn_away(refusal.code, refusal.close)
    except Banned as refusal:
        client.end(refusal.close, refusal.code, ban=await _find_ban(client, entrance.ports.moderation))
    except TurnedAway as refusal:
        client.end(refusal.close, refusal.code)
    except Unavailable:
        client.end(CloseCode.TRY_AGAIN_LATER, ErrorCode.UNAVAILABLE)
    finally:
        if client.room is None:
            client.end(CloseCode.INTERNAL)  # only a defect comes here with the client still waiting


async def _take_steps(client: JoiningClient, request: JoinRequest, entrance: Entrance) -> None:
    rooms, connections, sanction_reader = entrance.ports.rooms, entrance.connections, entrance.sanction_reader
    # Identity and reference: what cannot be right ends here, before it counts as a connection.
    identity = await _identify(entrance, request)
    ref = _read_reference(request)
    # Limits: so many connections are open, in all and of its address, this one among them.
    _admit(entrance, request)
    client.owe(entrance.depart, request.key)
    former = _find_former(entrance, request)
    _introduce(entrance, client, identity, request.key, former)
    # From now on a ban finds the connection.
    connections.add(client)
    client.owe(entrance.discard, client)
    client.slug = await _find_slug(rooms, ref)
    # Sanctions: a banned user makes no room, and is not announced.
    await _demand_first_entry(client.speaker, client.slug, rooms, sanction_reader)
    # Membership: announced by the rooms service; owed back also where nobody knows whether it was made.
    client.owe(entrance.leave, client.id)
    membership, blocked = await _become_member(rooms, client.id, ref, identity, request.resume, former)
    if former is not None and former.life != membership.life and client.speaker.here is not None:
        connections.replace_speaker(client, client.speaker.here)
        former = None
    client.membership = membership
    connections.note_membership(client)
    client.slug = membership.slug
    # Room: its subscription stands, what happened before was read.
    held = await entrance.held_rooms.hold(membership)
    client.owe(entrance.release, held)
    # Rank: whose the room is came with the membership, its roles were read when it opened here.
    client.settle_rank()
    # Replay: what the client has missed is at hand, and what is shown from now on is kept with it.
    resume = await _prepare_replay(entrance, held.room, request.resume)
    looked_at, shows_pin = await _read_pin(entrance, held.room)
    # Sanctions once more, after the subscription: no ban falls between the two.
    blocked = await _demand_last_entry(client.speaker, membership.slug, blocked, rooms, sanction_reader)
    if former is not None:
        # From here on the others hear of this: the participant's older connections end, wherever they are.
        entrance.ports.bus.publish_returned(held.room.log, client.speaker.key, membership.version)
    resume_text = _resume_text(entrance, client.speaker, membership, former)
    shows_pin = shows_pin and held.room.shows_as_read(looked_at)
    client.welcome(held.room, membership, resume, resume_text, blocked, shows_pin=shows_pin)


async def _find_ban(client: JoiningClient, moderation: Moderation) -> BanNotice | None:
    """The ban that keeps a user out; None: it is nobody signed in, or it cannot be read now, which keeps nobody
    waiting for long."""
    if client.speaker.identity.user_id is None or client.slug is None:
        return None
    try:
        return await moderation.find_ban(client.speaker, client.slug)
    except ModerationUnavailable:
        return None


async def _identify(entrance: Entrance, request: JoinRequest) -> Identity:
    """The bearer of the token, or the anonymous user of the address. Raises NotAdmitted."""
    if request.token is None:
        return entrance.names.identity(request.address)
    try:
        return await entrance.tokens.verify(request.token)
    except InvalidToken:
        raise NotAdmitted(ErrorCode.INVALID_TOKEN) from None
    except TokensUnavailable:
        raise NotAdmitted(ErrorCode.UNAVAILABLE) from None
    except Exception as failure:  # noqa: BLE001 - whatever it was, the client is told that the fault is ours
        # The exception's words may be the token's: its kind and place are enough.
        _log.error("arrival_failed", kind=type(failure).__name__, place=place_of(failure))
        raise NotAdmitted(None, CloseCode.INTERNAL) from None


def _read_reference(request: JoinRequest) -> RoomRef:
    """Which room is meant. Raises NotAdmitted."""
    try:
        return request.parse()
    except MalformedReference:
        raise NotAdmitted(ErrorCode.NOT_FOUND) from None


def _admit(entrance: Entrance, request: JoinRequest) -> None:
    """Count a connection, which the caller owes back. Raises NotAdmitted."""
    if entrance.drain_state.is_draining:
        raise NotAdmitted(ErrorCode.UNAVAILABLE, CloseCode.SERVICE_RESTART)
    if not entrance.limits.admit(request.key):
        raise NotAdmitted(ErrorCode.TOO_MANY_CONNECTIONS)


def _find_former(entrance: Entrance, request: JoinRequest) -> FormerParticipant | None:
    """Who an anonymous client says it was, if it can show it."""
    if request.token is not None or request.resume_text is None:
        return None
    return entrance.resume_texts.read(request.resume_text, now_s=entrance.ports.clock.unix_s())


def _introduce(
    entrance: Entrance, client: JoiningClient, identity: Identity, address: str, former: FormerParticipant | None
) -> None:
    """Give the connection its number."""
    number = ConnectionId(next(entrance.numbers))
    speaker = Speaker(identity, address, f"{entrance.ports.edge}:{number}")
    client.identified(number, speaker if former is None else former.speaker(speaker))


async def _read_pin(entrance: Entrance, room: Room) -> tuple[StoredMessage | None, bool]:
    """What is pinned there, and whether it may be shown: it is text that may have been taken back."""
    if (told := entrance.ports.pins.find(room.slug, room.life)) is not None:
        room.pin_told(told)
    may_be_shown = room.pinned is None or await entrance.replays.read_pin(room)
    return room.pinned, may_be_shown


def _resume_text(
    entrance: Entrance, speaker: Speaker, membership: Membership, former: FormerParticipant | None
) -> str | None:
    """What an anonymous client shows when it comes back."""
    if speaker.identity.user_id is not None:
        return None
    if former is None:
        expires_at_s = entrance.ports.clock.unix_s() + LIFETIME_S
        name = speaker.identity.username
        former = FormerParticipant(membership.life, name, speaker.address, speaker.connection, expires_at_s)
    return entrance.resume_texts.issue(former)


async def _find_blocked(rooms: Rooms, user_id: UserId) -> tuple[UserId, ...] | None:
    """None: it cannot be read now. It restricts nobody, so that nobody is kept out for it."""
    try:
        return await rooms.blocked_by(user_id)
    except RoomsUnavailable:
        return None


async def _find_slug(rooms: Rooms, ref: RoomRef) -> Slug:
    """The slug that sanctions of this room are held against. Raises RoomsUnavailable."""
    match ref:
        case BySlug(slug):
            return slug
        case ByVideo(video_id):
            return Slug(f"video-{video_id}")
        case ById():
            return await rooms.resolve(ref)


async def _demand_first_entry(speaker: Speaker, slug: Slug, rooms: Rooms, sanction_reader: SanctionReader) -> None:
    """Whose room it is comes with the membership only: of who seems to be banned it is asked before, since no sanction
    of a former owner binds the one of now. Raises as SanctionReader.demand_entry, and RoomsUnavailable."""
    try:
        await sanction_reader.demand_entry(speaker, slug, final=False)
    except TurnedAway:
        identity = speaker.identity
        if identity.user_id is None or identity.rank >= Rank.OWNER or not await rooms.is_owner(identity.user_id, slug):
            raise
        owner = structs.replace(speaker, identity=identity.in_room(Rank.OWNER.role, Rank.OWNER))
        await sanction_reader.demand_entry(owner, slug, final=False)


async def _demand_last_entry(
    speaker: Speaker,
    slug: Slug,
    blocked: tuple[UserId, ...] | None,
    rooms: Rooms,
    sanction_reader: SanctionReader,
) -> tuple[UserId, ...] | None:
    """Whom the user has blocked; asked for meanwhile where the answer to the join has not told it. Raises as
    SanctionReader.demand_entry."""
    if blocked is not None or speaker.identity.user_id is None:
        await sanction_reader.demand_entry(speaker, slug, final=True)
        return blocked
    asking = asyncio.create_task(_find_blocked(rooms, speaker.identity.user_id))
    try:
        await sanction_reader.demand_entry(speaker, slug, final=True)
        return await asking
    finally:
        asking.cancel()


async def _prepare_replay(entrance: Entrance, room: Room, resume: ResumePoint | None) -> ResumePoint | None:
    """From where the client is replayed what it has missed, as far as that can be read."""
    if resume is None or await entrance.replays.prepare(room, resume):
        return resume
    return replace(resume, since=None)


async def _become_member(
    rooms: Rooms,
    connection: ConnectionId,
    ref: RoomRef,
    identity: Identity,
    resume: ResumePoint | None,
    former: FormerParticipant | None,
) -> tuple[Membership, tuple[UserId, ...] | None]:
    """With whom the user has blocked. Raises TurnedAway and RoomsUnavailable; the caller owes a leave in every case."""
    revive = None if resume is None else resume.life
    outcome = await rooms.join(connection, ref, identity, revive=revive, former=former)
    match outcome:
        case Joined(membership, blocked):
            return membership, blocked
        case JoinRefusal.NOT_FOUND:
            raise TurnedAway(ErrorCode.NOT_FOUND)
        case JoinRefusal.ACCESS_DENIED:
            raise TurnedAway(ErrorCode.ACCESS_DENIED)
        case JoinRefusal.UNAVAILABLE:
            raise TurnedAway(ErrorCode.UNAVAILABLE)
