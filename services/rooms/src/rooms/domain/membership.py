"""Joining, leaving and registering again: what edges ask for, what is decided, and what they are answered.

A join is decided by what was read before its transaction (`plan_joins`), and confirmed by the rooms that the
transaction has locked (`Planned.stands`, `let_in`); whoever a room concerns that changed in between is planned again.
What a batch comes to in rooms that are locked is in presence.py: `apply_joins`, `apply_leaves`.

Edges of before keep messages in one stream for all lives, those of now in the partition of the life. A life is of one
kind, by whoever comes first (`let_in`), and those of before give way (`outdated`).
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum

from rooms.domain.log_position import LifeLog, partition_of
from rooms.domain.naming import is_id
from rooms.domain.people import ConnectionId, Life, Person, RoomId, Slug, UserId
from rooms.domain.rooms import Access, DormantLife, LivingRoom, RoomPolicy, SlugState, may_enter


@dataclass(frozen=True, slots=True)
class ById:
    """A public room id; where no room has it, the slug of the same digits."""

    room_id: RoomId


@dataclass(frozen=True, slots=True)
class BySlug:
    """A slug, NFC and well-formed."""

    slug: Slug


@dataclass(frozen=True, slots=True)
class ByVideo:
    """The room of a video, slug video-<id>."""

    video_id: int


RoomRef = ById | BySlug | ByVideo


@dataclass(frozen=True, slots=True)
class Formerly:
    """A participant of one life."""

    life: Life
    person: Person


@dataclass(frozen=True, slots=True)
class Arrival:
    """One connection that wants in."""

    connection: ConnectionId
    ref: RoomRef
    person: Person
    last_life: Life | None = None
    """The life in which the client was before: it goes on, where its log lies dormant and no other has begun."""
    formerly: Formerly | None = None
    """Who an anonymous client was before, and is again where the same life goes on."""

    def person_in(self, life: Life) -> Person:
        """Who holds the connection there."""
        return self.formerly.person if self.formerly is not None and self.formerly.life == life else self.person


class JoinRefusal(Enum):
    """Why there is no membership."""

    NOT_FOUND = "not_found"
    ACCESS_DENIED = "access_denied"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Membership:
    """A connection's place in one life of a room."""

    room_id: RoomId
    life: Life
    slug: Slug
    connection_count: int
    version: int
    """The version that this connection made."""
    crowded: bool
    partition: int | None = None
    """Of the life's log; None: its messages are in the stream of before."""
    owner: UserId | None = None
    """Who made the room by createChatRoom, the same as long as the life goes on; None: nobody did."""
    owned_since_ms: int = 0
    """Since when it is theirs, Unix milliseconds; 0: nobody's."""


JoinOutcome = Membership | JoinRefusal


@dataclass(frozen=True, slots=True)
class HeldConnection:
    """One open connection as its edge knows it."""

    connection: ConnectionId
    room_id: RoomId
    life: Life
    slug: Slug
    person: Person
    partition: int | None = None
    """None: the edge is one of before."""

    @property
    def log(self) -> LifeLog:
        """Where the edge believes its messages to be."""
        return LifeLog(self.life, self.partition)


@dataclass(frozen=True, slots=True)
class Planned:
    """A join that may go ahead as long as its room is as it was when this was decided."""

    arrival: Arrival
    slug: Slug
    access: Access

    def stands(self, room: LivingRoom | None) -> bool:
        """Whether the plan still holds for the room that was locked."""
        if room is None or room.access != self.access:
            return False
        ref = self.arrival.ref
        return not isinstance(ref, ById) or room.room_id == ref.room_id


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """The decisions about one batch."""

    arrivals: tuple[Arrival, ...]
    admitted: tuple[Planned, ...]
    refused: Mapping[ConnectionId, JoinRefusal]
    new_rooms: Mapping[Slug, RoomId | None]
    """Rooms to be made, with their public id; None: one that nothing has."""
    dormant: tuple[DormantLife, ...] = ()
    """Lives that go on if they still can, before rooms are made."""
    partitions: int | None = None
    """Of the log, over which new lives are spread; None: the edge is one of before."""


def plan_joins(
    states: Mapping[RoomRef, SlugState], arrivals: Sequence[Arrival], policy: RoomPolicy, *, uses_partitions: bool
) -> JoinPlan:
    """Decide about each arrival by the state of the slug that it refers to. `uses_partitions`: False of an edge of
    before."""
    admitted: list[Planned] = []
    refused: dict[ConnectionId, JoinRefusal] = {}
    new_rooms: dict[Slug, RoomId | None] = {}
    dormant: set[DormantLife] = set()
    for arrival in arrivals:
        state = states[arrival.ref]
        if refusal := _refusal(state, arrival.person, policy):
            refused[arrival.connection] = refusal
            continue
        admitted.append(Planned(arrival, state.slug, state.access))
        if not state.is_living:
            new_rooms[state.slug] = state.access.kept_room_id or _own_number(state.slug)
            if arrival.last_life is not None:
                dormant.add(DormantLife(state.slug, arrival.last_life))
    partitions = policy.log_partitions if uses_partitions else None
    return JoinPlan(tuple(arrivals), tuple(admitted), refused, new_rooms, tuple(dormant), partitions)


def _refusal(state: SlugState, person: Person, policy: RoomPolicy) -> JoinRefusal | None:
    access = state.access
    if not state.is_living and not policy.may_create(state.slug, has_kept_settings=access.kept_room_id is not None):
        return JoinRefusal.NOT_FOUND
    may = may_enter(
        user_id=person.user_id,
        rank=person.rank,
        is_public=access.is_public,
        allow_anonymous=access.allow_anonymous,
        owner=access.owner,
        is_invited=person.user_id in state.invited,
    )
    return None if may else JoinRefusal.ACCESS_DENIED


def _own_number(slug: Slug) -> RoomId | None:
    return RoomId(int(slug)) if is_id(slug) else None


@dataclass(frozen=True, slots=True)
class Entrant:
    """A connection that is let into a room whose row is locked."""

    connection: ConnectionId
    person: Person
    room: LivingRoom


def outdated(plan: JoinPlan, admitted: Sequence[Planned], rooms: Mapping[Slug, LivingRoom]) -> list[LivingRoom]:
    """Lives of edges of before into which one of now comes: they end, and others begin in their places. By slug, as
    rooms are locked."""
    if plan.partitions is None:
        return []
    found = {item.slug for item in admitted if item.stands(rooms.get(item.slug))}
    return [rooms[slug] for slug in sorted(found) if rooms[slug].visited and rooms[slug].partition is None]


def let_in(
    plan: JoinPlan, admitted: Sequence[Planned], rooms: Mapping[Slug, LivingRoom]
) -> tuple[list[Entrant], dict[ConnectionId, JoinRefusal]]:
    """Who enters the rooms that are locked, and who may try again later: an edge of before is not let into a life of
    edges of now. Whoever is neither is to be planned again."""
    entrants: list[Entrant] = []
    refused: dict[ConnectionId, JoinRefusal] = {}
    for item in admitted:
        room = rooms.get(item.slug)
        if room is None or not item.stands(room):
            continue
        room = _with_partition(room, plan.partitions)
        if (room.partition is None) is (plan.partitions is None):
            entrants.append(Entrant(item.arrival.connection, item.arrival.person_in(room.life), room))
        elif plan.partitions is None:
            refused[item.arrival.connection] = JoinRefusal.UNAVAILABLE
    return entrants, refused


def _with_partition(room: LivingRoom, partitions: int | None) -> LivingRoom:
    """Whoever comes first decides of which kind a life is."""
    if room.visited or partitions is None:
        return room
    return replace(room, partition=partition_of(room.life, partitions))


def find_missing(
    held: Sequence[HeldConnection], standing: Mapping[ConnectionId, LifeLog]
) -> tuple[list[HeldConnection], list[ConnectionId]]:
    """Of what an edge holds, what is in no life that goes on, and what is in another life than the edge believes, or
    has its messages elsewhere, which is lost."""
    missing = [one for one in held if one.connection not in standing]
    lost = [one.connection for one in held if standing.get(one.connection, one.log) != one.log]
    return missing, lost


def newest_lives(missing: Iterable[HeldConnection]) -> list[HeldConnection]:
    """For each slug the newest life that was held: what may be made again where the slug does not live."""
    by_slug: dict[Slug, HeldConnection] = {}
    for one in missing:
        if one.slug not in by_slug or by_slug[one.slug].life < one.life:
            by_slug[one.slug] = one
    return list(by_slug.values())


def take_back(
    missing: Sequence[HeldConnection], rooms: Mapping[Slug, LivingRoom]
) -> tuple[list[Entrant], list[ConnectionId]]:
    """Who comes back into the life that they were in, and who is lost because the slug lives under another one, or
    because its messages are elsewhere."""
    entrants: list[Entrant] = []
    lost: list[ConnectionId] = []
    for one in missing:
        room = rooms.get(one.slug)
        if room is not None and room.log == one.log:
            entrants.append(Entrant(one.connection, one.person, room))
        else:
            lost.append(one.connection)
    return entrants, lost


def lives_without(lives: Set[Life], entrants: Iterable[Entrant]) -> Set[Life]:
    """Those of the lives that nobody comes into."""
    return lives - {entrant.room.life for entrant in entrants}
